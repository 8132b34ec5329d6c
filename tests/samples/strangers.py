"""Networks of other makers, with everything a reader may meet."""

import torch
from torch import nn


class Separable(nn.Module):
    """Dilated depthwise convolution, batch norm, in-place ReLU, pointwise convolution."""

    def __init__(self, c_in: int, c_out: int, dilation: int = 1) -> None:
        super().__init__()
        self.deep = nn.Conv2d(c_in, c_in, 3, padding=dilation, dilation=dilation, groups=c_in)
        self.scale = nn.BatchNorm2d(c_in)
        self.act = nn.ReLU(inplace=True)
        self.mix = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x):
        return self.mix(self.act(self.scale(self.deep(x))))


class Stranger(nn.Module):
    """Odd names, registered out of order, a layer called twice, and much that is no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.zz_top = nn.Conv2d(8, 2, 1)
        self.thing = Separable(8, 8, dilation=2)
        self.q9 = nn.Conv2d(3, 8, 5, stride=2, padding="valid")
        self.again = nn.Conv2d(8, 8, 3, padding="same")
        self.up = nn.ConvTranspose2d(8, 12, 4, stride=2, groups=2)
        self.back = nn.Conv2d(12, 8, 1)
        self.line = nn.Linear(8, 8)
        self.norm_before_again = nn.BatchNorm2d(8)
        # What is not read, or read once:
        self.lonely = nn.Linear(3, 4)
        self.one_d = nn.Conv1d(8, 8, 1)
        self.words = nn.Embedding(3, 4)
        self.weighed = nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 8, 1))
        self.group_norm = nn.GroupNorm(2, 8)
        self.twin = nn.Conv2d(8, 8, 3, padding=1)
        self.twin.weight = self.again.weight
        self.alias = self.back
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x):
        x = self.norm_before_again(self.thing(self.q9(x)))
        x = self.again(self.again(x))
        x = self.group_norm(self.twin(self.weighed(self.back(self.up(x)))))
        x = self.line(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.gain * self.zz_top(x)


class SmallCNN(nn.Module):
    """Convolutions of several kinds, none directly followed by batch norm, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, padding=2)
        self.second = nn.Conv2d(8, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.point = nn.Conv2d(12, 9, 1)
        self.hidden = nn.Linear(9, 16)
        self.classes = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.first(x))
        x = nn.functional.max_pool2d(x, 2)
        x = torch.relu(self.second(x))
        x = torch.relu(self.point(self.norm(x)))
        return self.classes(torch.relu(self.hidden(x.mean((2, 3)))))


def small_cnn(seed: int = 0) -> SmallCNN:
    """A small network with batch-norm statistics that are not trivial."""
    torch.manual_seed(seed)
    model = SmallCNN()
    with torch.no_grad():
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2)
        model.norm.weight.uniform_(0.5, 2)
        model.norm.bias.normal_()
    return model.eval()

"""Residual networks for 32x32 images: ResNet-20, 32, 44 and 56.

He, Zhang, Ren & Sun 2016 (Deep residual learning, section 4.2): a 3x3 convolution, then three groups of n
blocks with 16, 32 and 64 channels, depth 6n + 2. A block is convolution, batch norm, ReLU, convolution, batch
norm, plus its input, then ReLU. Where a group halves the resolution, its input is subsampled by 2 and padded
with zero channels on both sides (their option A), so that shortcuts have no weights. Parameter names are
those of the published CIFAR-10 checkpoints (``conv1, bn1, layer1.0.conv1 ..., linear``). Initialization is
PyTorch's default.
"""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from covalign.errors import InputError

CHANNELS = (16, 16, 32, 64)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut without weights."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.stride = stride
        self.padding = (c_out - c_in) // 2

    def forward(self, x: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Apply the block."""
        y = functional.relu(self.bn1(self.conv1(x)))
        shortcut = functional.pad(
            x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding)
        )
        return functional.relu(self.bn2(self.conv2(y)) + shortcut)


class ResNet(nn.Module):
    """Stem, three groups of residual blocks, mean over positions, linear layer."""

    def __init__(self, blocks: int, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, CHANNELS[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0])
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(
                ResidualBlock(c_in, c_out, c_out // c_in),
                *(ResidualBlock(c_out, c_out, 1) for _ in range(blocks - 1)),
            )
            for c_in, c_out in pairwise(CHANNELS)
        )
        self.linear = nn.Linear(CHANNELS[-1], classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Return class scores."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        scores: Tensor = self.linear(x.mean((2, 3)))
        return scores


def resnet(depth: int, classes: int = 10, in_channels: int = 3) -> ResNet:
    """Build a residual network of ``depth`` 6n + 2 for 32x32 images.

    Raises:
        InputError: a depth that is not 6n + 2.
    """
    if depth < 8 or depth % 6 != 2:
        raise InputError(f"resnet depth: got {depth}, expected 6n + 2 such as 20, 32, 44 or 56")
    return ResNet((depth - 2) // 6, classes, in_channels)


def resnet20(classes: int = 10) -> ResNet:
    """Build ResNet-20 for 32x32 RGB images: 3 blocks in each of three groups of 16, 32 and 64 channels.

    Weights take the names of the published CIFAR-10 files, so that those load; they start from PyTorch's default.

    Args:
        classes: number of outputs.

    References:
        He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.

    Example:
        >>> sum(weight.numel() for weight in resnet20().parameters())
        269722
    """
    return resnet(20, classes)


def resnet32(classes: int = 10) -> ResNet:
    """Build ResNet-32 for 32x32 RGB images: 5 blocks in each of three groups of 16, 32 and 64 channels.

    Weights take the names of the published CIFAR-10 files, so that those load; they start from PyTorch's default.

    Args:
        classes: number of outputs.

    References:
        He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.

    Example:
        >>> sum(weight.numel() for weight in resnet32().parameters())
        464154
    """
    return resnet(32, classes)


def resnet44(classes: int = 10) -> ResNet:
    """Build ResNet-44 for 32x32 RGB images: 7 blocks in each of three groups of 16, 32 and 64 channels.

    Weights take the names of the published CIFAR-10 files, so that those load; they start from PyTorch's default.

    Args:
        classes: number of outputs.

    References:
        He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.

    Example:
        >>> sum(weight.numel() for weight in resnet44().parameters())
        658586
    """
    return resnet(44, classes)


def resnet56(classes: int = 10) -> ResNet:
    """Build ResNet-56 for 32x32 RGB images: 9 blocks in each of three groups of 16, 32 and 64 channels.

    Weights take the names of the published CIFAR-10 files, so that those load; they start from PyTorch's default.

    Args:
        classes: number of outputs.

    References:
        He, Zhang, Ren & Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.

    Example:
        >>> sum(weight.numel() for weight in resnet56().parameters())
        853018
    """
    return resnet(56, classes)

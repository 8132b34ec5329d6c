"""What is one stage of a network: a joint or a factorized convolution.

Joint (Guth & Menard 2024, appendix B.1): convolution -> ReLU -> batch norm. Space and channels are learned
together. Factorized (B.2): frozen depthwise filters -> ReLU -> batch norm -> learned pointwise convolution,
so that the learned weights ``[c_out, K c_in, 1, 1]`` act on channels alone and receive standardized inputs.
No biases anywhere, batch norm without affine parameters; a max-pool may follow a stage.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from covalign.networks.filters import FilterBank


class JointStage(nn.Module):
    """Convolution, ReLU, batch norm (removable), and 2x2 max-pool where ``pool``."""

    def __init__(
        self, c_in: int, c_out: int, kernel_size: int, *, norm: bool = True, pool: bool = False
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(c_in, c_out, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(c_out, affine=False) if norm else nn.Identity()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Apply the stage."""
        return self.pool(self.norm(torch.relu(self.convolution(x))))


class FactorizedStage(nn.Module):
    """Frozen depthwise bank of K filters per channel, ReLU, batch norm, learned pointwise convolution, pool.

    The K outputs of channel c are the consecutive coordinates cK ... cK + K - 1 of the pointwise input.
    """

    def __init__(
        self, c_in: int, c_out: int, bank: FilterBank, *, norm: bool = True, pool: bool = False
    ) -> None:
        super().__init__()
        signed = bank.signed
        slots, size = len(signed), bank.kernel_size
        self.slots = slots
        self.depthwise = nn.Conv2d(c_in, slots * c_in, size, padding=size // 2, groups=c_in, bias=False)
        self.depthwise.weight = nn.Parameter(signed.repeat(c_in, 1, 1)[:, None].clone(), requires_grad=False)
        self.norm = nn.BatchNorm2d(slots * c_in, affine=False) if norm else nn.Identity()
        self.pointwise = nn.Conv2d(slots * c_in, c_out, 1, bias=False)
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    @property
    def filters(self) -> Float[Tensor, "count k k"]:
        """The frozen filters without their negatives."""
        return self.depthwise.weight.detach()[: self.slots // 2, 0]

    def forward(self, x: Float[Tensor, "n c_in h w"]) -> Float[Tensor, "n c_out h_out w_out"]:
        """Apply the stage."""
        return self.pool(self.pointwise(self.norm(torch.relu(self.depthwise(x)))))

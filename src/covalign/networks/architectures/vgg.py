"""VGG networks in the joint and the factorized form of Guth & Menard (2024), appendix B.

VGG-11 has eight stages of 64-M-128-M-256-256-M-512-512-M-512-512-M channels (M: a 2x2 max-pool after the
stage); VGG-13 and VGG-16 have more. No biases; batch norm after ReLU, without affine parameters. Head: mean
over positions, then one linear layer without bias ("linear"; our reading, since almost all parameters
should be convolutional), or the three fully connected layers that VGG has ("mlp"). At 32x32 the last map is
1x1, so "mlp" means width -> width -> width -> classes with ReLU between, width being the last stage's,
without dropout.
"""

import itertools
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from covalign.errors import InputError
from covalign.networks.architectures.blocks import FactorizedStage, JointStage
from covalign.networks.filters import FilterBank, analytic_filters

Plan = tuple[int | Literal["M"], ...]

VGG_PLANS: dict[str, Plan] = {
    "vgg11": (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    "vgg13": (64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"),
    "vgg16": (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"),
}


class VGG(nn.Module):
    """Stages in sequence, mean over positions, head."""

    def __init__(self, stages: list[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)
        self.head = head

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Return class scores."""
        scores: Tensor = self.head(self.stages(x).mean((2, 3)))
        return scores


def vgg(
    plan: str = "vgg11",
    form: str = "joint",
    width: float = 1.0,
    kernel_size: int = 3,
    classes: int = 10,
    head: str = "linear",
    norm: bool = True,
    in_channels: int = 3,
    filters: FilterBank | None = None,
    first_stride: int = 1,
) -> VGG:
    """Build a VGG with PyTorch's default initialization, weight variance 1 / (3 fan_in).

    Args:
        plan: "vgg11", "vgg13" or "vgg16".
        form: "joint" convolutions, or "factorized" stages over a frozen filter bank.
        width: multiplies every stage's number of channels (rounded, at least 1).
        kernel_size: side of the joint kernels, or of the bank's filters; odd.
        classes: number of outputs.
        head: "linear" or "mlp".
        norm: False removes batch norm (the paper's recipe for random labels at 224x224).
        in_channels: channels of the images.
        filters: the frozen bank, resized to ``kernel_size`` if need be; None takes `analytic_filters`.
        first_stride: of the first convolution; beyond 1 its maps are not padded. Joint form only.

    Raises:
        InputError: an option that is not listed above.
    """
    _check(plan, form, width, kernel_size, classes, head, in_channels, first_stride)
    bank = (filters or analytic_filters()).resize(kernel_size) if form == "factorized" else None
    stages: list[nn.Module] = []
    entries = VGG_PLANS[plan]
    channels = in_channels
    for entry, following in zip(entries, (*entries[1:], None), strict=True):
        if entry == "M":
            continue
        c_out, pool = max(1, round(entry * width)), following == "M"
        if bank is None:
            stride = 1 if stages else first_stride
            stages.append(JointStage(channels, c_out, kernel_size, stride=stride, norm=norm, pool=pool))
        else:
            stages.append(FactorizedStage(channels, c_out, bank, norm=norm, pool=pool))
        channels = c_out
    return VGG(stages, _head(head, channels, classes))


def map_sides(plan: str, side: int, kernel_size: int = 3, first_stride: int = 1) -> tuple[int, ...]:
    """Return the side of the maps that each stage receives, and last of those that the network ends with.

    Args:
        plan: "vgg11", "vgg13" or "vgg16".
        side: of the images.
        kernel_size: side of the kernels.
        first_stride: of the first convolution.

    Returns:
        One more than there are stages; 0 from where on the images are too small.
    """
    sides = [side]
    if first_stride > 1:
        side = max(0, (side - kernel_size) // first_stride + 1)
    entries = VGG_PLANS[plan]
    for entry, following in zip(entries, (*entries[1:], None), strict=True):
        if entry != "M":
            side = side // 2 if following == "M" else side
            sides.append(side)
    return tuple(sides)


def vgg11(
    form: str = "joint",
    width: float = 1.0,
    kernel_size: int = 3,
    classes: int = 10,
    head: str = "linear",
    norm: bool = True,
    in_channels: int = 3,
    filters: FilterBank | None = None,
) -> VGG:
    """Build the network of Guth & Menard (2024): VGG-11 with eight stages, no biases, batch norm after ReLU.

    A joint stage is convolution, ReLU, batch norm. A factorized one is a frozen depthwise convolution, ReLU, batch
    norm, and a learned 1x1 convolution: K = 2 x filters responses of each input channel (every filter with both
    signs), so that a neuron has d = K c_in weights. Weights start from PyTorch's default, of variance 1 / (3 fan_in).

    Args:
        form: "joint" or "factorized".
        width: multiplies every stage's number of channels, 64 to 512 (rounded, at least 1).
        kernel_size: side of the joint kernels, or of the bank's filters; odd.
        classes: number of outputs.
        head: "linear" (one layer on the mean over positions) or "mlp" (three).
        norm: False removes batch norm (the paper's recipe for random labels at 224x224).
        in_channels: channels of the images.
        filters: the frozen bank, resized to ``kernel_size`` if need be; None takes the shipped analytic one.

    Raises:
        InputError: an option that is not listed above.

    References:
        Guth & Menard, "On the universality of neural encodings in CNNs", 2024, appendix B.
    """
    return vgg("vgg11", form, width, kernel_size, classes, head, norm, in_channels, filters)


def _head(head: str, channels: int, classes: int) -> nn.Module:
    if head == "linear":
        return nn.Linear(channels, classes, bias=False)
    sizes = (channels, channels, channels, classes)
    linear = [nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(sizes)]
    return nn.Sequential(linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])


def _check(
    plan: str,
    form: str,
    width: float,
    kernel_size: int,
    classes: int,
    head: str,
    in_channels: int,
    first_stride: int,
) -> None:
    for name, value, allowed in (
        ("plan", plan, tuple(VGG_PLANS)),
        ("form", form, ("joint", "factorized")),
        ("head", head, ("linear", "mlp")),
    ):
        if value not in allowed:
            raise InputError(f"vgg {name}: got {value!r}, expected one of {', '.join(allowed)}")
    if not width > 0:
        raise InputError(f"vgg width: got {width}, expected a positive multiplier such as 0.25 or 1")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise InputError(f"vgg kernel size: got {kernel_size}, expected an odd number such as 3, 5 or 7")
    if first_stride < 1 or (first_stride > 1 and form != "joint"):
        raise InputError(
            f"vgg first stride: got {first_stride} for the {form} form, expected 1, or more if joint"
        )
    if classes < 1 or in_channels < 1:
        raise InputError(
            f"vgg: got {classes} classes and {in_channels} input channels, expected at least 1 of each"
        )

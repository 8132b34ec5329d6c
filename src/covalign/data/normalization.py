"""How pixels enter a network: (pixel / 255 - mean) / standard deviation, per channel.

Networks that are to be compared at their first layer must share this map, which is why the encodings
protocol uses ImageNet's constants for every colour data set (Guth & Menard 2024 use one convention).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from covalign.errors import InputError, unknown


@dataclass(frozen=True)
class Normalization:
    """Per-channel constants, in units of the full pixel range [0, 1].

    Attributes:
        name: of the constants.
        mean: one for all channels, or one a channel.
        std: likewise.

    Example:
        Black and white:

        >>> pixels = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
        >>> Normalization("half", mean=(0.5,), std=(0.25,))(pixels).tolist()
        [[[[-2.0, 2.0]]]]
    """

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: UInt8[Tensor, "n c h w"]) -> Float32[Tensor, "n c h w"]:
        """Map uint8 pixels to float32 network input."""
        self._check(pixels.shape[1])
        mean = torch.tensor(self.mean).view(1, -1, 1, 1) * 255
        std = torch.tensor(self.std).view(1, -1, 1, 1) * 255
        return (pixels.float() - mean.to(pixels.device)) / std.to(pixels.device)

    def affine(self, channels: int) -> tuple[Float64[Tensor, " c"], Float64[Tensor, " c"]]:
        """Return scale and shift of every channel, in float64: a pixel p becomes scale p + shift."""
        self._check(channels)
        mean, std = (
            torch.tensor(each, dtype=torch.float64).expand(channels) for each in (self.mean, self.std)
        )
        return 1 / (255 * std), -mean / std

    def _check(self, channels: int) -> None:
        if len(self.mean) not in (1, channels):
            raise InputError(
                f"normalization {self.name!r} has {len(self.mean)} channels and the images have {channels}; "
                "load the images with channels="
                f"{len(self.mean)} or choose another normalization"
            )


NORMALIZATIONS = {
    n.name: n
    for n in (
        Normalization("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        Normalization("cifar", (0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
        Normalization("none", (0.0,), (1.0,)),
    )
}


def normalization(name: str) -> Normalization:
    """Return a normalization by name, or by its constants.

    Args:
        name: "imagenet", "cifar" or "none"; or means and standard deviations, one for all channels or one each, in
            units of the full pixel range: "0.5/0.25", "0.49,0.48,0.45/0.25,0.24,0.26".

    Raises:
        InputError: neither of both, or a standard deviation that is not positive.
    """
    if name in NORMALIZATIONS:
        return NORMALIZATIONS[name]
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in name.split("/"))
    except ValueError:
        mean, std = (), ()
    if not mean or len(mean) != len(std) or not all(map(math.isfinite, mean + std)) or min(std) <= 0:
        more = ", or MEAN/STD with one number for all channels or one each, such as 0.49,0.48,0.45/0.25,0.24,0.26"
        raise unknown("normalization", name, NORMALIZATIONS, more)
    return Normalization(name, mean, std)

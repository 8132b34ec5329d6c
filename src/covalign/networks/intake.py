"""Which images does a network take, and how are pixels brought to that form?

What a network fixes (its number of channels; height and width where a layer counts positions, or the graph states
them) is known from reading it. Of images of another size the largest central part of the right proportions is
averaged over its grid (`covalign.data.pixels`); colours become grey by their luminance where it takes one channel,
and grey is repeated where it takes three. Other numbers of channels are refused: nothing says what the missing ones
hold.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from covalign.data.pixels import box_average, centre, with_channels
from covalign.errors import InputError
from covalign.limits import PIXELS

USUAL = 32
"""Side of the images on which a network that takes any size is looked at (our choice: that of CIFAR)."""


@dataclass(frozen=True)
class Intake:
    """What a network fixes of its images.

    Attributes:
        channels: their number; None where it is not known.
        height, width: in pixels; None where it takes any.
        channels_last: whether it takes ``[n, h, w, c]``; its source turns ``[n, c, h, w]`` into that.
    """

    channels: int | None = None
    height: int | None = None
    width: int | None = None
    channels_last: bool = False

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width at which images of a given size are taken."""
        return self.height or height, self.width or width

    def blank(self, channels: int, resolution: int | None = None) -> Float32[Tensor, "1 c h w"]:
        """Return one image of zeros, with ``channels`` where their number is not known."""
        side = resolution or self.height or self.width or USUAL
        PIXELS.check(side**2, "resolution")
        return torch.zeros(1, self.channels or channels, *self.size(side, side))

    def __str__(self) -> str:
        """Return channels x height x width, "any" where nothing is fixed, and where channels are if last."""
        shape = "x".join(str(each or "any") for each in (self.channels, self.height, self.width))
        return shape + ", channels last" * self.channels_last


ANY = Intake()
"""Nothing is fixed, or known to be."""


def fitted(pixels: UInt8[Tensor, "n c h w"], intake: Intake, name: str) -> UInt8[Tensor, "n k p q"]:
    """Bring pixels to the channels and the size that a network takes.

    Args:
        pixels: raw.
        intake: of the network.
        name: of the network, for the message.

    Raises:
        InputError: numbers of channels between which nothing converts.
    """
    given, wanted = pixels.shape[1], intake.channels
    if wanted is not None and given != wanted and {given, wanted} != {1, 3}:
        raise InputError(
            f"network {name!r} takes images of {wanted} channels, and these have {given}; pass images that have them "
            f"(an .npz with images [n, h, w, {wanted}]): channels are not made up"
        )
    pixels = pixels if wanted is None else with_channels(pixels, wanted)
    height, width = intake.size(*pixels.shape[2:])
    return box_average(centre(pixels, height, width), (height, width))


def arranged(batch: Float[Tensor, "n c h w"], intake: Intake) -> Float[Tensor, "n ..."]:
    """Bring a batch to the order of axes that a network takes."""
    return batch.movedim(1, -1).contiguous() if intake.channels_last else batch

"""How much of a similarity comes from filter slots alone?

In a factorized network the K inputs that belong to one channel are the responses to K frozen filters, and slot k
means the same filter in all networks. Two layers that merely use the filters in the same proportions are therefore
alike, whatever their channels do. With the channels of one turned at random and the slots left in place,

    C -> (O (x) I_K) C (O (x) I_K)^T,   O Haar on channels,

only this slot structure is left; with a Haar rotation of everything not even that.
"""

from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.bures import bures_wasserstein_cosine
from covalign.encoding.covariance import WeightCovariance
from covalign.encoding.haar import haar_frame
from covalign.errors import InputError


def slot_level(
    c1: WeightCovariance, c2: WeightCovariance, slots: int, *, draws: int = 10, seed: int = 0
) -> float:
    """Return the mean Bures-Wasserstein cosine of two covariances after the channels of c2 were turned at random.

    Args:
        c1, c2: covariances of equal dimension d = channels x slots; the slots of a channel are consecutive. They
            are compared as they are: shrink them before.
        slots: K.
        draws: random rotations.
        seed: of the rotations.

    Raises:
        InputError: different dimensions, or one that is no multiple of ``slots``.
    """
    if c1.dimension != c2.dimension or c1.dimension % slots:
        raise InputError(
            f"slots: got covariances of dimensions {c1.dimension} and {c2.dimension}, expected equal ones that "
            f"are multiples of {slots} slots"
        )
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(draws):
        total += bures_wasserstein_cosine(c1, turned_channels(c2, slots, generator))
    return total / draws


def turned_channels(c: WeightCovariance, slots: int, generator: torch.Generator) -> WeightCovariance:
    """Return the covariance with its channels turned by a Haar rotation, and every slot left in place."""
    channels = c.dimension // slots
    rotation = haar_frame(channels, channels, generator)
    return replace(c, eigenvectors=_on_channels(rotation, c.eigenvectors, slots))


def _on_channels(
    rotation: Float64[Tensor, "c c"], vectors: Float64[Tensor, "d r"], slots: int
) -> Float64[Tensor, "d r"]:
    by_channel = vectors.reshape(len(rotation), slots * vectors.shape[1])
    return (rotation @ by_channel).reshape(vectors.shape)

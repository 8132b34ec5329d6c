"""What is left of two layers without their strongest common directions?

The agreement weighs directions by the square of their excess variance, so that one dominating direction rules it. The
r leading eigenvectors of the pooled second moment (S_1 + S_2) / 2 are therefore projected out of the neurons of both
networks, which get unit length again, in d - r dimensions. For convolutions these are directions of *channels*, so
that what is left still consists of channels and places.

The neurons are written in coordinates of what is left by r Householder reflections; a d x d matrix is never formed.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.coordinates import Layer, remaining
from covalign.errors import InputError


def without_leading(
    first: Layer, second: Layer, axes: Float64[Tensor, "f c"] | None, count: int, *, unit_length: bool = True
) -> tuple[Layer, Layer, Float64[Tensor, "f left"] | None]:
    """Remove ``count`` leading channel directions from two layers, and from the channel axes of their noise.

    Raises:
        InputError: a negative count, or no two channels would be left.
    """
    if count == 0:
        return first, second, axes
    channels = first.blocks.shape[1]
    if count < 0 or channels - count < 2:
        raise InputError(
            f"remove_top: got {count} of {channels} channels, expected at least 0 and at least 2 channels left"
        )
    if not len(first.blocks) or not len(second.blocks):
        return first, second, axes
    reflectors = torch.geqrf(leading_directions([first, second], count))
    layers = [
        remaining(layer, _outside(layer.blocks, *reflectors), unit_length=unit_length)
        for layer in (first, second)
    ]
    if axes is not None:
        axes = _outside(axes[:, :, None], *reflectors)[:, :, 0]
    return layers[0], layers[1], axes


def leading_directions(layers: list[Layer], count: int) -> Float64[Tensor, "c r"]:
    """Return the leading channel eigenvectors of the mean second moment; by the smaller of both Gram matrices."""
    columns = torch.cat(
        [layer.blocks.movedim(1, 0).flatten(1) / len(layer.blocks) ** 0.5 for layer in layers], dim=1
    )
    if columns.shape[0] <= columns.shape[1]:
        vectors: Tensor = torch.linalg.eigh(columns @ columns.T).eigenvectors[:, -count:]
        return vectors
    right = torch.linalg.eigh(columns.T @ columns).eigenvectors[:, -count:]
    left: Tensor = torch.linalg.qr(columns @ right).Q
    return left


def _outside(
    blocks: Float64[Tensor, "n c s"], reflectors: Tensor, factors: Tensor
) -> Float64[Tensor, "n left s"]:
    """Return the channels orthogonal to the directions whose Householder reflectors are given."""
    neurons, channels, places = blocks.shape
    columns = blocks.movedim(1, 0).reshape(channels, -1)
    turned = torch.ormqr(reflectors, factors, columns, transpose=True)[reflectors.shape[1] :]
    return turned.reshape(-1, neurons, places).movedim(1, 0)

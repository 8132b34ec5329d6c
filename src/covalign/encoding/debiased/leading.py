"""What is left of two layers without their strongest common directions?

The agreement weighs directions by the square of their excess variance, so that one dominating direction rules it. The
r leading eigenvectors of the second moment of all neurons of both are therefore projected out of these neurons,
which get unit length again, in d - r dimensions. For convolutions these are directions of *channels*, so
that what is left still consists of channels and places.

A direction that is fitted to both networks makes what is left of them alike. With H the projection onto the r left
singular vectors U of all neurons, what is left of the stacked rows X is (I - H) X: neurons that were independent now
have the inner product - H_ij tr, and unit-length ones the correlation

    - l_i . l_j,    l_i = U_i / sqrt(1 - |U_i|^2).

Squared and averaged this is a bias of all U by up to r (tr / n)^2 / 4, with which unrelated networks look alike. The
kernel is therefore that of w . v + l . l': rows get the columns l (for convolutions U / sqrt(s), place by place).

This holds where all neurons have the same length *outside* the removed directions; at unit length those that lie
almost inside have nearly none, and what is fitted to the others would dominate them. Directions are therefore those
of neurons divided by what is left of them, found by `REWEIGHTINGS` repetitions.

The neurons are written in coordinates of what is left by r Householder reflections; a d x d matrix is never formed.
"""

from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.coordinates import DUST, Layer, remaining
from covalign.errors import InputError

REWEIGHTINGS = 4
"""After these directions change little; our choice."""

SHORTEST = 0.01
"""Share of the median below which what is left of a neuron counts as no shorter; our choice."""


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
    directions, columns = _fitted(torch.cat([first.blocks, second.blocks]), count, REWEIGHTINGS * unit_length)
    reflectors = torch.geqrf(directions)
    layers = []
    for layer, part in zip((first, second), _leverages(columns, directions, first, second), strict=True):
        blocks = _outside(layer.blocks, *reflectors)
        scale = 1.0 if unit_length else blocks.flatten(1).norm(dim=1, keepdim=True)
        layers.append(remaining(replace(layer, leverage=scale * part), blocks, unit_length=unit_length))
    if axes is not None:
        axes = _outside(axes[:, :, None], *reflectors)[:, :, 0]
    return layers[0], layers[1], axes


def _fitted(
    blocks: Float64[Tensor, "n c s"], count: int, repetitions: int
) -> tuple[Float64[Tensor, "c r"], Float64[Tensor, "c m"]]:
    """Return leading directions, and the weighted neurons (a column for each place) that they are those of."""
    columns = blocks.movedim(1, 0).flatten(1)
    directions = leading_directions(columns, count)
    for _ in range(repetitions):
        left = (blocks - directions @ (directions.T @ blocks)).flatten(1).norm(dim=1)
        weighted = blocks / left.clamp(min=SHORTEST * float(left.median()))[:, None, None]
        columns = weighted.movedim(1, 0).flatten(1)
        directions = leading_directions(columns, count)
    return directions, columns


def leading_directions(columns: Float64[Tensor, "c m"], count: int) -> Float64[Tensor, "c r"]:
    """Return the leading left singular vectors, from the smaller Gram matrix."""
    if columns.shape[0] <= columns.shape[1]:
        vectors: Tensor = torch.linalg.eigh(columns @ columns.T).eigenvectors[:, -count:]
        return vectors
    right = torch.linalg.eigh(columns.T @ columns).eigenvectors[:, -count:]
    left: Tensor = torch.linalg.qr(columns @ right).Q
    return left


def _leverages(
    columns: Float64[Tensor, "c m"], directions: Float64[Tensor, "c r"], first: Layer, second: Layer
) -> tuple[Float64[Tensor, "n1 sr"], Float64[Tensor, "n2 sr"]]:
    """Return l of all neurons of both networks."""
    places = first.blocks.shape[2]
    along = columns.T @ directions
    singular = along / along.norm(dim=0)
    rows = singular.reshape(len(first.blocks) + len(second.blocks), -1) / places**0.5
    scaled = rows / (1 - rows.square().sum(1, keepdim=True)).clamp(min=DUST).sqrt()
    return scaled[: len(first.blocks)], scaled[len(first.blocks) :]


def _outside(
    blocks: Float64[Tensor, "n c s"], reflectors: Tensor, factors: Tensor
) -> Float64[Tensor, "n left s"]:
    """Return the channels orthogonal to the directions whose Householder reflectors are given."""
    neurons, channels, places = blocks.shape
    columns = blocks.movedim(1, 0).reshape(channels, -1)
    turned = torch.ormqr(reflectors, factors, columns, transpose=True)[reflectors.shape[1] :]
    return turned.reshape(-1, neurons, places).movedim(1, 0)

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

from covalign.encoding.debiased.coordinates import DUST, Layer, on_range, remaining
from covalign.encoding.debiased.products import SHORT, Products, Projected
from covalign.errors import InputError
from covalign.kernels.symmetric import gram, leading_eigenvectors
from covalign.kernels.thin import FLOOR

REWEIGHTINGS = 4
"""After these directions change little; our choice."""

SHORTEST = 0.01
"""Share of the median below which what is left of a neuron counts as no shorter; our choice."""


def without_leading(
    first: Layer,
    second: Layer,
    axes: Float64[Tensor, "f c"] | None,
    count: int,
    products: Products | None = None,
    *,
    unit_length: bool = True,
) -> tuple[Layer, Layer, Float64[Tensor, "f left"] | None, Products | None]:
    """Remove ``count`` leading channel directions from two layers, and from the channel axes of their noise.

    Inner products of all neurons, where they are known, spare those of the reweighted ones, and are carried along;
    None is returned where they have to be formed again.

    Raises:
        InputError: a negative count, or no two channels would be left.
    """
    if count == 0:
        return first, second, axes, products
    channels = first.blocks.shape[1]
    if count < 0 or channels - count < 2:
        raise InputError(
            f"remove_top: got {count} of {channels} channels, expected at least 0 and at least 2 channels left"
        )
    if not len(first.blocks) or not len(second.blocks):
        return first, second, axes, products
    blocks, repetitions = torch.cat([first.blocks, second.blocks]), REWEIGHTINGS * unit_length
    fitted = _fitted_in_products(blocks, count, repetitions, products) if products else None
    directions, singular = fitted or _fitted(blocks, count, repetitions)
    reflectors = torch.geqrf(directions)
    layers, projected = [], []
    for layer, part in zip((first, second), _leverages(singular, first, second), strict=True):
        left = _outside(layer.blocks, *reflectors)
        lengths = left.flatten(1).norm(dim=1)
        scale = 1.0 if unit_length else lengths[:, None]
        layers.append(remaining(replace(layer, leverage=scale * part), left, unit_length=unit_length))
        if products is not None:
            projected.append(_projected(layer, lengths, *reflectors, unit_length=unit_length))
    if axes is not None:
        axes = _outside(axes[:, :, None], *reflectors)[:, :, 0]
    return layers[0], layers[1], axes, products.outside(*projected) if products else None


def _projected(
    layer: Layer, lengths: Float64[Tensor, " n"], reflectors: Tensor, factors: Tensor, *, unit_length: bool
) -> Projected:
    frame = torch.linalg.householder_product(reflectors, factors)
    along = on_range(frame, layer.blocks).flatten(1)
    scales = lengths if unit_length else torch.ones_like(lengths)
    return Projected(along, scales, float((lengths / layer.rows.norm(dim=1)).min()))


Fitted = tuple[Float64[Tensor, "c r"], Float64[Tensor, "m r"]]
"""Leading directions, and the coordinates of the weighted neurons along them, divided by their length."""


def _fitted_in_products(
    blocks: Float64[Tensor, "n c s"], count: int, repetitions: int, products: Products
) -> Fitted | None:
    """`_fitted` from inner products G alone: those of weighted neurons are D G D.

    With D G D = V L V^T the directions are X^T D V L^(-1/2), the coordinates along them G D V L^(-1/2). None where
    the channels are the smaller side, or where an eigenvalue or what is left of a neuron is too small for this.
    """
    neurons, channels, places = blocks.shape
    if places > 1 or channels <= neurons:
        return None
    inner = products.pooled
    energy, weights = inner.diagonal().clone(), torch.ones(neurons).to(inner)
    for repetition in range(repetitions + 1):
        values, vectors = leading_eigenvectors(weights[:, None] * inner * weights, count)
        if not bool(values[0] > FLOOR * values[-1]):
            return None
        turn = vectors / values.sqrt() * weights[:, None]
        if repetition == repetitions:
            break
        left = energy - (inner @ turn).square().sum(1)
        if bool((left < SHORT**2 * energy).any()):
            return None
        weights = _weights(left.sqrt())
    return blocks[:, :, 0].T @ turn, vectors


def _weights(left: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    return 1 / left.clamp(min=SHORTEST * float(left.median()))


def _fitted(blocks: Float64[Tensor, "n c s"], count: int, repetitions: int) -> Fitted:
    """Fit directions to the weighted neurons, a column for each place."""
    columns = blocks.movedim(1, 0).flatten(1)
    directions = leading_directions(columns, count)
    for _ in range(repetitions):
        inside = on_range(directions.T, on_range(directions, blocks))
        left = (blocks - inside).flatten(1).norm(dim=1)
        columns = (blocks * _weights(left)[:, None, None]).movedim(1, 0).flatten(1)
        directions = leading_directions(columns, count)
    along = columns.T @ directions
    return directions, along / along.norm(dim=0)


def leading_directions(columns: Float64[Tensor, "c m"], count: int) -> Float64[Tensor, "c r"]:
    """Return the leading left singular vectors, from the smaller Gram matrix."""
    if columns.shape[0] <= columns.shape[1]:
        return leading_eigenvectors(gram(columns), count)[1]
    right = leading_eigenvectors(gram(columns.T), count)[1]
    left: Tensor = torch.linalg.qr(columns @ right).Q
    return left


def _leverages(
    singular: Float64[Tensor, "m r"], first: Layer, second: Layer
) -> tuple[Float64[Tensor, "n1 sr"], Float64[Tensor, "n2 sr"]]:
    """Return l of all neurons of both networks."""
    places = first.blocks.shape[2]
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

"""Which scale of an input channel is a convention, and what noise looks like once it is folded away?

Multiplying a neuron by t and the next layer's columns by 1/t changes no function of a network without
normalization in between (or with ReLU, t > 0), but it changes the rows of the next layer. What does not change is
w_c r_c, r_c the root-mean-square of input channel c. After this folding isotropic noise of the rows has the shape
N = diag(r^2), which two networks share in part for no reason of learning: the kernel therefore leaves out the span of
{I, N_1, N_2}, in the coordinates of the comparison

    N_1 = diag(r_1^2),    N_2 = A^T diag(r_2^2) A        (d1 <= d2).

Shapes: rows ``[n, d]``, r ``[c]``, N ``[c, c]`` or its diagonal ``[c]``.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError

SINGULAR = 1e-10
"""Eigenvalue below which shapes count as linearly dependent (as where all scales are equal); our choice."""


def gauge_folded(rows: ArrayLike, scales: ArrayLike, places: int = 1) -> Float64[Tensor, "n d"]:
    """Return rows whose columns are multiplied by the root-mean-square of their input channel.

    Args:
        rows: ``[n, d]``, columns ordered (channel, place).
        scales: ``[d / places]``, root-mean-square of each channel, measured on the inputs of the layer; a scale
            that is zero (a channel that is never active) removes its columns from the comparison.
        places: k^2 for a joint convolution.

    Raises:
        InputError: another number of scales, or a negative one.
    """
    values, rms = as_float64(rows, "rows", "n d"), as_float64(scales, "input_scales", "c")
    if len(rms) * places != values.shape[1]:
        raise InputError(
            f"input_scales: got {len(rms)} for {values.shape[1]} columns of {places} places, expected one a channel"
        )
    if float(rms.min()) < 0:
        raise InputError(
            f"input_scales: got {float(rms.min()):.3g}, expected root-mean-squares, none below zero"
        )
    return values * rms.to(values.device).repeat_interleave(places)


def noise_shapes(
    scales_1: Float64[Tensor, " c1"],
    scales_2: Float64[Tensor, " c2"],
    rotation: Float64[Tensor, "c2 c1"] | None,
) -> list[Tensor]:
    """Return N_1 and N_2 in the coordinates of the narrower network, diagonal ones as vectors."""
    if rotation is None:
        return [scales_1.square(), scales_2.square()]
    if len(scales_1) > len(scales_2):
        return noise_shapes(scales_2, scales_1, rotation.T)[::-1]
    return [scales_1.square(), rotation.T @ (scales_2.square()[:, None] * rotation)]


def on_blocks(shape: Tensor, blocks: Float64[Tensor, "n c s"]) -> Float64[Tensor, "n c s"]:
    """Return N W for every neuron W."""
    return shape[:, None] * blocks if shape.ndim == 1 else shape @ blocks


def dense(shape: Tensor) -> Float64[Tensor, "c c"]:
    """Return N as a matrix."""
    return shape.diag() if shape.ndim == 1 else shape


def inner(first: Tensor, second: Tensor) -> float:
    """Return the inner product of two shapes."""
    if first.ndim == second.ndim:
        return float((first * second).sum())
    diagonal, matrix = (first, second) if first.ndim == 1 else (second, first)
    return float(diagonal @ matrix.diagonal())


def orthonormal_span(shapes: list[Tensor]) -> Float64[Tensor, "k m"]:
    """Return coefficients of an orthonormal basis of the span of shapes, a column each; what vanishes is left out.

    With G the inner products of the shapes brought to unit length, the columns are eigenvectors / sqrt(eigenvalue).
    """
    norms = torch.tensor([inner(shape, shape) for shape in shapes], dtype=torch.float64).sqrt()
    gram = torch.tensor([[inner(a, b) for b in shapes] for a in shapes], dtype=torch.float64)
    scale = norms.clamp(min=1e-300)
    values, vectors = torch.linalg.eigh(gram / scale / scale[:, None])
    kept = values > SINGULAR
    basis: Tensor = vectors[:, kept] / values[kept].sqrt() / scale[:, None]
    return basis

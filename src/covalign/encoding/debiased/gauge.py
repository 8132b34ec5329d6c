"""Which scale of an input channel is a convention, and what noise looks like once it is folded away?

Multiplying a neuron by t and the next layer's columns by 1/t changes no function of a network without
normalization in between (or with ReLU, t > 0), but it changes the rows of the next layer. What does not change is
w_c r_c, r_c the root-mean-square of input channel c. After this folding isotropic noise of the rows has another
variance along every channel axis, which two networks share in part for no reason of learning. Neither its shape nor
the gauge in which it was isotropic is known; whatever it is, it is diagonal in the channels of its own network. The
kernel therefore leaves out all matrices that are diagonal in the channels of network 1 or in those of network 2: the
span of f_j f_j^T over the axes f_j of both, in common coordinates the rows of

    F = [I; A]  ``[d1 + d2, d1]``        (d1 <= d2),     Gram matrix G_jk = (f_j . f_k)^2.

These are 2 d of the d^2/2 dimensions of symmetric matrices. (Leaving out only I, diag(r_1^2) and A^T diag(r_2^2) A
assumes that noise was isotropic in the gauge at hand; networks that are functionally equal would read differently.)

Shapes: rows ``[n, d]``, r ``[c]``, F ``[f, c]``.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError

RIDGE = 1e-12
"""Added to G, which is singular: the axes of both networks have the identity in common."""


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


def channel_axes(channels: int, rotation: Float64[Tensor, "c2 c1"] | None) -> Float64[Tensor, "f c"]:
    """Return the channel axes F of both networks, in the coordinates of the narrower one."""
    own = torch.eye(channels, dtype=torch.float64)
    if rotation is None:
        return own
    other = rotation if rotation.shape[0] >= rotation.shape[1] else rotation.T
    return torch.cat([own.to(other), other])


def diagonal_features(
    blocks: Float64[Tensor, "n c s"], axes: Float64[Tensor, "f c"]
) -> Float64[Tensor, "n m"]:
    """Coordinates of W W^T, place by place, in an orthonormal basis of the matrices that are diagonal on either side.

    For neuron W these are L^-1 (f_j^T W_a)(f_j^T W_b), G = L L^T, for all places a and b.
    """
    axes = axes.to(blocks)
    gram = (axes @ axes.T).square()
    lower = torch.linalg.cholesky(gram + RIDGE * torch.eye(len(gram)).to(gram))
    seen = (axes @ blocks).movedim(1, 0)
    squares = (seen[..., :, None] * seen[..., None, :]).flatten(1)
    whitened: Tensor = torch.linalg.solve_triangular(lower, squares, upper=False)
    return whitened.reshape(len(axes), len(blocks), -1).movedim(1, 0).flatten(1)

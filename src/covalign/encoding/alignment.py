"""Which rotation makes the hidden representations of two networks agree?

Two networks represent the same image by vectors phi_1 and phi_2 that may differ by a rotation without
differing in content. The orthogonal Procrustes alignment minimizes E ||A phi_1 - phi_2||^2: with the
uncentred cross-moment M = E[phi_2 phi_1^T] = U S V^T it is A = U V^T (Schonemann 1966; Guth & Menard 2024,
eq. 1). Every position of every image is one sample.

Shape convention: M and A are ``[d2, d1]``, they map network 1 into network 2.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.reasons import Reason, Remark, Remarks, in_words

SAMPLES_PER_DIMENSION = 5
"""Below this many samples per dimension a rotation is fitted to noise; our choice ("a few times d")."""


@dataclass(frozen=True, eq=False)
class Alignment:
    """A rotation between two representations and how well it carries over to unseen images.

    Attributes:
        rotation: shape ``[d2, d1]``, with orthonormal columns where d2 >= d1.
        correlation: tr(A^T M) / sqrt(E||phi_1||^2 E||phi_2||^2) on held-out images, in [-1, 1]; NaN where
            nothing was held out.
        samples: number of positions the rotation was fitted to; 0 where it was not fitted.
        fitted: False where the rotation is known: the identity where inputs are shared, a permutation of slots.
    """

    rotation: Float64[Tensor, "d2 d1"]
    correlation: float = math.nan
    samples: int = 0
    fitted: bool = True

    @property
    def remarks(self) -> Remarks:
        """Why this alignment should not be trusted; empty where nothing speaks against it."""
        dimension = max(self.rotation.shape)
        enough = SAMPLES_PER_DIMENSION * dimension
        if self.fitted and 0 < self.samples < enough:
            return (Remark(Reason.FEW_SAMPLES, (self.samples, dimension, enough)),)
        return ()

    @property
    def reason(self) -> str:
        """The remarks in words."""
        return in_words(self.remarks)


def procrustes(cross_moment: ArrayLike) -> Alignment:
    """Return the orthogonal A = U V^T of M = U S V^T, which maximizes tr(A^T M).

    For d2 >= d1 it also minimizes E ||A phi_1 - phi_2||^2. Directions in which M vanishes are rotated
    arbitrarily (but A^T A = I still holds).

    Args:
        cross_moment: M = E[phi_2 phi_1^T], shape ``[d2, d1]``; its scale is irrelevant.

    Example:
        A network whose second channel has the other's sign flipped, and whose channels are swapped:

        >>> procrustes([[0.0, -2.0], [1.0, 0.0]]).rotation.tolist()
        [[0.0, -1.0], [1.0, 0.0]]

    Raises:
        InputError: not a finite matrix.
    """
    moment = as_float64(cross_moment, "cross_moment", "d2 d1")
    left, _, right = torch.linalg.svd(moment, full_matrices=False)
    return Alignment(left @ right)


def alignment_correlation(
    rotation: Float64[Tensor, "d2 d1"], moment: Float64[Tensor, "d2 d1"], energy_1: float, energy_2: float
) -> float:
    """Return tr(A^T M) / sqrt(E||phi_1||^2 E||phi_2||^2), all sums over the same samples."""
    scale = math.sqrt(energy_1 * energy_2)
    if not scale > 0:
        return math.nan
    return max(-1.0, min(1.0, float((rotation * moment).sum()) / scale))  # beyond 1 is float32 rounding

"""Which rotation makes the hidden representations of two networks agree?

Two networks represent the same image by vectors phi_1 and phi_2 that may differ by a rotation without
differing in content. The orthogonal Procrustes alignment minimizes E ||A phi_1 - phi_2||^2: with the
uncentred cross-moment M = E[phi_2 phi_1^T] = U S V^T it is A = U V^T (Schonemann 1966; Guth & Menard 2024,
eq. 1). Every position of every image is one sample.

Shape convention: M and A are ``[d2, d1]``, they map network 1 into network 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.reasons import Reason, Remark, Remarks, in_words
from covalign.errors import InputError
from covalign.kernels.krylov import leading_triplets
from covalign.kernels.thin import nuclear_norm
from covalign.showing import Shown

SAMPLES_PER_DIMENSION = 5
"""Below this many samples per dimension a rotation is fitted to noise; our choice ("a few times d")."""

RESIDUAL = 1e-8
"""Of leading directions, in units of the largest singular value; our choice."""

WORTHWHILE = 8
"""Dimensions a direction from which on leading directions are found without the others; our choice."""


@dataclass(frozen=True, eq=False, repr=False)
class Alignment(Shown):
    """A rotation between two representations and how well it carries over to unseen images.

    Attributes:
        rotation: shape ``[d2, d1]``, with orthonormal columns where d2 >= d1.
        correlation: tr(A^T M) / sqrt(E||phi_1||^2 E||phi_2||^2) on held-out images, in [-1, 1]; NaN where
            nothing was held out.
        samples: number of positions the rotation was fitted to; 0 where it was not fitted.
        fitted: False where the rotation is known: the identity where inputs are shared, a permutation of slots.

    References:
        Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31, 1966; Guth &
        Ménard, "On the universality of neural encodings in CNNs", 2024, equation 1.
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

    Raises:
        InputError: not a finite matrix.

    Example:
        A network whose second channel has the other's sign flipped, and whose channels are swapped:

        >>> procrustes([[0.0, -2.0], [1.0, 0.0]]).rotation.tolist()
        [[0.0, -1.0], [1.0, 0.0]]

    References:
        Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31, 1966; Guth &
        Ménard, "On the universality of neural encodings in CNNs", 2024, equation 1.
    """
    moment = as_float64(cross_moment, "cross_moment", "d2 d1")
    left, _, right = torch.linalg.svd(moment, full_matrices=False)
    return Alignment(left @ right)


@dataclass(frozen=True, eq=False, repr=False)
class LeadingAlignment(Shown):
    """The part of an alignment that carries the strongest common directions: A_r = U_r V_r^T.

    Attributes:
        left: U_r ``[d2, r]``, directions of network 2.
        singular: shape ``[r]``, descending, in units of the moment.
        right: V_r ``[d1, r]``, directions of network 1; signs are arbitrary in pairs.
    """

    left: Float64[Tensor, "d2 r"]
    singular: Float64[Tensor, " r"]
    right: Float64[Tensor, "d1 r"]

    @property
    def captured(self) -> float:
        """tr(A_r^T M), the sum of the leading singular values."""
        return float(self.singular.sum())


def leading_alignment(cross_moment: ArrayLike, directions: int) -> LeadingAlignment:
    """Return A_r = U_r V_r^T of M = U S V^T, the leading part of `procrustes` where the whole would be too large.

    Singular values are within 1e-8 of the largest one of exact ones, by their residuals; where a flat spectrum does
    not let these fall that low, M is decomposed in full.

    Args:
        cross_moment: M = E[phi_2 phi_1^T], shape ``[d2, d1]``; singular values are in units of it.
        directions: r.

    Raises:
        InputError: not a finite matrix, or a number of directions that it does not have.

    Example:
        Of a moment with singular values 2 and 1, one direction captures 2:

        >>> leading_alignment([[0.0, -2.0], [1.0, 0.0]], 1).captured
        2.0

    References:
        Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31, 1966; Guth &
        Ménard, "On the universality of neural encodings in CNNs", 2024, equation 1.
    """
    moment = as_float64(cross_moment, "cross_moment", "d2 d1")
    if not 1 <= directions <= min(moment.shape):
        raise InputError(f"directions: got {directions}, expected 1 to {min(moment.shape)} for this moment")
    found = (
        leading_triplets(moment, directions, RESIDUAL)
        if WORTHWHILE * directions < min(moment.shape)
        else None
    )
    if found is None:
        left, singular, right = torch.linalg.svd(moment, full_matrices=False)
        found = left[:, :directions], singular[:directions], right[:directions].T
    return LeadingAlignment(*found)


def alignment_distances(representations: Sequence[ArrayLike]) -> Float64[Tensor, "k k"]:
    """Return the angle between every two representations after the best rotation.

    theta = arccos(||X^T Y||_* / (||X|| ||Y||)) of centred X and Y, a metric; in radians, from 0 to pi / 2.

    Args:
        representations: k of them, at least two, each ``[m, d_i]`` with the same m samples in rows, of any scale.

    Returns:
        ``[k, k]``, symmetric, zeros on the diagonal.

    Raises:
        InputError: fewer than two, different numbers of samples, or one that does not vary.

    Example:
        One unit that goes up and down, the same unit seen through two, and one that is unrelated:

        >>> one, unrelated = [[1.0], [-1.0], [1.0], [-1.0]], [[1.0], [1.0], [-1.0], [-1.0]]
        >>> spread = [[3 * x, 4 * x] for [x] in one]
        >>> alignment_distances([one, spread, unrelated]).rad2deg().round().tolist()
        [[0.0, 0.0, 90.0], [0.0, 0.0, 90.0], [90.0, 90.0, 0.0]]

    References:
        Williams, Kunz, Kornblith & Linderman, "Generalized shape metrics on neural representations", NeurIPS 2021,
        with alpha = 1.
    """
    values = [as_float64(each, f"representations[{i}]", "m d") for i, each in enumerate(representations)]
    if len(values) < 2 or len({len(each) for each in values}) > 1:
        raise InputError(
            f"representations: got {[tuple(each.shape) for each in values]}, expected at least two with equal "
            "numbers of rows: pass the same samples to all networks"
        )
    centred = [each - each.mean(0) for each in values]
    sizes = [each.norm() for each in centred]
    if not min(sizes) > 0:
        raise InputError(
            "representations: got one that is the same for all samples, expected one that varies"
        )
    scaled = [each / size for each, size in zip(centred, sizes, strict=True)]
    angles = torch.zeros(len(values), len(values), dtype=torch.float64)
    for i, one in enumerate(scaled[:-1]):
        products = torch.cat(scaled[i + 1 :], 1).T @ one
        widths = [each.shape[1] for each in scaled[i + 1 :]]
        for j, moment in enumerate(products.split(widths), start=i + 1):
            angles[i, j] = angles[j, i] = math.acos(min(1.0, nuclear_norm(moment)))
    return angles


def alignment_correlation(
    rotation: Float64[Tensor, "d2 d1"], moment: Float64[Tensor, "d2 d1"], energy_1: float, energy_2: float
) -> float:
    """Return tr(A^T M) / sqrt(E||phi_1||^2 E||phi_2||^2), all sums over the same samples."""
    scale = math.sqrt(energy_1 * energy_2)
    if not scale > 0:
        return math.nan
    return max(-1.0, min(1.0, float((rotation * moment).sum()) / scale))  # beyond 1 is float32 rounding

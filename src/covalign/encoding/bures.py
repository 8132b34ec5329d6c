"""How far apart are two covariances?

Bures-Wasserstein distance and cosine, computed from factors F_i = V_i diag(lambda_i)^(1/2) [d, r_i], so
that no d x d matrix is ever formed: ||C_1^(1/2) C_2^(1/2)||_* = ||F_1^T F_2||_*, the sum of the singular
values of an r_1 x r_2 matrix.

    d^2 = tr C_1 + tr C_2 - 2 ||C_1^(1/2) C_2^(1/2)||_*          (Bhatia, Jain & Lim 2019)
    cosine = ||C_1^(1/2) C_2^(1/2)||_* / sqrt(tr C_1 tr C_2)      (Guth & Menard 2024, eq. 5)
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.covariance import WeightCovariance
from covalign.errors import InputError
from covalign.kernels.symmetric import gram
from covalign.kernels.thin import nuclear_norm, nuclear_norms

CLOSE = 1e-3
"""Share of tr C_1 + tr C_2 below which d^2 is not read from the difference, which is wrong by some 1e-12 of them."""

Covariance: TypeAlias = WeightCovariance | ArrayLike
"""A weight covariance, or a dense symmetric positive semi-definite ``[d, d]`` matrix."""


def bures_wasserstein_cosine(c1: Covariance, c2: Covariance) -> float:
    """Return the cosine of two covariances, in [0, 1]; 1 exactly for proportional ones.

        cosine = ||C_1^(1/2) C_2^(1/2)||_* / sqrt(tr C_1 tr C_2)

    Invariant under a common rotation and under rescaling either covariance. Noise is not removed here, and
    independent noise alone is *not* near 0: compare with a chance level.

    Args:
        c1, c2: weight covariances, or dense symmetric matrices ``[d, d]`` without negative eigenvalues.

    Raises:
        InputError: different dimensions, or a covariance that is zero (its cosine is undefined).

    Example:
        Equal directions with different variances are not quite the same covariance:

        >>> round(bures_wasserstein_cosine([[1.0, 0.0], [0.0, 1.0]], [[9.0, 0.0], [0.0, 1.0]]), 4)
        0.8944

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, equation 5.
    """
    one, other = _axes(c1, c2)
    # Spectra are scaled to unit trace first, so that no product over- or underflows.
    return min(1.0, nuclear_norm(_overlap(_unit_trace(one, "c1"), _unit_trace(other, "c2"))))


def bures_wasserstein_distance(c1: Covariance, c2: Covariance) -> float:
    """Return the distance d between two covariances; it is a metric, in units of a standard deviation.

        d^2 = tr C_1 + tr C_2 - 2 ||C_1^(1/2) C_2^(1/2)||_*

    Where c1 is close to c2, so that the formula would cancel, it is min_Q ||F_1 - F_2 Q||_F over orthogonal Q.

    Args:
        c1, c2: weight covariances, or dense symmetric matrices ``[d, d]`` without negative eigenvalues.

    Raises:
        InputError: different dimensions.

    Example:
        Where axes agree, it is the distance of the standard deviations, here (1, 1) and (3, 1):

        >>> round(bures_wasserstein_distance([[1.0, 0.0], [0.0, 1.0]], [[9.0, 0.0], [0.0, 1.0]]), 6)
        2.0

    References:
        Bhatia, Jain & Lim, "On the Bures-Wasserstein distance between positive definite matrices", Expositiones
        Mathematicae 37, 2019.
    """
    one, other = _axes(c1, c2)
    traces = float(one[0].sum() + other[0].sum())
    squared = traces - 2 * nuclear_norm(_overlap(one, other))
    if squared > CLOSE * traces:
        return math.sqrt(squared)
    return factor_distance(*(vectors * values.sqrt() for values, vectors in (one, other)))


def bures_wasserstein_distances(covariances: Sequence[Covariance]) -> Float64[Tensor, "k k"]:
    """Return the distance of every two covariances, as `bures_wasserstein_distance` gives it.

    With factors C_i = F_i F_i^T of all covariances side by side, one product of these with their own transpose
    holds F_i^T F_j of all pairs; their singular values are found together.

    Args:
        covariances: k of them, at least one, all of one dimension: weight covariances, or matrices ``[d, d]``.

    Returns:
        ``[k, k]``, symmetric, zeros on the diagonal, in units of a standard deviation.

    Raises:
        InputError: none, or different dimensions.

    Example:
        Standard deviations 1, 2 and 4:

        >>> bures_wasserstein_distances([[[1.0]], [[4.0]], [[16.0]]]).round(decimals=6).tolist()
        [[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]

    References:
        Bhatia, Jain & Lim, "On the Bures-Wasserstein distance between positive definite matrices", Expositiones
        Mathematicae 37, 2019.
    """
    if not covariances:
        raise InputError("covariances: got none, expected at least one")
    factors = [_factor(c, f"covariances[{i}]") for i, c in enumerate(covariances)]
    if len({len(each) for each in factors}) > 1:
        raise InputError(
            f"covariances of dimensions {', '.join(str(len(each)) for each in factors)} cannot be compared; "
            "rotate the narrower ones into the wider network's coordinates first"
        )
    widths = [each.shape[1] for each in factors]
    inner = gram(torch.cat(factors, 1).T)
    blocks = [row.split(widths, 1) for row in inner.split(widths)]
    traces = torch.stack([each.square().sum() for each in factors])
    found = inner.new_zeros(len(factors), len(factors))
    for pairs in _of_one_shape(widths):
        one, other = torch.tensor(pairs).T
        norms = nuclear_norms(torch.stack([blocks[i][j] for i, j in pairs]))
        both = traces[one] + traces[other]
        squared = both - 2 * norms
        found[one, other] = found[other, one] = squared.clamp(min=0).sqrt()
        for near in (squared <= CLOSE * both).nonzero()[:, 0].tolist():
            i, j = pairs[near]
            found[i, j] = found[j, i] = factor_distance(factors[i], factors[j])
    return found


def _of_one_shape(widths: Sequence[int]) -> Iterable[list[tuple[int, int]]]:
    """Return the pairs i < j, those whose products have one shape together."""
    shapes: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for i, j in itertools.combinations(range(len(widths)), 2):
        shapes.setdefault((widths[i], widths[j]), []).append((i, j))
    return shapes.values()


def factor_distance(factor_1: Float64[Tensor, "d r1"], factor_2: Float64[Tensor, "d r2"]) -> float:
    """Return min_Q ||F_1 - F_2 Q||_F over Q with orthonormal rows or columns, the distance for any two factors."""
    if factor_1.shape[1] < factor_2.shape[1]:
        factor_1, factor_2 = factor_2, factor_1
    left, _, right = torch.linalg.svd(factor_2.T @ factor_1, full_matrices=False)
    return float((factor_1 - factor_2 @ (left @ right)).norm())


def same_weights(c1: WeightCovariance, c2: WeightCovariance, tolerance: float) -> bool:
    """Whether two unshrunk covariances in the same coordinates are one, up to a factor.

    Their spectra, which no rotation changes, are proportional to 1e-5, and their cosine exceeds 1 - ``tolerance``.
    Weights that were only trained alike differ in every eigenvalue.
    """
    if len(c1.eigenvalues) != len(c2.eigenvalues):
        return False
    one, other = (c.eigenvalues / c.trace for c in (c1, c2))
    alike = torch.allclose(one, other, rtol=1e-5, atol=1e-7 * float(one[0]))
    return alike and bures_wasserstein_cosine(c1, c2) > 1 - tolerance


Axes: TypeAlias = tuple[Float64[Tensor, " _"], Float64[Tensor, "d _"]]
"""Positive eigenvalues and their eigenvectors."""


def _overlap(one: Axes, other: Axes) -> Float64[Tensor, "r1 r2"]:
    """F_1^T F_2."""
    return one[0].sqrt()[:, None] * (one[1].T @ other[1]) * other[0].sqrt()


def _axes(c1: Covariance, c2: Covariance) -> tuple[Axes, Axes]:
    one, other = _positive(c1, "c1"), _positive(c2, "c2")
    if len(one[1]) != len(other[1]):
        raise InputError(
            f"covariances of dimensions {len(one[1])} and {len(other[1])} cannot be compared; "
            "rotate the narrower one into the wider network's coordinates first"
        )
    return one, other


def _factor(c: Covariance, name: str) -> Float64[Tensor, "d r"]:
    values, vectors = _positive(c, name)
    return vectors * values.sqrt()


def _positive(c: Covariance, name: str) -> Axes:
    if isinstance(c, WeightCovariance):
        values, vectors = c.eigenvalues, c.eigenvectors
    else:
        matrix = as_float64(c, name, "d d")
        scale = float(matrix.abs().max())
        if matrix.shape[0] != matrix.shape[1] or float((matrix - matrix.T).abs().max()) > 1e-8 * scale:
            raise InputError(f"{name}: got a matrix that is not symmetric, expected a covariance [d, d]")
        values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
        if float(values.min()) < -1e-8 * scale:
            raise InputError(f"{name}: got eigenvalue {float(values.min()):.3g}, expected none below zero")
    kept = values > 0
    return (values, vectors) if bool(kept.all()) else (values[kept], vectors[:, kept])


def _unit_trace(axes: Axes, name: str) -> Axes:
    values, vectors = axes
    trace = float(values.sum())
    if trace == 0:
        raise InputError(
            f"{name}: the covariance is zero, so that its cosine is undefined; nothing was learned"
        )
    return values / trace, vectors

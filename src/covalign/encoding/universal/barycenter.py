"""Which covariance is nearest to all of several?

The Bures-Wasserstein barycenter of C_1 ... C_m with weights w_i minimizes sum_i w_i d^2(C, C_i) (Agueh & Carlier
2011).
With factors C_i = F_i F_i^T, F_i ``[d, r_i]``, and C = K K^T the distance is d(C, C_i) = min_Q ||K - F_i Q||_F over Q
with orthonormal rows or columns, and its minimum is at Q_i = polar(F_i^T K). Minimizing over K with all Q_i fixed
gives

    K <- sum_i w_i F_i polar(F_i^T K),

in which the objective does not rise. It is the fixed-point iteration of Alvarez-Esteban, del Barrio,
Cuesta-Albertos &
Matran (2016), C <- T C T with T = sum_i w_i T_i the mean of the optimal maps, since F_i polar(F_i^T K) = T_i K; but
no d x d matrix and no inverse root of C is formed. It is gradient descent on the objective at the inverse of its
Lipschitz
constant, so that Nesterov's momentum with restarts (O'Donoghue & Candes 2015) applies; singular members, whose mean
has directions that die out slowly, need it. All iterates stay in the joint span of the factors, whose coordinates
follow from the Gram matrix of the factors side by side:

    (F_1 ... F_m)^T (F_1 ... F_m) = V L V^T,     coordinates of F_i: the columns of L^(1/2) V^T that belong to it.

Where covariances commute, C^(1/2) = sum_i w_i C_i^(1/2). The barycenter is unique where one C_i has full rank; of
singular ones it is one of possibly several minima, that to which the arithmetic mean as a start leads. Directions
that no two members share keep sum_i w_i^2 of their variance: independent noise is averaged out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError
from covalign.kernels.thin import FLOOR
from covalign.showing import Shown

ROUNDING = 1e-15
"""Eigenvalues of the joint Gram matrix below this share of the largest, times their number, are rounding."""

COLUMNS = 2
"""Columns of K, in units of the largest rank of a member, that are tried before all of the joint span; our choice."""

GAIN = 1e-3
"""Excess over 1 of the largest eigenvalue of T up to which K with fewer columns is taken to be the minimum."""


@dataclass(frozen=True, eq=False, repr=False)
class Barycenter(Shown):
    """A mean of covariances, as a factor.

    Attributes:
        factor: K ``[d, r]`` with C = K K^T, r at most d; columns are its principal axes, strongest first, times their
            standard deviation, signs arbitrary.
        spread: sum_i w_i d^2(C, C_i), in units of variance.
        steps: iterations made.
        change: ||K' - K|| / ||K|| of the last one.

    References:
        Agueh & Carlier, "Barycenters in the Wasserstein space", SIAM Journal on Mathematical Analysis 43, 2011;
        Álvarez-Esteban, del Barrio, Cuesta-Albertos & Matrán, "A fixed-point approach to barycenters in Wasserstein
        space", Journal of Mathematical Analysis and Applications 441, 2016.
    """

    factor: Float64[Tensor, "d r"]
    spread: float
    steps: int
    change: float


def bures_barycenter(
    factors: Sequence[ArrayLike],
    weights: ArrayLike | None = None,
    *,
    tolerance: float = 1e-10,
    steps: int = 1000,
) -> Barycenter:
    """Average covariances in the Bures-Wasserstein geometry.

    The C = K K^T that minimizes sum_i w_i d^2(C, C_i), by K <- sum_i w_i F_i polar(F_i^T K) with momentum.

    Args:
        factors: F_i ``[d, r_i]`` with C_i = F_i F_i^T, in units of a standard deviation, as K is; for a layer of n
            neurons W ``[n, d]`` W^T / sqrt(n).
        weights: one a factor, positive, of any sum; equal ones by default.
        tolerance: ||K' - K|| / ||K|| at which to stop; K itself is some times further from the limit.
        steps: at most so many iterations; ``change`` says where it stopped.

    Raises:
        InputError: no factors, unequal dimensions, factors that are all zero, or weights that do not fit.

    Example:
        Standard deviations average where axes agree:

        >>> mean = bures_barycenter([[[1.0], [0.0]], [[3.0], [0.0]]])
        >>> (mean.factor @ mean.factor.T).round(decimals=6).tolist()
        [[4.0, 0.0], [0.0, 0.0]]

    References:
        Agueh & Carlier, "Barycenters in the Wasserstein space", SIAM Journal on Mathematical Analysis 43, 2011;
        Álvarez-Esteban, del Barrio, Cuesta-Albertos & Matrán, "A fixed-point approach to barycenters in Wasserstein
        space", Journal of Mathematical Analysis and Applications 441, 2016.
    """
    given = [as_float64(each, f"factors[{i}]", "d r") for i, each in enumerate(factors)]
    if not given or len({len(each) for each in given}) > 1:
        raise InputError(
            f"factors: got {[tuple(each.shape) for each in given]}, expected at least one, all of one dimension d"
        )
    share = _weights(weights, len(given))
    basis, inside = _joint_span(given)
    mean = sum((w * f @ f.T for w, f in zip(share, inside, strict=True)), inside[0].new_zeros(len(inside[0])))
    values, vectors = torch.linalg.eigh(mean)
    start = (vectors * values.clamp(min=0).sqrt()).flip(1)
    few = COLUMNS * max(each.shape[1] for each in given)
    k, step, change = _iterated(inside, share, start[:, :few], tolerance, steps)
    if few < start.shape[1] and largest_gain(inside, share, k) > GAIN:
        k, step, change = _iterated(inside, share, start, tolerance, steps)
    spread = sum(
        w * float((k - f @ _polar(f.T @ k)).square().sum()) for w, f in zip(share, inside, strict=True)
    )
    return Barycenter(_from_joint(given, basis, _principal(k)), spread, step, change)


def _weights(weights: ArrayLike | None, count: int) -> list[float]:
    if weights is None:
        return [1 / count] * count
    values = as_float64(weights, "weights", "m")
    if len(values) != count or not float(values.min()) > 0:
        raise InputError(
            f"weights: got {values.tolist()} for {count} factors, expected a positive one for each"
        )
    return [float(each) for each in values / values.sum()]


def _joint_span(factors: Sequence[Tensor]) -> tuple[Tensor | None, list[Tensor]]:
    """Return what leads back from the joint span (None: nothing was reduced), and the factors in its coordinates."""
    together, sizes = torch.cat([*factors], 1), [each.shape[1] for each in factors]
    largest = float(together.abs().max())
    if largest == 0:
        raise InputError("factors: all are zero, expected a covariance with some variance")
    if together.shape[1] >= len(together):
        return None, [*factors]
    scaled = together / largest
    values, vectors = torch.linalg.eigh(scaled.T @ scaled)
    kept = values > len(values) * ROUNDING * values[-1]
    roots, vectors = values[kept].sqrt(), vectors[:, kept]
    inside = largest * roots[:, None] * vectors.T
    return vectors / (largest * roots), list(inside.split(sizes, 1))


def _from_joint(factors: Sequence[Tensor], basis: Tensor | None, k: Tensor) -> Float64[Tensor, "d r"]:
    return k if basis is None else torch.cat([*factors], 1) @ (basis @ k)


def _iterated(
    factors: Sequence[Tensor], weights: Sequence[float], k: Tensor, tolerance: float, steps: int
) -> tuple[Float64[Tensor, "R q"], int, float]:
    """Iterate with momentum, which starts anew whenever a step turns back against the last one."""
    ahead, speed, change, step = k, 1.0, math.inf, 0
    while change > tolerance and step < steps:
        following = _mean_of_images(factors, weights, ahead)
        moved, turn = following - k, following - ahead
        change = float(turn.norm() / following.norm())
        faster = (1 + math.sqrt(1 + 4 * speed**2)) / 2
        back = float((turn * moved).sum()) < 0
        ahead, speed = (following, 1.0) if back else (following + (speed - 1) / faster * moved, faster)
        k, step = following, step + 1
    return k, step, change


def largest_gain(
    factors: Sequence[Float64[Tensor, "R _"]], weights: Sequence[float], k: Float64[Tensor, "R q"]
) -> float:
    """Return the largest eigenvalue of T - I, T = sum_i w_i T_i: where none is positive, K K^T is the minimum.

    The objective is convex in C and its gradient I - T, so that with T C = C no other covariance C' comes closer than
    by the positive part of that eigenvalue times tr C'.
    """
    total = factors[0].new_zeros(len(k), len(k))
    for weight, factor in zip(weights, factors, strict=True):
        left, singular, _ = torch.linalg.svd(factor.T @ k, full_matrices=False)
        kept = singular > ROUNDING**0.5 * singular[0]
        image = factor @ (left[:, kept] / singular[kept].sqrt())
        total.addmm_(image, image.T, alpha=weight)
    return float(torch.linalg.eigvalsh(total)[-1]) - 1


def _mean_of_images(factors: Sequence[Tensor], weights: Sequence[float], k: Tensor) -> Float64[Tensor, "R q"]:
    """Return sum_i w_i F_i polar(F_i^T K)."""
    total = torch.zeros_like(k)
    for weight, factor in zip(weights, factors, strict=True):
        total.addmm_(factor, _polar(factor.T @ k), alpha=weight)
    return total


def _polar(matrix: Float64[Tensor, "r q"]) -> Float64[Tensor, "r q"]:
    """Return U V^T of M = U S V^T: from M M^T where its condition allows, else by a singular value decomposition."""
    if len(matrix) <= matrix.shape[1]:
        values, vectors = torch.linalg.eigh(matrix @ matrix.T)
        if bool(values[0] > FLOOR * values[-1]):
            root: Tensor = (vectors / values.sqrt()) @ (vectors.T @ matrix)
            return root
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    product: Tensor = left @ right
    return product


def _principal(k: Float64[Tensor, "R q"]) -> Float64[Tensor, "R r"]:
    """Return K V, V the right singular vectors: orthogonal columns, strongest first."""
    left, singular, _ = torch.linalg.svd(k, full_matrices=False)
    kept = singular > len(singular) * ROUNDING * singular[0]
    columns: Tensor = (left * singular)[:, kept]
    return columns

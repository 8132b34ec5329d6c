"""What is R, and between which bounds?

R = U_12 / D with D = sqrt(U_11 U_22) is a ratio of unbiased averages. Its own bias, to second order in their
variances V and covariances C (degenerate parts counted once),

    b = R [3/8 (V_1 / U_11^2 + V_2 / U_22^2) + 1/4 C_12 / (U_11 U_22)] - 1/2 (C_1 / U_11 + C_2 / U_22) / D,

is subtracted. The interval is Fieller's (1954): all ratios rho for which U_12 - rho D is not significantly different
from zero, a quadratic inequality in rho. Two variances are tried, that of the leave-one-out scatter less the
degenerate part, and the degenerate part alone (of which the first is a poor estimate where it dominates); the hull
of both sets is given. Where rho has no bound, D itself is not significant: nothing can be told.
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.statistics import Averages

LEVEL = 0.95
"""Of every interval."""


def ratio_with_interval(averages: Averages) -> tuple[float, float, float, Reason]:
    """Return the value with its bias removed, both bounds, and why there is none (three NaN then)."""
    cross, within_1, within_2 = averages.means.tolist()
    unknown = (math.nan, math.nan, math.nan)
    if within_1 <= 0 or within_2 <= 0:
        return *unknown, Reason.TOO_LITTLE_LEARNED
    bounds = fieller_hull(averages)
    if bounds is None:
        return *unknown, Reason.TOO_LITTLE_LEARNED
    value = cross / math.sqrt(within_1 * within_2) - ratio_bias(averages)
    reason = Reason.REPELLING if bounds[0] > 1 else Reason.NONE
    return value, *bounds, reason


def ratio_bias(averages: Averages) -> float:
    """Return b of the module's docstring; 0 for a copy."""
    cross, within_1, within_2 = averages.means.tolist()
    v = _variance(averages).tolist()
    scale = math.sqrt(within_1 * within_2)
    curved: float = 3 / 8 * (v[1][1] / within_1**2 + v[2][2] / within_2**2) + v[1][2] / (
        4 * within_1 * within_2
    )
    return float(cross / scale * curved - (v[0][1] / within_1 + v[0][2] / within_2) / (2 * scale))


def fieller_hull(averages: Averages) -> tuple[float, float] | None:
    """Return the hull of both Fieller sets, or None where one of them is unbounded."""
    cross, within_1, within_2 = averages.means.tolist()
    scale = math.sqrt(within_1 * within_2)
    slope = torch.tensor(
        [[1, 0, 0], [0, scale / (2 * within_1), scale / (2 * within_2)]], dtype=torch.float64
    )
    degenerate = slope @ averages.degenerate @ slope.T
    counted_once = slope @ averages.scatter @ slope.T - degenerate
    quantile = student_quantile(averages.freedom)
    ends: list[float] = []
    for variance in (counted_once, degenerate):
        over, both, under = (quantile**2 * float(variance[i, j]) for i, j in ((0, 0), (0, 1), (1, 1)))
        if under >= scale**2:
            return None
        # b^2 - a c of a rho^2 - 2 b rho + c, written so that a copy has no width; an empty set leaves its vertex
        discriminant = scale**2 * over - 2 * cross * scale * both + cross**2 * under - over * under + both**2
        reach = math.sqrt(max(0.0, discriminant))
        middle = cross * scale - both
        ends += [(middle + sign * reach) / (scale**2 - under) for sign in (-1, 1)]
    return min(ends), max(ends)


def student_quantile(freedom: int) -> float:
    """Return the upper quantile of Student's t for an interval of `LEVEL`."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def _variance(averages: Averages) -> Float64[Tensor, "3 3"]:
    """Return J - q; where q is larger than half of J it is q itself: per network, or for paired neurons together."""
    once, degenerate = averages.scatter - averages.degenerate, averages.degenerate
    if float(averages.scatter[1, 2]) == 0 and float(degenerate[1, 2]) == 0:
        return _larger_diagonal(once, degenerate)
    varied = [float(variance.diagonal()[1:].sum()) for variance in (once, degenerate)]
    return once if varied[0] >= varied[1] else degenerate


def _larger_diagonal(
    once: Float64[Tensor, "3 3"], degenerate: Float64[Tensor, "3 3"]
) -> Float64[Tensor, "3 3"]:
    found = once.clone()
    found.diagonal().copy_(torch.maximum(once.diagonal(), degenerate.diagonal()))
    return found

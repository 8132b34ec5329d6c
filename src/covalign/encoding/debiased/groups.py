"""Do two conditions teach a layer the same, whatever the seed?

With U_12(A_i, B_j) the cross average of two networks (`covalign.encoding.debiased.estimate`), all pairs aligned,

    Q(A, B) = mean_ij U_12(A_i, B_j) / sqrt(mean_{i<j} U_12(A_i, A_j) mean_{i<j} U_12(B_i, B_j)).

No average within a single network enters, so that neurons of a layer that repel or copy each other do no harm, and
what every alignment loses cancels. Q(A, A) = 1. The interval leaves out one seed at a time (jackknife) and covers the
spread over seeds, which the interval over neurons does not.

Networks that share their initial weights are never a pair: NaN marks what is to be left out.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike
from covalign.encoding.debiased.interval import student_quantile
from covalign.encoding.debiased.reasons import Reason
from covalign.errors import InputError
from covalign.showing import Shown

SEEDS = 3
"""Fewest seeds a side whose spread is measured."""


@dataclass(frozen=True, repr=False)
class GroupSimilarity(Shown):
    """Q of two conditions.

    Attributes:
        value: Q, not clipped; NaN where withheld.
        low: lower end of the 95 % interval over seeds; NaN where there is none.
        high: upper end.
        reason: why the value or its interval is withheld.
        seeds_a: number of networks of the first condition that are in a pair.
        seeds_b: of the second.

    References:
        Our own measure, derived in ``docs/site/theory/debiased.md``; its interval is the jackknife of Tukey, "Bias
        and confidence in not-quite large samples", Annals of Mathematical Statistics 29, 1958.
    """

    INTERVAL = ("value", "low", "high")

    value: float
    low: float
    high: float
    reason: Reason
    seeds_a: int
    seeds_b: int


def group_similarity(cross: ArrayLike, within_a: ArrayLike, within_b: ArrayLike) -> GroupSimilarity:
    """Estimate Q of two conditions from the cross averages of their networks.

        Q = mean_ij U(A_i, B_j) / sqrt(mean_{i<j} U(A_i, A_j) mean_{i<j} U(B_i, B_j))

    Q has no unit: 1 where conditions teach the same as seeds do, 0 where they have nothing in common; not clipped.

    Args:
        cross: U_12(A_i, B_j), shape ``[ma, mb]``; NaN where a pair is left out.
        within_a: U_12(A_i, A_j), shape ``[ma, ma]``; the diagonal is ignored, NaN left out.
        within_b: U_12(B_i, B_j), shape ``[mb, mb]``.

    Raises:
        InputError: shapes that do not fit together, or infinite entries.

    Example:
        Three seeds a side that share half of what seeds of one condition share:

        >>> import torch
        >>> ones = torch.ones(3, 3)
        >>> found = group_similarity(ones / 2, ones, ones)
        >>> found.value, found.low, found.high
        (0.5, 0.5, 0.5)

    References:
        Our own measure, derived in ``docs/site/theory/debiased.md``; its interval is the jackknife of Tukey, "Bias
        and confidence in not-quite large samples", Annals of Mathematical Statistics 29, 1958.
    """
    between, first, second = (_averages(*each) for each in _named(cross, within_a, within_b))
    if between.shape != (len(first), len(second)) or not first.shape[0] == first.shape[1]:
        raise InputError(_misfit(between, first, second))
    seeds = int((~between.isnan()).any(1).sum()), int((~between.isnan()).any(0).sum())
    first, second = _without_diagonal(first), _without_diagonal(second)
    value, reason = _quotient(between, first, second)
    if reason:
        return GroupSimilarity(value, math.nan, math.nan, reason, *seeds)
    if min(seeds) < SEEDS:
        return GroupSimilarity(value, math.nan, math.nan, Reason.TOO_FEW_SEEDS, *seeds)
    variance = _scatter(between, first, second) + _scatter(between.T, second, first)
    if math.isnan(variance):
        return GroupSimilarity(value, math.nan, math.nan, Reason.TOO_LITTLE_LEARNED, *seeds)
    reach = student_quantile(sum(seeds) - 2) * math.sqrt(variance)
    return GroupSimilarity(value, value - reach, value + reach, Reason.NONE, *seeds)


def neuron_independence(within: ArrayLike, own: ArrayLike) -> float:
    """Return mean_{i<j} U_12(A_i, A_j) / mean_i U_AA(A_i): how neurons of a layer depend on each other.

    1 where neurons of a network are as independent of each other as of another seed's, and alignments lose nothing;
    above where they repel each other; below where they copy each other, or alignments lose. NaN where a mean is not
    positive or nothing is left.

    Args:
        within: U_12(A_i, A_j), shape ``[m, m]``; the diagonal is ignored, NaN left out.
        own: U_AA of every network, shape ``[m]``.

    Raises:
        InputError: shapes that do not fit together.
    """
    pairs, alone = _averages(within, "within", 2), _averages(own, "own", 1)
    if pairs.shape != (len(alone), len(alone)):
        raise InputError(
            f"within: got shape {tuple(pairs.shape)} for {len(alone)} networks, expected [m, m] and own [m]"
        )
    across, inside = float(_without_diagonal(pairs).nanmean()), float(alone.nanmean())
    return across / inside if across > 0 and inside > 0 else math.nan


def _named(
    cross: ArrayLike, within_a: ArrayLike, within_b: ArrayLike
) -> tuple[tuple[ArrayLike, str, int], ...]:
    return (cross, "cross", 2), (within_a, "within_a", 2), (within_b, "within_b", 2)


def _averages(value: ArrayLike, name: str, axes: int) -> Tensor:
    """Return a float64 tensor in which NaN is allowed."""
    try:
        tensor = torch.as_tensor(value).to(torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: got {type(value).__name__}, expected an array ({error})") from error
    if tensor.ndim != axes or not tensor.numel() or bool(tensor.isinf().any()):
        raise InputError(
            f"{name}: got shape {tuple(tensor.shape)}, expected {axes} axes, not empty, entries finite or NaN"
        )
    return tensor


def _misfit(between: Tensor, first: Tensor, second: Tensor) -> str:
    shapes = ", ".join(str(tuple(each.shape)) for each in (between, first, second))
    return f"cross, within_a, within_b: got shapes {shapes}, expected [ma, mb], [ma, ma], [mb, mb]"


def _without_diagonal(matrix: Float64[Tensor, "m m"]) -> Float64[Tensor, "m m"]:
    return matrix.masked_fill(torch.eye(len(matrix), dtype=torch.bool), torch.nan)


def _quotient(
    between: Float64[Tensor, "ma mb"], first: Float64[Tensor, "ma ma"], second: Float64[Tensor, "mb mb"]
) -> tuple[float, Reason]:
    cross, within_a, within_b = (float(each.nanmean()) for each in (between, first, second))
    if math.isnan(cross + within_a + within_b):
        return math.nan, Reason.NO_PAIRS
    if min(within_a, within_b) <= 0:
        return math.nan, Reason.TOO_LITTLE_LEARNED
    return cross / math.sqrt(within_a * within_b), Reason.NONE


def _scatter(
    between: Float64[Tensor, "ma mb"], first: Float64[Tensor, "ma ma"], second: Float64[Tensor, "mb mb"]
) -> float:
    """Jackknife variance of Q over seeds of the first condition."""
    used = [int(i) for i in (~between.isnan()).any(1).nonzero()[:, 0]]
    values = []
    for left in used:
        rest = [i for i in range(len(first)) if i != left]
        values.append(_quotient(between[rest], first[rest][:, rest], second)[0])
    found = torch.tensor(values, dtype=torch.float64)
    return float((found - found.mean()).square().sum()) * (len(values) - 1) / len(values)

"""Do networks trained under different conditions learn a layer as alike as those of one condition?

With U_12 of every pair of networks (`covalign.encoding.debiased.statistics`), all in common coordinates,

    score = sum_{A<B} mean_ij U_12(A_i, B_j) / sum_{A<B} sqrt(W_A W_B),     W_A = mean_{i<j} U_12(A_i, A_j),

over pairs of conditions A < B (data sets, kinds of labels). 1: the condition leaves no trace; 0: no more in common
than
random orientations. No network is compared with itself, so that neither noise nor neurons that depend on one another
count. For two conditions this is Q of `covalign.encoding.debiased.groups`, interval included: one network at a time
is left out (jackknife), conditions are taken as given.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.groups import SEEDS
from covalign.encoding.debiased.interval import student_quantile
from covalign.encoding.debiased.reasons import Reason
from covalign.errors import InputError


@dataclass(frozen=True)
class UniversalityScore:
    """How alike conditions are at one layer.

    Attributes:
        value: the score, not clipped; NaN where withheld.
        low: lower end of the 95 % interval over networks; NaN where there is none.
        high: upper end.
        reason: why the value or its interval is withheld.
        conditions: number of them.
        networks: number that are in a pair.
    """

    value: float
    low: float
    high: float
    reason: Reason
    conditions: int
    networks: int


def universality_score(cross: Float64[Tensor, "m m"], conditions: Sequence[str]) -> UniversalityScore:
    """Return the score with its interval.

    Args:
        cross: U_12 of all pairs, symmetric; the diagonal is ignored, NaN marks pairs that are left out.
        conditions: one a network.

    Raises:
        InputError: numbers that do not fit together.
    """
    if cross.shape != (len(conditions), len(conditions)):
        raise InputError(
            f"universality: got U_12 of shape {tuple(cross.shape)} for {len(conditions)} conditions, expected [m, m]"
        )
    pairs = cross.masked_fill(torch.eye(len(cross), dtype=torch.bool), torch.nan)
    used = (~pairs.isnan()).any(1)
    members = {
        name: [i for i, each in enumerate(conditions) if each == name and used[i]] for name in conditions
    }
    members = {name: found for name, found in members.items() if found}
    counts = (len(members), int(used.sum()))
    value, reason = _ratio(pairs, list(members.values()))
    if reason is Reason.NONE and min(map(len, members.values())) < SEEDS:
        reason = Reason.TOO_FEW_SEEDS
    if reason is not Reason.NONE:
        return UniversalityScore(value, math.nan, math.nan, reason, *counts)
    variance = _scatter(pairs, list(members.values()))
    if math.isnan(variance):
        return UniversalityScore(value, math.nan, math.nan, Reason.TOO_LITTLE_LEARNED, *counts)
    reach = student_quantile(counts[1] - counts[0]) * math.sqrt(variance)
    return UniversalityScore(value, value - reach, value + reach, Reason.NONE, *counts)


def _ratio(pairs: Float64[Tensor, "m m"], groups: Sequence[list[int]]) -> tuple[float, Reason]:
    within = [float(pairs[group][:, group].nanmean()) for group in groups]
    over = under = 0.0
    for a, b in itertools.combinations(range(len(groups)), 2):
        between = float(pairs[groups[a]][:, groups[b]].nanmean())
        if math.isnan(between + within[a] + within[b]):
            continue
        if min(within[a], within[b]) <= 0:
            return math.nan, Reason.TOO_LITTLE_LEARNED
        over, under = over + between, under + math.sqrt(within[a] * within[b])
    return (over / under, Reason.NONE) if under > 0 else (math.nan, Reason.NO_PAIRS)


def _scatter(pairs: Float64[Tensor, "m m"], groups: Sequence[list[int]]) -> float:
    """Jackknife variance: the networks of one condition after another are left out, one at a time."""
    variance = 0.0
    for chosen, group in enumerate(groups):
        values = []
        for left in group:
            rest = [[i for i in each if i != left] if g == chosen else each for g, each in enumerate(groups)]
            values.append(_ratio(pairs, rest)[0])
        found = torch.tensor(values, dtype=torch.float64)
        variance += float((found - found.mean()).square().sum()) * (len(group) - 1) / len(group)
    return variance

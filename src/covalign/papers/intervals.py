"""How sure is a mean over pairs of networks, when pairs share networks?

Three seeds give three pairs, but not three independent ones. The delete-one jackknife over *networks* (Efron and
Stein 1981) counts that: with theta_(i) the mean without the pairs of network i of a sample of n networks,

    SE^2 = sum over samples of (n - 1)/n sum_i (theta_(i) - mean_i theta_(i))^2,

and the interval is the mean +- t SE, t the 97.5 % point of Student's distribution with n - 1 degrees of freedom of
the smallest sample. Where no network occurs twice, the pairs themselves are the sample.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from scipy.stats import t


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval (NaN where there is too little to tell) and the number of pairs behind it."""

    mean: float
    low: float
    high: float
    pairs: int


def over_networks(pairs: Sequence[tuple[Hashable, Hashable]], values: Sequence[float]) -> Estimate:
    """Return the mean of ``values`` over pairs of networks with its interval; NaN values are left out.

    Args:
        pairs: names (a, b) of the networks behind each value. Networks that occur on both sides are one sample,
            otherwise the two sides are two.
        values: one per pair.
    """
    known = [(pair, value) for pair, value in zip(pairs, values, strict=True) if not math.isnan(value)]
    if not known:
        return Estimate(math.nan, math.nan, math.nan, 0)
    mean = sum(value for _, value in known) / len(known)
    squares, freedom = 0.0, math.inf
    for sample in _samples([pair for pair, _ in known]):
        without = [[v for pair, v in known if not unit & set(pair)] for unit in sample]
        if len(sample) < 2 or not all(without):
            return Estimate(mean, math.nan, math.nan, len(known))
        means = [sum(rest) / len(rest) for rest in without]
        centre = sum(means) / len(means)
        squares += (len(sample) - 1) / len(sample) * sum((each - centre) ** 2 for each in means)
        freedom = min(freedom, len(sample) - 1)
    half = float(t.ppf(0.975, freedom)) * math.sqrt(squares)
    return Estimate(mean, mean - half, mean + half, len(known))


def _samples(pairs: Sequence[tuple[Hashable, Hashable]]) -> list[list[set[Hashable]]]:
    """Return the samples, each a list of what is left out together."""
    everyone = [name for pair in pairs for name in pair]
    if len(set(everyone)) == len(everyone):
        return [[set(pair) for pair in pairs]]
    sides = [list(dict.fromkeys(pair[side] for pair in pairs)) for side in (0, 1)]
    if set(sides[0]) & set(sides[1]):
        return [[{name} for name in dict.fromkeys(everyone)]]
    return [[{name} for name in side] for side in sides]

"""What is the mean over pairs of seeds, and how far does it depend on which seeds there were?

Of a quantity x_ij of network i of one condition and network j of another: the mean over all pairs, with the
interval that leaving out one network at a time gives (jackknife on either side; pairs of one network are not
independent).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.groups import SEEDS
from covalign.encoding.debiased.interval import student_quantile


@dataclass(frozen=True)
class SeedMean:
    """A mean over pairs of networks, and its 95 % interval over seeds; NaN where there is none."""

    value: float
    low: float
    high: float


def seed_mean(pairs: Float64[Tensor, "ma mb"]) -> SeedMean:
    """Return the mean over pairs of networks of two conditions.

    Args:
        pairs: a value for every network of the first condition and every one of the second; NaN is left out.

    Example:
        >>> seed_mean(torch.ones(3, 3, dtype=torch.float64))
        SeedMean(value=1.0, low=1.0, high=1.0)
    """
    known = pairs[~pairs.isnan().all(1)][:, ~pairs.isnan().all(0)]
    value = float(known.nanmean())
    if min(known.shape) < SEEDS:
        return SeedMean(value, math.nan, math.nan)
    reach = student_quantile(sum(known.shape) - 2) * math.sqrt(_scatter(known) + _scatter(known.T))
    return SeedMean(value, value - reach, value + reach)


def _scatter(pairs: Float64[Tensor, "ma mb"]) -> float:
    """Jackknife variance over the networks of the first condition."""
    count = len(pairs)
    left = torch.stack([torch.cat([pairs[:i], pairs[i + 1 :]]).nanmean() for i in range(count)])
    return float((left - left.mean()).square().sum()) * (count - 1) / count

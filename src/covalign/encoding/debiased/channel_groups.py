"""How similar are two grouped convolutions, whose neurons see different channels?

Neurons of one group share their inputs, those of different groups do not. Groups are matched one to one, each with
its own alignment; U_12, U_11 and U_22 are averaged over groups before they become a ratio, and their variances add.
"""

import math
from collections.abc import Sequence

from covalign.arrays import ArrayLike
from covalign.encoding.debiased.estimate import DebiasedSimilarity, described, without_value
from covalign.encoding.debiased.measurement import Counts, Measured, incomparable, measured
from covalign.encoding.debiased.pairing import aligned_pair
from covalign.encoding.debiased.statistics import pooled
from covalign.errors import InputError

Groups = Sequence[ArrayLike]
"""Rows, or rotations, group by group."""


def grouped_similarity(
    rows_1: Groups,
    rows_2: Groups,
    rotations: Groups | None = None,
    *,
    unit_length: bool = True,
    spatial: int = 1,
) -> DebiasedSimilarity:
    """Estimate R of two grouped convolutions.

    Args:
        rows_1: per group ``[n1, d1]``, columns ordered (channel, place).
        rows_2: per group ``[n2, d2]``, group by group the counterpart of the first.
        rotations: per group ``[c2, c1]``; None for shared inputs.
        unit_length: see `covalign.encoding.debiased.estimate.debiased_similarity`.
        spatial: k^2.

    Groups of one channel (depthwise convolutions) have no value, reason ``no_channels``.

    Raises:
        InputError: different numbers of groups, or groups that cannot be compared.
    """
    turns: Sequence[ArrayLike | None] = rotations if rotations is not None else [None] * len(rows_1)
    if not len(rows_1) == len(rows_2) == len(turns) or not len(rows_1):
        raise InputError(
            f"groups: got {len(rows_1)} and {len(rows_2)} groups with {len(turns)} rotations, expected equal "
            "numbers, one or more; match groups first"
        )
    pairs = [
        aligned_pair(one, two, turn, unit_length=unit_length, spatial=spatial)
        for one, two, turn in zip(rows_1, rows_2, turns, strict=True)
    ]
    counts = _counts([Counts.of(pair) for pair in pairs])
    reasons = [incomparable(pair) for pair in pairs]
    if any(reasons):
        return without_value(next(filter(None, reasons)), counts)
    return described(_pooled([measured(pair) for pair in pairs]), counts)


def _counts(groups: list[Counts]) -> Counts:
    """Neurons of all groups; the dimension is that of one."""
    return Counts(
        sum(each.neurons_1 for each in groups),
        sum(each.neurons_2 for each in groups),
        groups[0].dimension,
        sum(each.dropped for each in groups),
    )


def _pooled(groups: list[Measured]) -> Measured:
    """Average over groups that were turned, and whose neurons were drawn, independently of each other."""
    count = len(groups)
    variance = sum(each.variance for each in groups)
    third = sum(each.skewness * each.variance * math.sqrt(each.variance) for each in groups)
    return Measured(
        pooled([each.averages for each in groups]),
        sum(each.all_pairs for each in groups) / count,
        sum(each.energy_1 for each in groups) / count,
        sum(each.energy_2 for each in groups) / count,
        variance / count**2,
        third / (variance * math.sqrt(variance)) if variance > 0 else 0.0,
        sum(each.matched for each in groups),
        sum(each.coverage for each in groups) / count,
    )

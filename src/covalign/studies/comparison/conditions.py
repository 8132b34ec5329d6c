"""Do two conditions teach a layer the same, whatever the seed?

Networks are grouped by condition (a data set, a kind of labels); Q compares conditions through pairs of different
networks alone (`covalign.encoding.debiased.groups`), layer by layer, from the cross averages U_12 in the table of a
comparison. Networks that started from the same weights, or that match neuron by neuron, are never a pair.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.groups import group_similarity, neuron_independence
from covalign.encoding.debiased.reasons import Reason
from covalign.errors import InputError
from covalign.report.columns import column, documented, frame
from covalign.studies.subjects import Subject

BY_TRAINING = "training"
"""Asks for the condition that stored runs state: their images, and their labels where these are not the true ones."""


@documented
@dataclass(frozen=True)
class ConditionRow:
    """How alike two conditions are at one layer."""

    condition_a: str = column("first condition", title="condition a")
    condition_b: str = column("second condition", title="condition b")
    layer: str = column("of the first network that was compared")
    depth: int = column("from 1", digits=0)
    q: float = column("Q: agreement of conditions; 1 as alike as two seeds of one", title="Q", digits=2)
    low: float = column("lower end of its 95 % interval over seeds", digits=2)
    high: float = column("upper end", digits=2)
    seeds_a: int = column("networks of condition a in a pair", digits=0)
    seeds_b: int = column("of condition b", digits=0)
    independence_a: float = column(
        "U_12 of seeds / U_11 of condition a: 1 where neurons are independent and alignment loses nothing",
        title="independence a",
        digits=2,
    )
    independence_b: float = column("the same of condition b", title="independence b", digits=2)
    reason: str = column("why there is no value or no interval", title="remark")


def conditions_of(
    opened: Sequence[Subject], by: Mapping[str, str] | Sequence[str] | str | None
) -> dict[str, str]:
    """Return the condition of every network by its name; empty where none were asked for.

    Args:
        opened: the networks.
        by: "training" (what stored runs state), one condition per network in order, or conditions by name.

    Raises:
        InputError: too few or unknown names, or a network without a training to read its condition from.
    """
    if by is None:
        return {}
    if isinstance(by, str):
        return {each.name: _stated(each, by) for each in opened}
    if isinstance(by, Mapping):
        if missing := [each.name for each in opened if each.name not in by]:
            raise InputError(f"by: {missing[0]!r} has no condition, expected one for every network")
        return {each.name: by[each.name] for each in opened}
    if len(by) != len(opened):
        raise InputError(f"by: got {len(by)} conditions for {len(opened)} networks, expected one for each")
    return {each.name: condition for each, condition in zip(opened, by, strict=True)}


def _stated(subject: Subject, by: str) -> str:
    if by != BY_TRAINING or subject.run is None:
        raise InputError(
            f"by: got {by!r}, but {subject.name!r} is no stored run, which alone states its condition; give one "
            "condition per network, in order"
        )
    spec = subject.run.spec
    return spec.images if spec.labels == "true" else f"{spec.images}, {spec.labels} labels"


def condition_table(table: pd.DataFrame, conditions: Mapping[str, str]) -> pd.DataFrame:
    """Compare conditions layer by layer.

    Args:
        table: `Comparison.table`.
        conditions: by the names of networks.
    """
    return frame(_rows(table, conditions), ConditionRow)


def independence(rows: pd.DataFrame, names: Sequence[str]) -> float:
    """Return `neuron_independence` of networks of one condition at one layer.

    Args:
        rows: of `Comparison.table`, of that layer.
        names: of the networks.
    """
    return _independence(*_averages(rows), names)


def _independence(
    cross: Mapping[frozenset[str], float], own: Mapping[str, float], names: Sequence[str]
) -> float:
    alone = torch.tensor([own.get(name, math.nan) for name in names], dtype=torch.float64)
    return neuron_independence(_matrix(cross, names, names), alone)


def _rows(table: pd.DataFrame, conditions: Mapping[str, str]) -> Iterator[ConditionRow]:
    members: dict[str, list[str]] = {}
    for name, condition in conditions.items():
        members.setdefault(condition, []).append(name)
    for depth, rows in table.groupby("depth", sort=True):
        cross, own = _averages(rows)
        for a, b in itertools.combinations(members, 2):
            within_a, within_b = (_matrix(cross, members[c], members[c]) for c in (a, b))
            found = group_similarity(_matrix(cross, members[a], members[b]), within_a, within_b)
            first, second = (_independence(cross, own, members[c]) for c in (a, b))
            yield ConditionRow(
                a,
                b,
                str(rows["layer_a"].iloc[0]),
                int(depth),
                found.value,
                found.low,
                found.high,
                found.seeds_a,
                found.seeds_b,
                first,
                second,
                found.reason.value,
            )


def independent(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `Comparison.table` whose networks are independent draws: no copies, and no common start."""
    copies = rows["debiased_reason"].isin([Reason.RELATED.value, Reason.SAME_MOMENT.value])
    return rows[~(rows["same_start"].astype(bool) | copies)]


def _averages(rows: pd.DataFrame) -> tuple[dict[frozenset[str], float], dict[str, float]]:
    """Return U_12 by pair of networks (only those that are independent), and U_11 by network."""
    free = independent(rows)
    pairs = zip(free["a"], free["b"], free["debiased_cross"], strict=True)
    cross = {frozenset((a, b)): float(value) for a, b, value in pairs}
    own = dict(zip(rows["a"], rows["debiased_within_a"], strict=True))
    return cross, own | dict(zip(rows["b"], rows["debiased_within_b"], strict=True))


def _matrix(
    cross: Mapping[frozenset[str], float], first: Sequence[str], second: Sequence[str]
) -> Float64[Tensor, "m1 m2"]:
    values = [[cross.get(frozenset((a, b)), math.nan) for b in second] for a in first]
    return torch.tensor(values, dtype=torch.float64)

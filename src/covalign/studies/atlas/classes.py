"""Which data sets, which kinds of labels teach the same? Classes of the values on an axis, layer by layer.

A set of conditions that differ in one axis alone is a stratum. Networks are exchanged between its conditions
(`covalign.encoding.debiased.exchange`): once for all values together, does the axis matter at all, and once for
every two values. At each layer, p of pairs is corrected over pairs, and p of axes over layers (Holm 1979).

A class is a set of values no two of which the seeds tell apart, made by complete linkage of Q. That is less than
being equal: with few seeds classes are coarse, which `least` and `detectable` say beside every p. Conditions of
fewer than `TESTED` networks are drawn and not tested.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from covalign.encoding.debiased.exchange import DRAWS, exchange_test
from covalign.first_layer.dependence import holm
from covalign.studies.atlas.agreements import LayerAgreements
from covalign.studies.atlas.columns import LEVEL, AxisRow, ClassRow, ValueRow

TESTED = 5
"""Fewest networks of a condition that is tested."""
FEW = f"fewer than two conditions of {TESTED} networks that differ in this axis alone: drawn, not tested"
FAR = 10.0
"""A distance beyond all others, of two values that are told apart."""


@dataclass(frozen=True)
class Axis:
    """What varies: its values in order, and the sets of conditions that differ in it alone.

    Attributes:
        name: of the axis.
        values: in order.
        strata: of each, the condition of every value that has one.
    """

    name: str
    values: tuple[str, ...]
    strata: tuple[dict[str, str], ...]


def axes_of(places: Mapping[str, Mapping[str, str]]) -> tuple[Axis, ...]:
    """Return the axes along which conditions vary; conditions without a place are an axis of their own.

    Args:
        places: by condition, its value on every axis.
    """
    names = list(dict.fromkeys(axis for place in places.values() for axis in place))
    found = [_axis(name, places) for name in names]
    varying = tuple(each for each in found if len(each.values) > 1)
    return varying or (Axis("condition", tuple(places), ({name: name for name in places},)),)


def _axis(name: str, places: Mapping[str, Mapping[str, str]]) -> Axis:
    strata: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for condition, place in places.items():
        if name in place:
            others = tuple(sorted((axis, value) for axis, value in place.items() if axis != name))
            strata.setdefault(others, {})[place[name]] = condition
    values = tuple(dict.fromkeys(place[name] for place in places.values() if name in place))
    return Axis(name, values, tuple(each for each in strata.values() if len(each) > 1))


@dataclass(frozen=True)
class Classes:
    """The tables of all axes at all layers."""

    axes: list[AxisRow]
    values: list[ValueRow]
    classes: list[ClassRow]


def classes_of(
    layers: Sequence[LayerAgreements],
    axes: Sequence[Axis],
    conditions: Sequence[str],
    by_condition: pd.DataFrame,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Classes:
    """Test every axis at every layer.

    Args:
        layers: agreements of all networks.
        axes: along which conditions vary.
        conditions: of every network, in the order of the matrices.
        by_condition: Q of every two conditions, `Comparison.by_condition`.
        draws: random exchanges where there are too many to look at all.
        seed: of these.
    """
    rows, pairs, found = [], [], []
    q = {
        (int(row.depth), frozenset((row.condition_a, row.condition_b))): float(row.q)
        for row in by_condition.itertuples()
    }
    for axis in axes:
        own = [
            AxisRow(
                axis.name, each.layer, each.depth, **_tested(each, axis, axis.values, conditions, draws, seed)
            )
            for each in layers
        ]
        rows += _corrected(own)
        for layer in layers:
            two = _corrected(_pairs(layer, axis, conditions, q, draws, seed))
            two = [replace(each, apart=each.corrected <= LEVEL) for each in two]
            pairs += two
            found += _classes(layer, axis, two)
    return Classes(rows, pairs, found)


def _pairs(
    layer: LayerAgreements,
    axis: Axis,
    conditions: Sequence[str],
    q: Mapping[tuple[int, frozenset[str]], float],
    draws: int,
    seed: int,
) -> list[ValueRow]:
    found = []
    for a, b in itertools.combinations(axis.values, 2):
        both = [frozenset((each[a], each[b])) for each in axis.strata if a in each and b in each]
        mean = float(np.mean([q.get((layer.depth, pair), np.nan) for pair in both])) if both else float("nan")
        measured = _tested(layer, axis, (a, b), conditions, draws, seed)
        measured = {name: value for name, value in measured.items() if name not in ("values", "networks")}
        found.append(ValueRow(axis.name, a, b, layer.layer, layer.depth, mean, **measured))
    return found


def _tested(
    layer: LayerAgreements,
    axis: Axis,
    values: Sequence[str],
    conditions: Sequence[str],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Exchange networks between conditions that differ in these values alone, and have enough of them."""
    strata, used = [], set()
    for stratum in axis.strata:
        members = {value: _members(layer, conditions, stratum[value]) for value in values if value in stratum}
        enough = {value: places for value, places in members.items() if len(places) >= TESTED}
        if len(enough) < 2:
            continue
        order = [place for places in enough.values() for place in places]
        labels = [number for number, places in enumerate(enough.values()) for _ in places]
        strata.append((layer.agreement[order][:, order], labels))
        used |= set(enough)
    counted = {
        "values": len(used),
        "strata": len(strata),
        "networks": sum(len(labels) for _, labels in strata),
    }
    if not strata:
        return {**counted, "remark": FEW}
    found = exchange_test(strata, draws=draws, seed=seed)
    return {
        **counted,
        "separation": found.separation,
        "detectable": found.detectable,
        "p_value": found.p_value,
        "least": found.least,
        "exact": found.exact,
    }


def _members(layer: LayerAgreements, conditions: Sequence[str], condition: str) -> list[int]:
    """Return the networks of a condition that have a value with some other network."""
    known = ~layer.agreement.isnan().all(1)
    return [index for index, name in enumerate(conditions) if name == condition and bool(known[index])]


def _corrected(rows: list[Any]) -> list[Any]:
    """Return rows with p corrected over those of them that were tested."""
    tested = [row for row in rows if not np.isnan(row.p_value)]
    if not tested:
        return rows
    corrected = iter(holm(torch.tensor([row.p_value for row in tested], dtype=torch.float64)).tolist())
    return [row if np.isnan(row.p_value) else replace(row, corrected=next(corrected)) for row in rows]


def _classes(layer: LayerAgreements, axis: Axis, pairs: Sequence[ValueRow]) -> list[ClassRow]:
    """Join values, the most alike first, as long as no two of a class are told apart."""
    tested = {value for row in pairs if not np.isnan(row.p_value) for value in (row.value_a, row.value_b)}
    known = [value for value in axis.values if value in tested]
    labels = dict.fromkeys(axis.values, "")
    if len(known) > 1:
        place = {value: index for index, value in enumerate(known)}
        apart = np.full((len(known), len(known)), FAR)  # never tested against each other: never joined
        np.fill_diagonal(apart, 0.0)
        for row in pairs:
            if row.value_a in place and row.value_b in place and not np.isnan(row.p_value) and not row.apart:
                a, b = place[row.value_a], place[row.value_b]
                apart[a, b] = apart[b, a] = 1 - min(1.0, np.nan_to_num(row.q))
        numbers = fcluster(linkage(squareform(apart), "complete"), FAR / 2, "distance")
        letters = {number: index for index, number in enumerate(dict.fromkeys(numbers))}
        labels |= {value: letter(letters[number]) for value, number in zip(known, numbers, strict=True)}
    return [ClassRow(axis.name, value, layer.layer, layer.depth, labels[value]) for value in axis.values]


def letter(index: int) -> str:
    """Return A, B, ... Z, AA, AB ..."""
    return (letter(index // 26 - 1) if index >= 26 else "") + chr(ord("A") + index % 26)

"""How do the pictures of one layer of an atlas look: the clustered matrix, and networks in a plane?"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from covalign.figures.style import MARKERS, PALETTE, shorten
from covalign.report.page import Key, Mark, Matrix, Panel
from covalign.report.plots import SYMBOLS
from covalign.report.words import number
from covalign.studies.atlas.arrangement import Tree

NAME = 34
"""Letters of a name beside a matrix."""
PRINTED = 16
"""Conditions up to which every cell has its number."""


def marks(places: Mapping[str, Mapping[str, str]]) -> dict[str, Mark]:
    """Return the mark of every condition: its colour says its value on the first axis, its shape that on the second.

    Args:
        places: by condition, its value on every axis; where there are none, every condition has a colour.
    """
    axes = list(dict.fromkeys(axis for place in places.values() for axis in place))
    if not axes:
        return {name: _mark(index, index // len(PALETTE)) for index, name in enumerate(places)}
    values = {
        axis: list(dict.fromkeys(place.get(axis, "") for place in places.values())) for axis in axes[:2]
    }
    return {
        name: _mark(*(own.index(place.get(axis, "")) for axis, own in values.items()))
        for name, place in places.items()
    }


def _mark(color: int, symbol: int = 0) -> Mark:
    return Mark(PALETTE[color % len(PALETTE)], SYMBOLS[MARKERS[symbol % len(MARKERS)]])


def keys(marked: Mapping[str, Mark]) -> tuple[Key, ...]:
    """Return a legend entry for every condition."""
    return tuple(
        Key(shorten(name, 48), str(index), mark.color, "none", mark.symbol)
        for index, (name, mark) in enumerate(marked.items())
    )


def q_matrix(rows: pd.DataFrame, tree: Tree, marked: Mapping[str, Mark], depth: int) -> Matrix:
    """Return Q of every two conditions at one layer, in the order of the tree, under it.

    Args:
        rows: of `Atlas.table`, of that layer.
        tree: of the layer.
        marked: mark of every condition, in the order of the tree's leaves.
        depth: of the layer.
    """
    names = [list(marked)[leaf] for leaf in tree.order]
    found = {(row.condition_a, row.condition_b): row for row in rows.itertuples()}
    both = found | {(b, a): row for (a, b), row in found.items()}
    values = [
        [1.0 if a == b else float(both[a, b].q) if (a, b) in both else np.nan for b in names] for a in names
    ]
    notes = [["" if a == b else _q_note(a, b, both.get((a, b))) for b in names] for a in names]
    alt = f"Q of every two conditions at layer {depth}, ordered by clustering."
    return _matrix(names, values, notes, marked, alt, f"Q at layer {depth}", polylines(tree))


def _q_note(a: str, b: str, row: Any) -> str:
    if row is None or not np.isfinite(row.q):
        return f"{a} – {b}: no value"
    low, high = row.low, row.high
    interval = f", 95 % interval over seeds {number(low)} to {number(high)}" if np.isfinite(low) else ""
    return f"{a} – {b}: Q {number(row.q)}{interval}"


def contained_matrix(
    rows: pd.DataFrame, names: Sequence[str], marked: Mapping[str, Mark], depth: int
) -> Matrix:
    """Return how much of the row's condition the column's contains, at one layer.

    Args:
        rows: of `Atlas.containment`, of that layer.
        names: conditions, in order.
        marked: mark of every condition.
        depth: of the layer.
    """
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for row in rows.itertuples():
        said = _asymmetry(row)
        found[row.condition_a, row.condition_b] = (float(row.a_in_b), said)
        found[row.condition_b, row.condition_a] = (float(row.b_in_a), said)
    values = [[np.nan if a == b else found[a, b][0] for b in names] for a in names]
    notes = [
        ["" if a == b else f"{a} in {b}: {number(found[a, b][0])}. {found[a, b][1]}" for b in names]
        for a in names
    ]
    alt = f"Share of the row's variance among the directions of the column, at layer {depth}."
    return _matrix(names, values, notes, marked, alt, f"Row found in column, layer {depth}", (), "Greens")


def _asymmetry(row: Any) -> str:
    if not np.isfinite(row.low):
        return "No interval of the difference."
    return (
        f"{row.condition_a} in {row.condition_b} less the reverse: {number(row.asymmetry)} "
        f"({number(row.low)} to {number(row.high)})"
    )


def _matrix(
    names: Sequence[str],
    values: Sequence[Sequence[float]],
    notes: Sequence[Sequence[str]],
    marked: Mapping[str, Mark],
    alt: str,
    title: str,
    tree: tuple[tuple[tuple[float, float], ...], ...],
    palette: str = "Blues",
) -> Matrix:
    shade = matplotlib.colormaps[palette]
    few = len(names) <= PRINTED
    return Matrix(
        tuple(shorten(name, NAME) for name in names),
        tuple(marked[name] for name in names),
        tuple(tuple(number(value) if few and np.isfinite(value) else "" for value in row) for row in values),
        tuple(tuple(_colors(value, shade) for value in row) for row in values),
        tuple(map(tuple, notes)),
        alt,
        tree,
        title,
    )


def _colors(value: float, shade: matplotlib.colors.Colormap) -> tuple[str, str]:
    """Return the colour of a cell, and that of its text."""
    if not np.isfinite(value):
        return "rgba(127,127,127,.12)", "#000000"
    inside = min(1.0, max(0.0, value))
    return to_hex(shade(0.04 + 0.9 * inside)), "#ffffff" if inside > 0.55 else "#10202c"


def polylines(tree: Tree) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Return a tree as lines of four points, over leaves at 0, 1, 2 ... and heights from 0 to 1 (the last joint)."""
    leaves = len(tree.order)
    place = {leaf: (float(index), 0.0) for index, leaf in enumerate(tree.order)}
    tallest = max(float(tree.joints[:, 2].max()), 1e-12)
    lines = []
    for number_, (one, other, height, _) in enumerate(tree.joints.tolist()):
        (x1, y1), (x2, y2) = place[int(one)], place[int(other)]
        top = height / tallest
        lines.append(((x1, y1), (x1, top), (x2, top), (x2, y2)))
        place[leaves + number_] = ((x1 + x2) / 2, top)
    return tuple(lines)


def plane_panel(rows: pd.DataFrame, marked: Mapping[str, Mark], reach: float, depth: int) -> Panel:
    """Plot networks in the plane of one layer, a trace a condition.

    Args:
        rows: of `Atlas.plane`, of that layer.
        marked: mark of every condition.
        reach: half the side of the plane, the same at every layer.
        depth: of the layer.
    """
    data = []
    for index, (name, mark) in enumerate(marked.items()):
        own = rows[rows["condition"] == name]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": own["x"].tolist(),
                "y": own["y"].tolist(),
                "text": [html.escape(shorten(each, 60)) for each in own["network"]],
                "legendgroup": str(index),
                "marker": {"color": mark.color, "symbol": mark.symbol, "size": 10, "opacity": 0.85},
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    axis = {"range": [-reach, reach], "showticklabels": False, "ticks": "", "zeroline": False}
    shown = float(rows["shown"].iloc[0])
    layout = {
        "xaxis": {**axis, "title": {"text": f"the plane shows {shown:.0%} of squared distances"}},
        "yaxis": {**axis, "scaleanchor": "x", "showgrid": False, "title": {"text": ""}},
    }
    alt = f"Networks of layer {depth} in a plane: near ones agree."
    return Panel(tuple(data), layout, alt, f"Every network, layer {depth}", height=430)

"""Which figures does an atlas make?"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from covalign.figures.intervals import level_lines
from covalign.figures.saving import save_figure
from covalign.figures.style import GREY, journal, plain, series
from covalign.report.page import Mark
from covalign.report.plots import SYMBOLS
from covalign.studies.atlas.arrangement import Tree, similarities
from covalign.studies.atlas.maps import marks, polylines
from covalign.studies.atlas.words import plural

Places = Mapping[str, Mapping[str, str]]
SHAPES = {plotly: shape for shape, plotly in SYMBOLS.items()}
LAYERS = 4
"""Layers that the main figure shows, evenly spaced."""
STYLE = journal(columns=2.0)


def clustered(rows: pd.DataFrame, tree: Tree, names: Sequence[str], ax: Axes, *, named: bool = True) -> Axes:
    """Draw Q of every two conditions in the order of their tree, and the tree above.

    Args:
        rows: of `Atlas.table`, of one layer.
        tree: of the layer.
        names: conditions, in the order of the tree's leaves.
        ax: where to draw.
        named: whether to write the names of the rows.
    """
    order = list(tree.order)
    values = similarities(rows, names)[order][:, order].numpy()
    side = len(names)
    ax.imshow(np.clip(values, 0, 1), vmin=0.0, vmax=1.0, cmap="Blues")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value) and side <= 12:
            colour = "white" if value > 0.6 else "black"
            text = "1" if row == column else cell(value)
            ax.text(column, row, text, ha="center", va="center", color=colour, fontsize=6)
    for line in polylines(tree):
        x, y = np.array(line).T
        ax.plot(x, -0.7 - 0.28 * side * y, color=GREY, linewidth=0.7, clip_on=False)
    ax.set(xlim=(-0.5, side - 0.5), ylim=(side - 0.5, -0.7 - 0.3 * side), xticks=[])
    ax.set_yticks(range(side), [plain(names[leaf]) for leaf in order] if named else [""] * side)
    ax.tick_params(length=0, labelsize="x-small")
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def cell(value: float) -> str:
    """Return a value of Q in three letters, which a cell has room for: .45, 1.0, -.1."""
    digits = 2 if 0 <= value < 0.995 else 1
    return f"{value:.{digits}f}".replace("0.", ".", 1) if abs(value) < 0.995 else f"{value:.1f}"


def q_against_depth(values: pd.DataFrame, ax: Axes) -> Axes:
    """Draw Q of every two values of one axis against depth; filled where seeds tell them apart.

    Args:
        values: rows of `Atlas.values` of one axis.
        ax: where to draw.
    """
    level_lines(ax, 1.0)
    for index, ((a, b), rows) in enumerate(values.groupby(["value_a", "value_b"], sort=False)):
        style = series(index)
        ax.plot(rows["depth"], rows["q"], label=f"{plain(a)} – {plain(b)}", **{**style, "marker": None})
        for apart, face in ((True, style["color"]), (False, "white")):
            own = rows[rows["apart"] == apart]
            ax.plot(own["depth"], own["q"], style["marker"], color=style["color"], markerfacecolor=face)
    ax.set(xlabel="layer", ylabel="Q", ylim=(min(0.0, float(values["q"].min())), None))
    return ax


def in_plane(rows: pd.DataFrame, marked: Mapping[str, Mark], reach: float, ax: Axes) -> Axes:
    """Draw the networks of one layer in a plane.

    Args:
        rows: of `Atlas.plane`, of one layer.
        marked: mark of every condition.
        reach: half the side of the plane.
        ax: where to draw.
    """
    for name, mark in marked.items():
        own = rows[rows["condition"] == name]
        ax.plot(own["x"], own["y"], SHAPES[mark.symbol], color=mark.color, markersize=3.5, alpha=0.85)
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
    for spine in ax.spines.values():
        spine.set(visible=True, color=GREY)
    return ax


def atlas_figure(
    table: pd.DataFrame, values: pd.DataFrame, trees: Mapping[int, Tree], places: Places
) -> Figure:
    """Draw clustered matrices of four layers above Q of every axis against depth."""
    depths = _spread(list(trees))
    names, axes = list(places), list(dict.fromkeys(values["axis"]))
    columns = min(2, len(depths))
    rows = -(-len(depths) // columns)
    with matplotlib.rc_context(STYLE):
        figure = Figure(layout="constrained", figsize=(4.2 * columns, 2.8 * rows + 2.6))
        above, below = figure.subfigures(2, 1, height_ratios=(2.8 * rows, 2.6), squeeze=False)[:, 0]
        panels = list(above.subplots(rows, columns, squeeze=False).flat)
        for ax in panels[len(depths) :]:
            ax.set_axis_off()
        for depth, ax in zip(depths, panels, strict=False):
            clustered(table[table["depth"] == depth], trees[depth], names, ax).set_title(f"layer {depth}")
        for axis, ax in zip(axes, below.subplots(1, len(axes), squeeze=False)[0], strict=True):
            q_against_depth(values[values["axis"] == axis], ax).set_title(f"between {plural(axis)}")
            ax.legend(fontsize="xx-small", loc="best")
    return figure


def plane_figure(plane: pd.DataFrame, places: Places) -> Figure:
    """Draw networks in a plane, a panel a layer (at most 12)."""
    marked, depths = marks(places), sorted(set(plane["depth"]))[:12]
    reach = 1.1 * float(plane[["x", "y"]].abs().max().max())
    columns = min(4, len(depths))
    with matplotlib.rc_context(STYLE):
        rows = -(-len(depths) // columns)
        figure = Figure(layout="constrained", figsize=(1.75 * columns, 1.85 * rows + 0.7))
        axes = figure.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(depths) :]:
            ax.set_axis_off()
        for depth, ax in zip(depths, axes.flat, strict=False):
            in_plane(plane[plane["depth"] == depth], marked, reach, ax).set_title(f"layer {depth}")
        handles = [
            Line2D([], [], color=mark.color, marker=SHAPES[mark.symbol], linestyle="none", label=plain(name))
            for name, mark in marked.items()
        ]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(4, len(handles)), fontsize="x-small"
        )
    return figure


def save_figures(
    folder: Path,
    table: pd.DataFrame,
    values: pd.DataFrame,
    plane: pd.DataFrame,
    trees: Mapping[int, Tree],
    places: Places,
    provenance: dict[str, Any],
) -> list[Path]:
    """Draw every figure into a folder; return the paths of the PNG files."""
    found = {"atlas": atlas_figure(table, values, trees, places), "plane": plane_figure(plane, places)}
    return [save_figure(figure, folder / name, provenance)[0] for name, figure in found.items()]


def _spread(depths: Sequence[int]) -> list[int]:
    """Return at most `LAYERS` layers, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(depths) - 1, min(LAYERS, len(depths))).round().astype(int)
    return [depths[place] for place in places]

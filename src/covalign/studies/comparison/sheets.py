"""Which figures does a comparison make?

Each function composes panels into one figure; `comparison_figures` names those that can be filled.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.encoding.spatial import SpatialCovariance
from covalign.figures.conditions import condition_matrix
from covalign.figures.eigenvectors import cosine_map
from covalign.figures.heat import CROWDED, cell, heat_map
from covalign.figures.saving import save_figure
from covalign.figures.spatial import spatial_eigenvectors
from covalign.figures.spectra import spectrum
from covalign.figures.style import journal, plain
from covalign.figures.training import training_curve
from covalign.studies.comparison.figures import (
    agreement_against_depth,
    calibrated_against_depth,
    cosine_between_levels,
    shared_against_rank,
    similarity_against_depth,
)
from covalign.studies.comparison.layer_map import LayerMap
from covalign.studies.comparison.orders import pair_label, pairs, rows_of

PANELS = 12
STYLE = journal(columns=2.0, ratio=0.5)


def similarity_figure(table: pd.DataFrame) -> Figure:
    """Draw R of every pair; beside it the published similarity, and the calibrated one, where there are any."""
    further = {"similarity": similarity_against_depth, "calibrated": calibrated_against_depth}
    panels = [agreement_against_depth, *(draw for name, draw in further.items() if table[name].notna().any())]
    figure = Figure(layout="constrained", figsize=(3.4 * len(panels), 3.4))
    for panel, ax in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        panel(table, ax)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def shared_figure(table: pd.DataFrame, curves: Mapping[tuple[str, str, str], SharedVariance]) -> Figure:
    """Draw the shared variance of every pair against the number of directions, a panel a layer (at most 12)."""
    every = pairs(table)
    depths = sorted({int(row.depth) for row in table.itertuples() if (row.a, row.b, row.layer_a) in curves})[
        :PANELS
    ]
    columns = min(4, len(depths))
    figure = Figure(layout="constrained", figsize=(1.9 * columns, 1.7 * -(-len(depths) // columns) + 0.4))
    axes = figure.subplots(-(-len(depths) // columns), columns, squeeze=False, sharey=True)
    for ax in axes.flat[len(depths) :]:
        ax.set_axis_off()
    for depth, ax in zip(depths, axes.flat, strict=False):
        named = table[table["depth"] == depth].set_index(["a", "b"])["layer_a"]
        keys = [(*pair, named.get(pair, "")) for pair in every]
        shared_against_rank(curves, keys, ax).set_title(f"layer {depth}")
        ax.label_outer()
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="x-small"
    )
    return figure


def condition_figure(by_condition: pd.DataFrame) -> Figure:
    """Draw Q as matrices of conditions with its interval in every cell, a matrix a layer (at most 12)."""
    names = list(dict.fromkeys([*by_condition["condition_a"], *by_condition["condition_b"]]))
    depths = sorted(set(by_condition["depth"]))[:PANELS]
    columns, side = min(4, len(depths)), 0.62 * len(names) + 0.5
    rows = -(-len(depths) // columns)
    figure = Figure(layout="constrained", figsize=(side * columns + 1.0, side * rows + 0.8))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(depths) :]:
        ax.set_axis_off()
    for depth, ax in zip(depths, axes.flat, strict=False):
        condition_matrix(by_condition[by_condition["depth"] == depth], names, ax).set_title(f"layer {depth}")
    return figure


def level_figure(table: pd.DataFrame) -> Figure:
    """Draw every pair's cosine between chance and ceiling, one panel a pair (at most 12)."""
    every = pairs(table)[:PANELS]
    columns = min(3, len(every))
    rows = -(-len(every) // columns)
    figure = Figure(layout="constrained", figsize=(2.3 * columns, 1.7 * rows))
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for pair, ax in zip(every, axes.flat, strict=False):
        cosine_between_levels(table, pair, ax).label_outer()
    for ax in axes.flat[len(every) :]:
        ax.set_axis_off()
    return figure


def cosine_map_figure(table: pd.DataFrame, maps: Mapping[tuple[str, str, str], Tensor]) -> Figure:
    """Draw the eigenvector-cosine maps: a row a pair, a column a layer (at most 12 of each)."""
    every = [pair for pair in pairs(table) if any(key[:2] == pair for key in maps)][:PANELS]
    columns = min(PANELS, max(len(rows_of(table, pair)) for pair in every))
    figure = Figure(layout="constrained", figsize=(1.15 * columns, 1.25 * len(every)))
    grid = figure.subplots(len(every), columns, squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    for pair, axes in zip(every, grid, strict=True):
        for row, ax in zip(rows_of(table, pair).itertuples(), axes, strict=False):
            cosines = maps.get((*pair, row.layer_a))
            if cosines is None:
                continue
            ax.set_axis_on()
            ranks = (row.effective_rank_a, row.effective_rank_b)
            cosine_map(cosines, ax, row.d, ranks).set_title(f"layer {row.depth}", fontsize="small")
        axes[0].set_ylabel(pair_label(pair).replace(" – ", "\n"), fontsize="x-small")
    return figure


def layer_map_figure(maps: Sequence[LayerMap]) -> Figure:
    """Draw what every layer receives against what every other receives, a panel a map (at most 12, of deep ones 3).

    Frames: layers whose weights were compared; points: in each row, the layer that is most alike.
    """
    deep = max(max(each.values.shape) for each in maps) > CROWDED
    chosen = maps[: 3 if deep else PANELS]
    columns = 1 if deep else min(3, len(chosen))
    sides = [[cell(each.values.shape) * size for size in each.values.shape] for each in chosen]
    rows = -(-len(chosen) // columns)
    names = 0.062 * max(len(plain(name)) for each in chosen for name in (*each.layers_a, *each.layers_b))
    wide = max(side[1] for side in sides) + names + 0.4
    heights = [max(side[0] for side in sides[row * columns :][:columns]) + names + 0.4 for row in range(rows)]
    figure = Figure(layout="constrained", figsize=(wide * columns + 0.7, sum(heights)))
    grid = figure.subplots(rows, columns, squeeze=False, height_ratios=heights)
    for ax in grid.flat:
        ax.set_axis_off()
    for each, ax in zip(chosen, grid.flat, strict=False):
        ax.set_axis_on()
        alone = each.a == each.b
        image = heat_map(
            each.values.numpy(),
            ax,
            rows=each.layers_a,
            columns=each.layers_b,
            framed=each.places,
            pointed=() if alone else each.nearest,
        )
        ax.set(ylabel=plain(each.a), xlabel="itself" if alone else plain(each.b))
    label = f"debiased CKA, {chosen[0].images:,} images"
    figure.colorbar(image, ax=grid, label=label, shrink=min(1.0, 2.4 / sum(heights)), aspect=16)
    return figure


def spectra_figure(layers: pd.DataFrame, spectra: Mapping[tuple[str, str], Tensor]) -> Figure:
    """Draw every layer's spectrum over its bulk: a row a network, a column a layer (at most 12 of each)."""
    names = list(dict.fromkeys(layers["network"]))[:PANELS]
    columns = min(PANELS, int(layers.groupby("network").size().max()))
    figure = Figure(layout="constrained", figsize=(1.4 * columns, 1.4 * len(names)))
    grid = figure.subplots(len(names), columns, squeeze=False, sharey="col")
    for ax in grid.flat:
        ax.set_axis_off()
    for name, axes in zip(names, grid, strict=True):
        for row, ax in zip(layers[layers["network"] == name].itertuples(), axes, strict=False):
            ax.set_axis_on()
            spectrum(spectra[name, row.layer], ax, (row.lower_edge, row.upper_edge))
            ax.set(xlabel="", ylabel="", title=f"layer {row.depth}")
        axes[0].set_ylabel(plain(name), fontsize="x-small")
    return figure


def spatial_figure(spatial: Mapping[tuple[str, str], SpatialCovariance]) -> Figure:
    """Draw the nine leading spatial eigenvectors of every layer, a row a layer (at most 24)."""
    chosen = dict(islice(spatial.items(), 2 * PANELS))
    columns = min(9, max(len(space.eigenvalues) for space in chosen.values()))
    figure = Figure(layout="constrained", figsize=(0.55 * columns + 1.5, 0.62 * len(chosen)))
    grid = figure.subplots(len(chosen), columns, squeeze=False)
    for ((name, layer), space), axes in zip(chosen.items(), grid, strict=True):
        spatial_eigenvectors(space, list(axes))
        axes[0].set_ylabel(
            f"{plain(name)}\n{plain(layer)}", rotation=0, ha="right", va="center", fontsize="x-small"
        )
    return figure


def training_figure(training: Mapping[str, Sequence[dict[str, Any]]]) -> Figure:
    """Draw every network's accuracy against epoch."""
    figure = Figure(layout="constrained")
    ax = figure.subplots()
    for index, (name, history) in enumerate(training.items()):
        training_curve(history, ax, name, index)
    ax.legend()
    return figure


def comparison_figures(
    table: pd.DataFrame,
    layers: pd.DataFrame,
    *,
    spectra: Mapping[tuple[str, str], Tensor],
    spatial: Mapping[tuple[str, str], SpatialCovariance],
    cosine_maps: Mapping[tuple[str, str, str], Tensor],
    curves: Mapping[tuple[str, str, str], SharedVariance],
    layer_maps: Mapping[tuple[str, str], LayerMap],
    by_condition: pd.DataFrame,
    training: Mapping[str, Sequence[dict[str, Any]]],
) -> dict[str, Figure]:
    """Return the figures that the parts of a comparison can fill, by file name; see `Comparison`.

    Draw and save them inside ``matplotlib.rc_context(STYLE)``.
    """
    wanted: dict[str, tuple[Callable[[], Figure], bool]] = {
        "similarity": (
            lambda: similarity_figure(table),
            table[["debiased", "similarity"]].notna().any(axis=None),
        ),
        "conditions": (lambda: condition_figure(by_condition), not by_condition.empty),
        "shared-variance": (lambda: shared_figure(table, curves), bool(curves)),
        "cosine-levels": (lambda: level_figure(table), table["cosine"].notna().any()),
        "cosine-maps": (lambda: cosine_map_figure(table, cosine_maps), bool(cosine_maps)),
        "layer-maps": (lambda: layer_map_figure(list(layer_maps.values())), bool(layer_maps)),
        "spectra": (lambda: spectra_figure(layers, spectra), bool(spectra)),
        "spatial-eigenvectors": (lambda: spatial_figure(spatial), bool(spatial)),
        "training": (lambda: training_figure(training), any(training.values())),
    }
    return {name: draw() for name, (draw, filled) in wanted.items() if filled}


def save_figures(
    folder: Path, table: pd.DataFrame, layers: pd.DataFrame, provenance: dict[str, Any], **parts: Any
) -> list[Path]:
    """Draw `comparison_figures` into a folder, as PNG and PDF; return the paths of the PNG files."""
    with matplotlib.rc_context(STYLE):
        drawn = comparison_figures(table, layers, **parts)
        return [save_figure(figure, folder / name, provenance)[0] for name, figure in drawn.items()]

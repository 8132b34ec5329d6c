"""What does a person read about the spatial patterns of a set of networks?

`spatial_page` arranges a `SpatialSummary` as a `Page`: the answer in words, the overlap of every layer with
every other, the patterns themselves, and all numbers.
"""

import html
import math
import os
from pathlib import Path

import pandas as pd

from covalign.encoding.spatial_summary import SpatialSummary
from covalign.figures.style import PALETTE, shorten
from covalign.report.galleries import spatial_eigenvectors
from covalign.report.page import (
    Column,
    Download,
    Downloads,
    Facts,
    Gallery,
    Notes,
    Page,
    Panel,
    Part,
    Plots,
    Section,
    Spark,
    Table,
)
from covalign.report.plots import PANELS, shorten_escaped
from covalign.report.provenance import provenance_facts
from covalign.report.rendering import json_bytes, write_page
from covalign.report.tables import ROWS, csv_bytes, left_out

LARGEST_MAP = 160
"""Layers a side of the overlap maps."""

Key = tuple[str, str]


def write_spatial_report(summary: SpatialSummary, path: str | os.PathLike[str]) -> Path:
    """Write the report into one HTML file and return its path.

    Args:
        summary: what `spatial_summary` returned.
        path: the file to write; missing folders are made.

    Raises:
        InputError: the path cannot be written.
    """
    return write_page(spatial_page(summary), path)


def spatial_page(summary: SpatialSummary) -> Page:
    """Arrange a summary as a page."""
    names = list(dict.fromkeys(summary.layers["network"]))
    sections = (
        overlap_section(summary),
        picture_section(summary),
        layer_section(summary),
        skipped_section(summary),
        Section("method", "How this was measured", (), (Notes(("spatial", "references")),)),
        origin_section(summary),
    )
    return Page(
        kicker="spatial patterns",
        title="Do all layers use the same spatial patterns?",
        subtitle=" · ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else ""),
        summary=spatial_findings(summary),
        facts=(
            ("Networks", f"{len(names):,}"),
            ("Layers with kernels", f"{len(summary.layers):,}"),
            ("Kernel sizes", ", ".join(sorted(set(summary.layers["kernel"])))),
            ("Kernels", f"{summary.layers['kernels'].sum():,}"),
        ),
        sections=tuple(section for section in sections if section is not None),
    )


def spatial_findings(summary: SpatialSummary) -> tuple[str, ...]:
    """Return what the overlaps say, in plain words: a sentence or two per kernel size."""
    sentences = []
    for kernel, table in summary.table.groupby("kernel", sort=False):
        rank = middle_rank(table)
        rows = table[table["rank"] == rank]
        beyond, first = rows[rows["beyond_first"]], rows[~rows["beyond_first"]]
        if len(beyond):
            sentences.append(
                f"Beyond the first layer, the {rank} leading patterns of two layers with {kernel} kernels span "
                f"the same space to {beyond['overlap'].mean():.0%} on average over {len(beyond):,} pairs "
                f"(lowest {beyond['overlap'].min():.0%}); unrelated patterns would share "
                f"{beyond['chance'].iloc[0]:.0%}."
            )
        if len(first):
            sentences.append(
                f"First layers share {first['overlap'].mean():.0%} with other layers of {kernel} kernels."
            )
    return tuple(sentences) or ("Only one layer of each kernel size was found: there is nothing to compare.",)


def middle_rank(table: pd.DataFrame) -> int:
    """Return 5 where it was compared, else the largest rank that was."""
    ranks = set(table["rank"])
    return 5 if 5 in ranks else int(max(ranks))


def overlap_section(summary: SpatialSummary) -> Section | None:
    """Overlap of every layer with every other, by kernel size, and means over pairs of networks."""
    if summary.table.empty:
        return None
    panels, cut = [], ""
    for kernel, table in list(summary.table.groupby("kernel", sort=False))[:PANELS]:
        keys = [
            (network, layer)
            for network, layer, own in zip(
                summary.layers["network"], summary.layers["layer"], summary.layers["kernel"], strict=True
            )
            if own == kernel
        ]
        cut = cut or left_out(len(keys), LARGEST_MAP, "layers")
        panels.append(overlap_panel(table, keys[:LARGEST_MAP], str(kernel)))
    caption = (
        "Overlap of the leading patterns of every layer with those of every other, in forward order, from chance "
        "(light) to identical (dark). Lines separate networks. Hover for names and numbers." + cut
    )
    parts: list[Part] = [Plots(tuple(panels), caption), network_table(summary.table)]
    prose = (
        "Patterns whose variances are nearly equal swap ranks at random; the overlap of subspaces does not see "
        "such swaps."
    )
    return Section("overlap", "Which layers share their patterns?", (prose,), tuple(parts))


def overlap_panel(table: pd.DataFrame, keys: list[Key], kernel: str) -> Panel:
    """Plot the overlaps of the layers ``keys`` as a square map.

    Args:
        table: rows of one kernel size.
        keys: network and layer, in order.
        kernel: its size, for the heading.
    """
    rank = middle_rank(table)
    rows = table[table["rank"] == rank]
    place = {key: index for index, key in enumerate(keys)}
    square = [[1.0 if i == j else math.nan for j in range(len(keys))] for i in range(len(keys))]
    for a, layer_a, b, layer_b, overlap in rows[["a", "layer_a", "b", "layer_b", "overlap"]].itertuples(
        index=False
    ):
        i, j = place.get((a, layer_a)), place.get((b, layer_b))
        if i is not None and j is not None:
            square[i][j] = square[j][i] = round(overlap, 4)
    names = [f"{html.escape(shorten(network, 24))}: {shorten_escaped(layer)}" for network, layer in keys]
    starts = [i for i in range(len(keys)) if i == 0 or keys[i][0] != keys[i - 1][0]]
    axis = {
        "tickvals": [
            (start + stop - 1) / 2 for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True)
        ],
        "ticktext": [html.escape(shorten(keys[start][0], 16)) for start in starts],
        "ticks": "",
        "showgrid": False,
        "zeroline": False,
        "showline": False,
    }
    trace = {
        "type": "heatmap",
        "z": square,
        "zmin": float(rows["chance"].iloc[0]),
        "zmax": 1.0,
        "colorscale": [[0, "#f1f1f1"], [1, PALETTE[0]]],
        "colorbar": {"thickness": 10, "outlinewidth": 0, "len": 0.9, "title": {"text": "overlap"}},
        "text": [[f"{left}<br>{right}" for right in names] for left in names] if len(keys) <= 80 else None,
        "hovertemplate": "%{text}<br>overlap <b>%{z:.3f}</b><extra></extra>",
        "xgap": 1 if len(keys) <= 40 else 0,
        "ygap": 1 if len(keys) <= 40 else 0,
    }
    if trace["text"] is None:
        trace["hovertemplate"] = "layers %{y} and %{x}<br>overlap <b>%{z:.3f}</b><extra></extra>"
    layout = {
        "xaxis": axis,
        "yaxis": axis | {"autorange": "reversed", "tickangle": -90},
        "shapes": [_divider(start - 0.5, axis) for start in starts[1:] for axis in "xy"],
    }
    title = f"{kernel} kernels, rank {rank} (chance {rows['chance'].iloc[0]:.2f})"
    return Panel(
        (trace,), layout, f"Overlap of leading spatial patterns, {kernel} kernels.", title, height=460
    )


def _divider(at: float, axis: str) -> dict[str, object]:
    ends = {"x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
    if axis == "y":
        ends = {"y0": at, "y1": at, "xref": "paper", "x0": 0, "x1": 1}
    return {"type": "line", "line": {"color": "#D55E00", "width": 1.2}, **ends}


def network_table(table: pd.DataFrame) -> Table:
    """Return means over the layer pairs beyond the first, by pair of networks, kernel size and rank."""
    beyond = table[table["beyond_first"]]
    rows = tuple(
        (*key, len(own), *(float(value) for value in _means(own)))
        for key, own in beyond.groupby(["a", "b", "kernel", "rank"], sort=False)
    )
    columns = (
        Column("network a"),
        Column("network b"),
        Column("kernel"),
        Column("rank", 0, "size r of the compared subspaces"),
        Column("pairs", 0, "pairs of layers"),
        Column("overlap", 3, "mean over pairs of layers"),
        Column("lowest", 3, "the least alike pair of layers"),
        Column("chance", 3, "r over the kernel's area"),
        Column("cosine", 3, "mean absolute cosine of matched eigenvectors"),
    )
    caption = "Means over pairs of layers beyond the first." + left_out(len(rows), ROWS, "rows")
    return Table(columns, rows[:ROWS], caption)


def _means(own: pd.DataFrame) -> tuple[float, float, float, float]:
    return own["overlap"].mean(), own["overlap"].min(), own["chance"].iloc[0], own["cosine"].mean()


def picture_section(summary: SpatialSummary) -> Section:
    """The eigenvectors of every layer."""
    gallery = spatial_eigenvectors(summary.spatial)
    assert isinstance(gallery, Gallery)
    return Section("patterns", "The patterns", (), (gallery,))


def layer_section(summary: SpatialSummary) -> Section:
    """How the variance spreads over the patterns, layer by layer."""
    rows = []
    for row, space in zip(summary.layers.to_dict("records"), summary.spatial.values(), strict=True):
        shares = (space.eigenvalues / space.eigenvalues.sum()).cumsum(0).tolist()
        rows.append(
            (
                row["network"],
                row["layer"],
                row["depth"],
                row["kernel"],
                row["kernels"],
                Spark(tuple((space.eigenvalues / space.eigenvalues.sum()).tolist()), 1 / len(shares)),
                *(shares[rank - 1] if rank <= len(shares) else math.nan for rank in (1, 3, 5)),
            )
        )
    columns = (
        Column("network"),
        Column("layer"),
        Column("depth", 0),
        Column("kernel"),
        Column("kernels", 0, "how many; of few, the patterns are uncertain"),
        Column("spectrum", meaning="share of the variance by rank; dashed: all equal, as in white noise"),
        Column("first", 2, "share of the variance along the leading pattern"),
        Column("first 3", 2, "along the three leading patterns"),
        Column("first 5", 2, "along the five leading patterns"),
    )
    caption = "How the variance of each layer’s kernels spreads over its patterns."
    table = Table(columns, tuple(rows[:ROWS]), caption + left_out(len(rows), ROWS, "rows"))
    return Section("layers", "Layer by layer", (), (table,))


def skipped_section(summary: SpatialSummary) -> Section | None:
    """What has no spatial pattern or was not read, and why."""
    rows = tuple((name, *entry) for name, entries in summary.skipped.items() for entry in entries)
    if not rows:
        return None
    columns = (Column("network"), Column("parameter"), Column("reason"))
    caption = "Parameters without a spatial pattern." + left_out(len(rows), ROWS, "rows")
    return Section(
        "skipped", "What was left out", (), (Table(columns, rows[:ROWS], caption, len(rows) > 24),)
    )


def origin_section(summary: SpatialSummary) -> Section:
    """Where the numbers come from, and the numbers themselves."""
    patterns = [
        {
            "network": name,
            "layer": layer,
            "eigenvalues": space.eigenvalues.tolist(),
            "eigenvectors": space.pictures.tolist(),
        }
        for (name, layer), space in summary.spatial.items()
    ]
    numbers = {"provenance": summary.provenance, "patterns": patterns, "skipped": summary.skipped}
    files = (
        Download("overlaps.csv", "text/csv", csv_bytes(summary.table), "every pair of layers at every rank"),
        Download("layers.csv", "text/csv", csv_bytes(summary.layers), "every layer, all columns"),
        Download(
            "results.json", "application/json", json_bytes(numbers), "eigenvalues, eigenvectors, provenance"
        ),
    )
    return Section(
        "origin", "Origin and numbers", (), (Downloads(files), Facts(provenance_facts(summary.provenance)))
    )

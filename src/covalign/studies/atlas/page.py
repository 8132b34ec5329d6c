"""What does a person read about the conditions of a population?"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from covalign.report.columns import headings
from covalign.report.page import (
    Column,
    Download,
    Mark,
    Notes,
    Page,
    Panel,
    Plots,
    Section,
    Slide,
    Slides,
    Table,
)
from covalign.report.plots import LINES, depth_axis, legend, level, line
from covalign.report.provenance import origin_section
from covalign.report.tables import csv_bytes, frame_table
from covalign.storage.plain import json_bytes
from covalign.studies.atlas.arrangement import Tree
from covalign.studies.atlas.columns import AxisRow, NetworkRow, ValueRow
from covalign.studies.atlas.maps import contained_matrix, keys, marks, plane_panel, q_matrix
from covalign.studies.atlas.words import answers, asked, findings, plural
from covalign.studies.comparison.tables import condition_table_by_layer

TESTS = (
    "axis",
    "depth",
    "values",
    "strata",
    "networks",
    "separation",
    "detectable",
    "p_value",
    "corrected",
    "least",
    "exact",
    "remark",
)
PAIRS = (
    "axis",
    "value_a",
    "value_b",
    "depth",
    "q",
    "separation",
    "detectable",
    "p_value",
    "corrected",
    "least",
    "apart",
    "remark",
)
Places = Mapping[str, Mapping[str, str]]


def atlas_page(
    table: pd.DataFrame,
    axes: pd.DataFrame,
    values: pd.DataFrame,
    classes: pd.DataFrame,
    containment: pd.DataFrame,
    networks: pd.DataFrame,
    plane: pd.DataFrame,
    trees: Mapping[int, Tree],
    places: Places,
    missing: Sequence[str],
    provenance: Mapping[str, Any],
) -> Page:
    """Arrange an atlas as a page; arguments as in `Atlas`."""
    marked = marks(places)
    sections = [
        _map_section(table, plane, trees, marked),
        _axis_section(axes, values),
        _class_section(classes, values),
        _containment_section(containment, trees, marked),
        _condition_section(table),
        Section(
            "networks",
            "The networks",
            (),
            (frame_table(networks, headings(NetworkRow), "Every network of the population.", True),),
        ),
        Section("method", "How this was measured", (), (Notes(("atlas", "references")),), folded=True),
        origin_section(_files(table, axes, values, classes, containment, networks, provenance), provenance),
    ]
    seeds = networks.groupby("condition").size()
    return Page(
        kicker="atlas",
        title="Which conditions teach networks the same?",
        subtitle=asked(places),
        summary=findings(table, classes, containment, missing),
        facts=(
            ("Networks", f"{len(networks)}" + (f", {len(missing)} missing" if missing else "")),
            ("Conditions", f"{len(places)}"),
            (
                "Networks of each",
                f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}",
            ),
            ("Layers", f"{len(trees)}"),
            ("Images", str((provenance.get("images") or {}).get("name", "none"))),
        ),
        sections=tuple(section for section in sections if section is not None),
        answers=answers(axes, values, networks),
        about=str(provenance.get("about", "")),
    )


def _map_section(
    table: pd.DataFrame, plane: pd.DataFrame, trees: Mapping[int, Tree], marked: Mapping[str, Mark]
) -> Section:
    reach = 1.15 * float(plane[["x", "y"]].abs().max().max())
    slides = tuple(
        Slide(
            _label(table, depth),
            (q_matrix(table[table["depth"] == depth], tree, marked, depth),),
            (plane_panel(plane[plane["depth"] == depth], marked, reach, depth),),
        )
        for depth, tree in trees.items()
    )
    caption = (
        "Left: Q of every two conditions, 1 where they share as much as two seeds of one condition; point at a cell "
        "for its interval over seeds. The tree joins what is most alike (average linkage of the chord √(2 − 2Q)). "
        "Right: every network, near those it agrees with (classical scaling of R); networks of one condition differ "
        "by their seeds alone. Planes of different layers are turned to fit each other, not stretched."
    )
    start = len(slides) // 2
    return Section("map", "The map, layer by layer", (), (Slides(slides, caption, start, keys(marked)),))


def _label(table: pd.DataFrame, depth: int) -> str:
    names = table[table["depth"] == depth]["layer"]
    return f"layer {depth}" + (f" ({names.iloc[0]})" if len(names) else "")


def _axis_section(axes: pd.DataFrame, values: pd.DataFrame) -> Section:
    panels = []
    for axis, rows in values.groupby("axis", sort=False):
        pairs = list(dict.fromkeys(zip(rows["value_a"], rows["value_b"], strict=True)))[:LINES]
        panels.append((_axis_panel(str(axis), rows, pairs), pairs))
    caption = (
        "Q between conditions that differ in this alone, against depth, mean over such conditions. Filled: seeds "
        "tell the two apart (p at most .05, corrected over pairs); open: they do not, or were too few to be asked."
    )
    parts = [Plots((panel,), caption, legend([f"{a} – {b}" for a, b in pairs])) for panel, pairs in panels]
    tests = frame_table(
        axes,
        headings(AxisRow, TESTS),
        "Does it make a difference at all? Networks are exchanged between conditions that differ in this alone.",
        len(axes) > 24,
    )
    pairs_table = frame_table(values, headings(ValueRow, PAIRS), "Every two values, at every layer.", True)
    return Section("axes", "What makes a difference?", (), (*parts, tests, pairs_table))


def _axis_panel(axis: str, rows: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> Panel:
    data = []
    for index, (a, b) in enumerate(pairs):
        own = rows[(rows["value_a"] == a) & (rows["value_b"] == b)].sort_values("depth")
        hover = f"{html.escape(a)} – {html.escape(b)}<br>layer %{{x}}: Q <b>%{{y:.2f}}</b>, p %{{customdata}}"
        trace = line(index, own["depth"].tolist(), own["q"].tolist(), hover)
        trace["customdata"] = ["not tested" if p != p else f"{p:.2g}" for p in own["corrected"]]
        symbol = trace["marker"]["symbol"]
        trace["marker"] |= {
            "symbol": [symbol if apart else f"{symbol}-open" for apart in own["apart"]],
            "size": 9,
        }
        data.append(trace)
    reference = level(1.0, "as two seeds of one condition")
    layout = {
        "xaxis": depth_axis(sorted(set(rows["depth"]))),
        "yaxis": {"title": {"text": "Q"}, "rangemode": "tozero"},
        **reference,
    }
    return Panel(
        tuple(data), layout, f"Q between {plural(axis)} against depth.", plural(axis).capitalize(), height=330
    )


def _class_section(classes: pd.DataFrame, values: pd.DataFrame) -> Section:
    depths = sorted(set(classes["depth"]))
    rows = []
    for (axis, value), own in classes.groupby(["axis", "value"], sort=False):
        by_depth = dict(zip(own["depth"], own["label"], strict=True))
        rows.append((str(axis), str(value), *(by_depth.get(depth) or "–" for depth in depths)))
    columns = (
        Column("what varies"),
        Column("value"),
        *(
            Column(f"layer {depth}", None, "values with the same letter are not told apart")
            for depth in depths
        ),
    )
    tested = values[values["p_value"].notna()]
    power = (
        f" The smallest p that could be reached is {tested['least'].max():.1g}, before correction over pairs."
        if len(tested)
        else ""
    )
    prose = (
        "Values with the same letter at a layer form a class: seeds tell no two of them apart. Letters of different "
        f"layers have nothing to do with each other. Not to be told apart is less than to be equal: see Q.{power} A "
        "dash: fewer than five networks, drawn and not tested."
    )
    return Section(
        "classes",
        "Universality classes",
        (prose,),
        (Table(columns, tuple(rows), "Classes, layer by layer."),),
    )


def _containment_section(
    containment: pd.DataFrame, trees: Mapping[int, Tree], marked: Mapping[str, Mark]
) -> Section | None:
    if not containment["asymmetry"].notna().any():
        return None
    names = list(marked)
    slides = []
    for depth, tree in trees.items():
        rows = containment[containment["depth"] == depth]
        if rows["a_in_b"].notna().any():
            order = [names[leaf] for leaf in tree.order]
            slides.append(Slide(_label(rows, depth), (contained_matrix(rows, order, marked, depth),)))
    caption = (
        "How much of the variance of the row’s neurons lies among the directions that the column’s networks learned "
        "reproducibly, relative to how much of their own does. A row that is darker than its column: it is "
        "contained and does not contain. Point at a cell for the difference of both ways, with its interval."
    )
    shown = Slides(tuple(slides), caption, len(slides) // 2)
    return Section("containment", "Who contains whom?", (), (shown,))


def _condition_section(table: pd.DataFrame) -> Section:
    prose = "With interval and remarks, as a table of its own, among the downloads."
    return Section(
        "conditions", "Every two conditions", (prose,), (condition_table_by_layer(table),), folded=True
    )


def _files(
    table: pd.DataFrame,
    axes: pd.DataFrame,
    values: pd.DataFrame,
    classes: pd.DataFrame,
    containment: pd.DataFrame,
    networks: pd.DataFrame,
    provenance: Mapping[str, Any],
) -> tuple[Download, ...]:
    said = {
        "table.csv": (table, "Q of every two conditions"),
        "axes.csv": (axes, "tests of every axis"),
        "values.csv": (values, "tests of every two values"),
        "classes.csv": (classes, "classes"),
        "containment.csv": (containment, "who contains whom"),
        "networks.csv": (networks, "every network"),
    }
    tables = [Download(name, "text/csv", csv_bytes(rows), meaning) for name, (rows, meaning) in said.items()]
    return (
        *tables,
        Download("results.json", "application/json", json_bytes({"provenance": provenance}), "provenance"),
    )

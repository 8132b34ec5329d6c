"""What does a person read about the relation of networks?"""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from covalign.encoding.lineage.change import Kind
from covalign.encoding.lineage.trace import Relation
from covalign.report.columns import headings
from covalign.report.page import Column, Download, Key, Notes, Page, Panel, Part, Plots, Section, Table
from covalign.report.plots import depth_axis, pair_title, shorten_escaped
from covalign.report.provenance import origin_section
from covalign.report.sections import skipped_section
from covalign.report.tables import csv_bytes, frame_table
from covalign.storage.plain import json_bytes
from covalign.studies.lineage.columns import MISSING, KinRow, TraceRow
from covalign.studies.lineage.figures import State, state_of
from covalign.studies.lineage.words import findings, said_of, test

PANELS = 10
"""Pairs that the page draws."""
PRINTED = (
    "layer_a",
    "layer_b",
    "neurons",
    "d",
    "relation",
    "cosine",
    "detectable",
    "p_value",
    "change",
    "size",
)
KIN = (
    "a",
    "b",
    "verdict",
    "p_value",
    "layers",
    "tested",
    "related",
    "left_out",
    "how",
    "ancestor",
    "evidence",
)


def lineage_page(
    pairs: pd.DataFrame,
    layers: pd.DataFrame,
    cannot_exclude: Sequence[str],
    doubts: Mapping[tuple[str, str], Sequence[str]],
    skipped: Mapping[str, list[tuple[str, str]]],
    provenance: dict[str, Any],
) -> Page:
    """Arrange a lineage as a page.

    Args:
        pairs, layers, cannot_exclude, doubts, skipped, provenance: as in `Lineage`.
    """
    first = pairs.iloc[0]
    names = list(dict.fromkeys([*pairs["a"], *pairs["b"]]))
    files = (
        Download("layers.csv", "text/csv", csv_bytes(layers), "every layer of every pair, all columns"),
        Download("pairs.csv", "text/csv", csv_bytes(pairs), "every pair"),
        Download("results.json", "application/json", json_bytes({"provenance": provenance}), "provenance"),
    )
    several = len(pairs) > 1
    sections = [
        Section("where", "Where does the relation hold?", (), _strips(pairs, layers)),
        Section("family", "The whole family", (), (_family(pairs), _doubts(doubts))) if several else None,
        Section("layers", "Every layer", (), (_table(layers, several),)),
        Section("method", "How this was found", (), (Notes(("lineage", "references")),)),
        skipped_section(skipped),
        origin_section(files, provenance),
    ]
    return Page(
        kicker="lineage report",
        title="Was one derived from the other?",
        subtitle=" · ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else ""),
        summary=findings(pairs, layers, cannot_exclude),
        facts=(
            ("Verdict", str(first["verdict"]).replace("_", " ")),
            ("p-value", f"{first['p_value']:.2g}"),
            ("Layers related", f"{first['related']} of {first['tested']} tested"),
            ("Older", str(first["ancestor"]) or "not known"),
            ("Images", str(provenance.get("images") or "none")),
        ),
        sections=tuple(section for section in sections if section is not None),
        answers=(
            ("Was one derived from the other?", said_of(first)),
            ("How sure is that?", test(first, _of_first(pairs, layers))),
        ),
    )


def _of_first(pairs: pd.DataFrame, layers: pd.DataFrame) -> pd.DataFrame:
    """Return the layers of the first pair."""
    first = pairs.iloc[0]
    return layers[(layers["a"] == first["a"]) & (layers["b"] == first["b"])]


def _table(layers: pd.DataFrame, several: bool) -> Table:
    words = {relation.name.lower(): relation.value for relation in Relation}
    words |= {kind.name.lower(): kind.value for kind in Kind} | {MISSING: "no layer of this shape"}
    names = (("a", "b") if several else ()) + PRINTED
    printed = layers.assign(**{name: layers[name].map(words).fillna("") for name in ("relation", "change")})
    return frame_table(
        printed, headings(TraceRow, names), "In order of depth; a relation is called at p ≤ 0.01."
    )


def _family(pairs: pd.DataFrame) -> Table:
    printed = pairs.assign(**{name: pairs[name].str.replace("_", " ") for name in ("verdict", "how")})
    return frame_table(printed, headings(KinRow, KIN), "What every two of the networks are to each other.")


def _doubts(doubts: Mapping[tuple[str, str], Sequence[str]]) -> Table:
    rows = tuple((*pair, sentence) for pair, said in doubts.items() for sentence in said)
    columns = (Column("network a"), Column("network b"), Column("cannot be excluded"))
    return Table(columns, rows, "What the verdict on each pair leaves open.")


def _strips(pairs: pd.DataFrame, layers: pd.DataFrame) -> tuple[Part, ...]:
    """A panel a pair: bars as high as the neurons' mean cosine, coloured by what became of the layer."""
    panels, used = [], set[State]()
    for a, b in list(zip(pairs["a"], pairs["b"], strict=True))[:PANELS]:
        rows = layers[(layers["a"] == a) & (layers["b"] == b) & layers["layer_a"].astype(bool)]
        if rows.empty:
            continue
        states = [state_of(row) for _, row in rows.iterrows()]
        used |= set(states)
        panels.append(_strip(rows, states, pair_title((a, b)) if len(pairs) > 1 else ""))
    keys = tuple(
        Key(state.words, state.name, state.color, symbol="square") for state in State if state in used
    )
    caption = (
        "Each layer’s mean cosine between corresponding neurons, whatever their scale, coloured by what became of "
        "the layer. Grey lines: the cosine from which a relation would have shown."
    )
    return (Plots(tuple(panels), caption, keys),) if panels else ()


def _strip(rows: pd.DataFrame, states: Sequence[State], title: str) -> Panel:
    data: list[dict[str, Any]] = []
    for state in State:
        chosen = rows[[each is state for each in states]]
        if chosen.empty:
            continue
        custom = [
            [
                shorten_escaped(row["layer_a"]),
                html.escape(str(row["change"] or row["relation"])).replace("_", " "),
            ]
            for _, row in chosen.iterrows()
        ]
        data.append(
            {
                "type": "bar",
                "x": chosen["depth"].tolist(),
                "y": [0.0 if math.isnan(value) else value for value in chosen["cosine"]],
                "width": 0.8,
                "legendgroup": state.name,
                "marker": {"color": state.color},
                "customdata": custom,
                "hovertemplate": "layer %{x}: %{customdata[0]}<br>%{customdata[1]}, cosine <b>%{y:.3f}</b>"
                "<extra></extra>",
            }
        )
    reach = rows[rows["detectable"].notna()]
    data.append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": reach["depth"].tolist(),
            "y": reach["detectable"].tolist(),
            "marker": {"symbol": "line-ew", "size": 16, "line": {"width": 2, "color": "#7f7f7f"}},
            "hovertemplate": "a cosine of %{y:.3f} would have shown<extra></extra>",
        }
    )
    layout = {
        "xaxis": depth_axis(rows["depth"].tolist()),
        "yaxis": {
            "title": {"text": "mean cosine"},
            "range": [min(0.0, float(rows["cosine"].min())) - 0.02, 1.02],
        },
        "barmode": "overlay",
    }
    return Panel(tuple(data), layout, f"What became of each layer. {title}", title, height=300)

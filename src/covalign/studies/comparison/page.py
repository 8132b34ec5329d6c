"""What does a person read about a comparison?

`comparison_page` arranges the fields of a `Comparison` as a `Page`: the answer in words, then the evidence from
similarity down to the single spectrum, then method, provenance and all numbers. Where a comparison is too large to
print whole, the page says what it left out.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from torch import Tensor

from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.encoding.spatial import SpatialCovariance
from covalign.report.columns import headings
from covalign.report.page import Download, Key, Notes, Page, Part, Plots, Section
from covalign.report.plots import LINES, PANELS, legend, pair_title
from covalign.report.provenance import origin_section
from covalign.report.sections import skipped_section, spatial_section, training_section
from covalign.report.tables import csv_bytes, frame_table, left_out
from covalign.storage.plain import json_bytes
from covalign.studies.comparison.answers import answers
from covalign.studies.comparison.conditions import ConditionRow
from covalign.studies.comparison.heats import layer_map_files, layer_map_section
from covalign.studies.comparison.layer_map import LayerMap
from covalign.studies.comparison.maps import cosine_maps
from covalign.studies.comparison.orders import group_places, pairs
from covalign.studies.comparison.panels import (
    CONTROLS,
    agreement_panel,
    calibrated_panel,
    condition_panel,
    control_panel,
    cosine_panel,
    shared_panel,
    similarity_panel,
)
from covalign.studies.comparison.spectra import spectrum_section
from covalign.studies.comparison.tables import (
    comparison_table,
    condition_table_by_layer,
    layer_table,
    pair_table,
    reason_table,
)
from covalign.studies.comparison.words import findings

ANSWERED = ("These networks ", "Networks of one condition", " could be given a number", " stand above ")
"""What findings say that the answers at the top say already."""


def comparison_page(
    table: pd.DataFrame,
    layers: pd.DataFrame,
    spectra: Mapping[tuple[str, str], Tensor],
    *,
    spatial: Mapping[tuple[str, str], SpatialCovariance],
    cosine_maps: Mapping[tuple[str, str, str], Tensor],
    curves: Mapping[tuple[str, str, str], SharedVariance],
    layer_maps: Mapping[tuple[str, str], LayerMap],
    conditions: Mapping[str, str],
    by_condition: pd.DataFrame,
    training: Mapping[str, list[dict[str, Any]]],
    skipped: Mapping[str, list[tuple[str, str]]],
    provenance: Mapping[str, Any],
    filters: Tensor | None,
) -> Page:
    """Arrange the fields of a `Comparison` as a page."""
    names = list(dict.fromkeys(layers["network"]))
    images = provenance.get("images") or {}
    facts = (
        ("Networks", f"{len(names):,}"),
        ("Pairs", f"{len(pairs(table)):,}"),
        ("Layers compared", f"{table['depth'].nunique():,}"),
        ("Images", str(images.get("name", "none: nothing was aligned"))),
    )
    sections = (
        similarity_section(table, conditions),
        condition_section(by_condition),
        layer_map_section(layer_maps, len(pairs(table))),
        layer_section(table, layers, spectra),
        direction_section(table, curves),
        map_section(table, cosine_maps),
        spectrum_section(table, layers, spectra, names),
        spatial_section(spatial, filters),
        training_section(training),
        skipped_section(skipped),
        method_section(),
        origin_section(files(table, layers, spectra, layer_maps, training, skipped, provenance), provenance),
    )
    return Page(
        kicker="comparison report",
        title="Did these networks learn the same thing?",
        subtitle=" · ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else ""),
        summary=tuple(
            sentence
            for sentence in findings(table, conditions)
            if not any(said in sentence for said in ANSWERED)
        ),
        facts=facts,
        sections=tuple(section for section in sections if section is not None),
        answers=answers(table, conditions, provenance),
        about=str(provenance.get("about", "")),
    )


def condition_section(by_condition: pd.DataFrame) -> Section | None:
    """Q of every pair of conditions against depth."""
    if by_condition.empty:
        return None
    compared = list(dict.fromkeys(zip(by_condition["condition_a"], by_condition["condition_b"], strict=True)))
    parts: list[Part] = []
    if by_condition["q"].notna().any():
        known = by_condition["low"].notna().any()
        with_it = (
            "with 95 % intervals over seeds" if known else "without intervals, which take three seeds a side"
        )
        caption = (
            f"Q of every pair of conditions against depth, {with_it}: how much networks of two conditions share, "
            "relative to what seeds of one condition share."
        )
        keys = legend([pair_title(pair) for pair in compared[:LINES]])
        panel = condition_panel(by_condition)
        parts.append(Plots((panel,), caption + left_out(len(compared), LINES, "pairs"), keys))
    parts.append(condition_table_by_layer(by_condition))
    shown = by_condition.assign(reason=[Reason(code).sentence for code in by_condition["reason"]])
    parts.append(frame_table(shown, headings(ConditionRow), "Every pair of conditions at every layer.", True))
    return Section("conditions", "Do conditions teach the same?", (), tuple(parts))


def similarity_section(table: pd.DataFrame, conditions: Mapping[str, str]) -> Section:
    """Similarity against depth, the levels behind it, and why some values are missing."""
    every = pairs(table)
    places = group_places(every[:LINES], conditions)
    keys = legend([pair_title(pair) for pair in every[:LINES]], places=[places[p] for p in every[:LINES]])
    grouped = " One colour for each two conditions." if len(set(conditions.values())) > 1 else ""
    parts: list[Part] = []
    if table["debiased"].notna().any():
        parts.append(
            Plots(
                (agreement_panel(table, places),),
                "Agreement R of every pair against depth, with 95 % intervals over neurons. It needs no model of the "
                "noise: directions of neurons, each compared with others only. Thin lines: the same weights, aligned "
                "on images in shuffled order. Gaps: no value; the reason is in the table below."
                + grouped
                + left_out(len(every), LINES, "pairs"),
                keys,
            )
        )
        parts.append(
            Plots(
                tuple(control_panel(table, pair) for pair in every[:PANELS]),
                "What R is held against. An alignment fitted to images in shuffled order still carries strong "
                "features into strong ones; what the same images add is the distance to it."
                + left_out(len(every), PANELS, "pairs"),
                control_keys(table),
            )
        )
    if table["similarity"].notna().any():
        parts.append(
            Plots(
                (similarity_panel(table, places),),
                "The published measure: normalized similarity (Guth and Ménard 2024, eq. 6) of every pair against "
                "depth, mean of both "
                "orders. Thin lines: the same weights without alignment. Open markers: the layer’s unlearned "
                "weights do not look like noise. Gaps: no value; the reason is in the table below."
                + left_out(len(every), LINES, "pairs"),
                keys,
            )
        )
    if table["calibrated"].notna().any():
        parts.append(
            Plots(
                (calibrated_panel(table, places),),
                "Calibrated similarity with its 95 % interval: an estimate for the populations the neurons were "
                "drawn from, both networks treated as noisy. Withheld where the noise model does not hold."
                + left_out(len(every), LINES, "pairs"),
                keys,
            )
        )
    parts += [part for part in (pair_table(table), reason_table(table)) if part is not None]
    if table["cosine"].notna().any():
        parts.append(
            Plots(
                tuple(cosine_panel(table, index, pair) for index, pair in enumerate(every[:PANELS])),
                "What the similarity is made of: each pair’s Bures–Wasserstein cosine on a bar from its chance "
                "level to its ceiling." + left_out(len(every), PANELS, "pairs"),
            )
        )
    return Section(
        "similarity",
        "Similarity against depth",
        ("At each layer, what one network learned is rotated into the other’s coordinates and compared.",),
        tuple(parts),
    )


def control_keys(table: pd.DataFrame) -> tuple[Key, ...]:
    """Return the legend of the controls that were measured."""
    keys = zip(CONTROLS, legend(list(CONTROLS.values())), strict=True)
    return tuple(key for name, key in keys if table[name].notna().any())


def layer_section(
    table: pd.DataFrame, layers: pd.DataFrame, spectra: Mapping[tuple[str, str], Tensor]
) -> Section:
    """The two tables behind everything."""
    return Section(
        "layers",
        "Layer by layer",
        ("Press a heading to sort. The full tables, with every column, are among the downloads.",),
        (layer_table(layers, spectra), comparison_table(table)),
    )


def direction_section(
    table: pd.DataFrame, curves: Mapping[tuple[str, str, str], SharedVariance]
) -> Section | None:
    """Shared variance against the number of leading directions, a panel a layer."""
    if not curves:
        return None
    every = pairs(table)[:LINES]
    panels = [
        panel
        for depth, rows in table.groupby("depth")
        if (panel := shared_panel(rows, curves, every, f"layer {depth}")) is not None
    ]
    caption = (
        "Shared variance by number of leading directions: the leading directions of half the neurons, used by the "
        "other network as much as by the other half (geometric mean of both ways, so that strength does not count). "
        "1: the same directions; a curve that falls: strong directions are shared, weak ones are not."
    )
    caption += left_out(len(panels), PANELS, "layers") + left_out(len(pairs(table)), LINES, "pairs")
    keys = legend([pair_title(pair) for pair in every], markers=False)
    plots = Plots(tuple(panels[:PANELS]), caption, keys)
    return Section("directions", "Which directions are shared?", (), (plots,))


def map_section(table: pd.DataFrame, maps: Mapping[tuple[str, str, str], Tensor]) -> Section | None:
    """Eigenvector-cosine maps."""
    gallery = cosine_maps(table, maps)
    prose = "Similarity condenses a map like these into one number; the map shows which directions agree."
    return Section("eigenvectors", "Do the directions correspond?", (prose,), (gallery,)) if gallery else None


def method_section() -> Section:
    """The formulas, folded: who reads a second report knows them."""
    notes = (
        "alignment",
        "covariance",
        "shrinkage",
        "effective_rank",
        "similarity",
        "calibrated",
        "eigenvectors",
        "spatial",
        "references",
    )
    return Section("method", "How this was measured", (), (Notes(notes),), folded=True)


def files(
    table: pd.DataFrame,
    layers: pd.DataFrame,
    spectra: Mapping[tuple[str, str], Tensor],
    layer_maps: Mapping[tuple[str, str], LayerMap],
    training: Mapping[str, list[dict[str, Any]]],
    skipped: Mapping[str, list[tuple[str, str]]],
    provenance: Mapping[str, Any],
) -> tuple[Download, ...]:
    """Return the numbers as files."""
    numbers = {
        "provenance": provenance,
        "training": training,
        "skipped": skipped,
        "spectra": [
            {
                "network": name,
                "layer": layer,
                "eigenvalues": [float(f"{value:.7g}") for value in values.tolist()],
            }
            for (name, layer), values in spectra.items()
        ],
    }
    return (
        Download(
            "comparison.csv",
            "text/csv",
            csv_bytes(table),
            "every pair at every layer, all columns",
        ),
        Download("layers.csv", "text/csv", csv_bytes(layers), "every network and layer, all columns"),
        *layer_map_files(layer_maps),
        Download(
            "results.json", "application/json", json_bytes(numbers), "spectra, training histories, provenance"
        ),
    )

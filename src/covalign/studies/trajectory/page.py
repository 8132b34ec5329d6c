"""What does a person read about when each layer learned what it ends with?"""

from typing import Any

import pandas as pd

from covalign.report.columns import Heading
from covalign.report.page import Download, Notes, Page, Panel, Part, Plots, Section
from covalign.report.plots import legend, line, shorten_escaped
from covalign.report.provenance import origin_section
from covalign.report.tables import csv_bytes, frame_table
from covalign.studies.comparison.orders import mean_of_orders
from covalign.studies.trajectory.words import findings

COLUMNS: tuple[Heading, ...] = (
    Heading("epoch", 0, "epoch", ""),
    Heading("reference", None, "reference", "what the checkpoint is compared with"),
    Heading("layer", None, "layer", ""),
    Heading("similarity", 3, "value", "mean of both orders"),
    Heading("cosine", 3, "cosine", ""),
    Heading("chance", 3, "chance", ""),
    Heading("kept", 0, "kept", "eigenvalues above the bulk"),
    Heading("rank", 1, "effective_rank", "effective rank of the weight covariance"),
    Heading("change", 3, "relative_change", "‖W − W₀‖ / ‖W₀‖"),
    Heading(
        "moved", 3, "energy_moved", "share of the squared weights that is no multiple of the initial ones"
    ),
    Heading("remark", None, "reason", ""),
)

MEASURES = {
    "value": "similarity",
    "relative_change": "relative change",
    "energy_moved": "energy moved",
    "effective_rank": "effective rank",
}


def trajectory_page(table: pd.DataFrame, provenance: dict[str, Any]) -> Page:
    """Arrange the checkpoints of a training as a page.

    Args:
        table: a row per epoch, reference and layer, as in `Trajectory.table`.
        provenance: JSON-serializable.
    """
    rows = table.assign(value=mean_of_orders(table))
    references = list(dict.fromkeys(table["reference"]))
    layers = list(dict.fromkeys(table["layer"]))
    return Page(
        kicker="trajectory report",
        title="When in training did each layer learn what it ends with?",
        subtitle=str(table["network"].iloc[0]),
        summary=findings(table),
        facts=(("Layers", f"{len(layers):,}"), ("Compared with", ", ".join(references))),
        sections=(
            Section("course", "The course", (), course_parts(rows, references, layers)),
            Section(
                "method", "How this was measured", (), (Notes(("similarity", "alignment", "references")),)
            ),
            origin_section(files(table), provenance),
        ),
    )


def files(table: pd.DataFrame) -> tuple[Download, ...]:
    """Return the numbers as a file."""
    meaning = "every checkpoint and layer, all columns"
    return (Download("trajectory.csv", "text/csv", csv_bytes(table), meaning),)


def course_parts(rows: pd.DataFrame, references: list[str], layers: list[str]) -> tuple[Part, ...]:
    """Every measure against the epoch, similarity by reference; then the table."""
    panels = []
    for measure, title in MEASURES.items():
        for reference in references if measure == "value" else references[:1]:
            own = rows[rows["reference"] == reference]
            if own[measure].notna().any():
                heading = f"{title} with {reference}" if measure == "value" else title
                panels.append(course_panel(own, measure, heading, layers))
    caption = "Every layer at every checkpoint; epoch 0 is before training."
    plots = (Plots(tuple(panels), caption, legend(layers)),) if panels else ()
    return (*plots, frame_table(rows, COLUMNS, "Every checkpoint, reference and layer."))


def course_panel(rows: pd.DataFrame, measure: str, title: str, layers: list[str]) -> Panel:
    """Plot one measure of every layer against the epoch."""
    data = []
    for index, layer in enumerate(layers):
        own = rows[rows["layer"] == layer].sort_values("epoch")
        hover = f"{shorten_escaped(layer)}<br>epoch %{{x}}: <b>%{{y:.3f}}</b>"
        data.append(line(index, own["epoch"], own[measure], hover))
    return Panel(
        tuple(data), {"xaxis": {"title": {"text": "epoch"}}}, f"{title} against the epoch.", title, 320
    )

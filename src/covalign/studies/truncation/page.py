"""What does a person read about how many directions of a layer the accuracy needs?"""

from typing import Any

import pandas as pd

from covalign.report.columns import Heading
from covalign.report.page import Download, Notes, Page, Panel, Plots, Section
from covalign.report.plots import legend, level, line, shorten_escaped
from covalign.report.provenance import origin_section
from covalign.report.tables import csv_bytes, frame_table
from covalign.studies.truncation.words import findings

COLUMNS: tuple[Heading, ...] = (
    Heading("layer", None, "layer", ""),
    Heading("basis", None, "basis", "of which the leading directions are kept"),
    Heading("d", 0, "d", "dimension of the layer's inputs"),
    Heading("rank", 0, "rank", "directions kept"),
    Heading("accuracy", 4, "accuracy", "nothing retrained"),
    Heading("untruncated", 4, "untruncated", "accuracy of the network as it is"),
)


def truncation_page(table: pd.DataFrame, provenance: dict[str, Any]) -> Page:
    """Arrange accuracies at every rank as a page.

    Args:
        table: a row per layer, basis and rank, as in `Truncation.table`.
        provenance: JSON-serializable.
    """
    caption = "Accuracy with one layer's weights projected onto so many directions; the line: untruncated."
    names = [f"{layer}, {basis}" for layer, basis in table.groupby(["layer", "basis"], sort=False).groups]
    plots = Plots((rank_panel(table),), caption, legend(names))
    file = Download("truncation.csv", "text/csv", csv_bytes(table), "every rank")
    return Page(
        kicker="truncation report",
        title="How many directions of a layer does the accuracy need?",
        subtitle=str(table["network"].iloc[0]),
        summary=findings(table),
        facts=tuple((name, ", ".join(dict.fromkeys(table[name]))) for name in ("layer", "basis")),
        sections=(
            Section(
                "ranks", "Accuracy against rank", (), (plots, frame_table(table, COLUMNS, "Every rank."))
            ),
            Section("method", "How this was measured", (), (Notes(("covariance", "references")),)),
            origin_section((file,), provenance),
        ),
    )


def rank_panel(table: pd.DataFrame) -> Panel:
    """Plot accuracy against rank, a line a layer and basis."""
    data = []
    for index, ((layer, basis), rows) in enumerate(table.groupby(["layer", "basis"], sort=False)):
        own = rows.sort_values("rank")
        hover = f"{shorten_escaped(f'{layer}, {basis}')}<br>rank %{{x}}: <b>%{{y:.1%}}</b>"
        data.append(line(index, own["rank"], own["accuracy"], hover))
    layout = {
        "xaxis": {"title": {"text": "rank kept"}},
        "yaxis": {"title": {"text": "accuracy"}, "range": [0, 1.02]},
        **level(float(table["untruncated"].iloc[0]), "untruncated"),
    }
    return Panel(tuple(data), layout, "Accuracy against rank.", height=380)

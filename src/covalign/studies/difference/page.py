"""What does a person read about a change between two relatives?

`difference_page` arranges a table of layers as a `Page`: how much changed and where, of what sort the change is,
each measure beside its reference, and all numbers.
"""

from typing import Any

import pandas as pd

from covalign.report.columns import Heading
from covalign.report.page import Download, Key, Notes, Page, Panel, Part, Plots, Section
from covalign.report.plots import depth_axis, legend, line, measure_panel, shorten_escaped
from covalign.report.provenance import origin_section
from covalign.report.tables import csv_bytes, frame_table
from covalign.storage.plain import json_bytes
from covalign.studies.difference.words import answers, findings

MEASURES = {
    "inside": "share inside what the base had learned",
    "rotation": "change of the neurons’ directions",
    "rescaling": "change of the neurons’ lengths",
    "spatial_change": "spatial change",
    "channel_change": "channel change",
    "update_effective_rank": "effective rank of the update",
    "update_stable_rank": "stable rank of the update",
}

COLUMNS: tuple[Heading, ...] = (
    Heading("layer", None, "layer", ""),
    Heading("kind", None, "kind", ""),
    Heading("neurons", 0, "neurons", ""),
    Heading("d", 0, "d", "length of a neuron"),
    Heading("change", 4, "relative_change", "‖W′ − W‖ / ‖W‖"),
    Heading("spread", 4, "relative_change_spread", "from seed to seed"),
    Heading("rotation", 4, "rotation", "change of the neurons’ directions"),
    Heading("rescaling", 4, "rescaling", "change of the neurons’ lengths"),
    Heading("spatial", 4, "spatial_change", "change of the second moment of the kernels"),
    Heading("channel", 4, "channel_change", "change of the second moment over the input channels"),
    Heading("inside", 3, "inside", "share of the update within the directions that the base had learned"),
    Heading("random", 3, "inside_reference", "the same for the update turned at random"),
    Heading(
        "directions", 0, "update_rank", "rank of the update: directions beyond the rounding of the weights"
    ),
    Heading("rank", 1, "update_effective_rank", "effective rank of the update"),
    Heading("noise rank", 1, "update_effective_rank_reference", "effective rank of noise of that size"),
    Heading("repeats", 2, "update_cosine", "cosine with the update of the replicate"),
    Heading("basis", 2, "correlation", "correlation of the raw weights"),
    Heading("remark", None, "reason", ""),
)


def difference_page(table: pd.DataFrame, base: str, other: str, provenance: dict[str, Any]) -> Page:
    """Arrange a difference as a page.

    Args:
        table: a row a layer, as in `Difference.table`.
        base, other: names of the networks.
        provenance: JSON-serializable.
    """
    numbers = {"base": base, "other": other, "provenance": provenance}
    files = (
        Download("difference.csv", "text/csv", csv_bytes(table), "every layer, all columns"),
        Download("results.json", "application/json", json_bytes(numbers), "names and provenance"),
    )
    return Page(
        kicker="difference report",
        title="What did this training change?",
        subtitle=f"{base} → {other}",
        summary=findings(table),
        facts=(
            ("Base", base),
            ("Other", other),
            ("Replicate", str(provenance.get("replicate") or "none")),
            ("Layers", f"{len(table):,}"),
            *adapter_facts(provenance),
        ),
        sections=(
            Section("change", "How much changed, and where?", (), change_parts(table)),
            Section(
                "measures",
                "What sort of change is it?",
                ("Grey: the range of updates of the same size, turned at random.",),
                measure_parts(table),
            ),
            Section("method", "How this was measured", (), (Notes(notes(table)),)),
            origin_section(files, provenance),
        ),
        answers=answers(table),
    )


def adapter_facts(provenance: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Say how an adapter was applied, and what of it could not be."""
    facts = []
    for network in provenance.get("networks", []):
        if "adapter" in network:
            left = network.get("not applied", [])
            listed = f"; not applied: {', '.join(name for name, _ in left)}" if left else ""
            updated = f"{len(network['updated'])} layers updated at scale {network['scale']}{listed}"
            facts.append((f"Adapter {network['name']}", updated))
    return tuple(facts)


def change_parts(table: pd.DataFrame) -> tuple[Part, ...]:
    """Relative change by layer, and the table of all measures."""
    parts: list[Part] = []
    if "relative_change" in table:
        panel, keys = change_panel(table)
        caption = (
            "Change of every layer relative to its size, and its two parts: neurons that turn, and neurons that "
            "grow or shrink. Their squares add up to that of the whole."
        )
        parts.append(Plots((panel,), caption, keys))
    parts.append(frame_table(table, COLUMNS, "Every layer of the base, in order."))
    return tuple(parts)


def change_panel(table: pd.DataFrame) -> tuple[Panel, tuple[Key, ...]]:
    """Plot the relative change with its two parts, and the spread of a replicate where there is one."""
    depths = list(range(1, len(table) + 1))
    names = [shorten_escaped(name) for name in table["layer"]]
    titles = {"relative_change": "relative change", "rotation": "rotation", "rescaling": "rescaling"}
    if "relative_change_spread" in table:
        titles["relative_change_spread"] = "spread from seed to seed"
    data = [
        line(
            index,
            depths,
            table[column],
            f"layer %{{x}}: %{{customdata}}<br>{title} <b>%{{y:.4g}}</b>",
            customdata=names,
        )
        for index, (column, title) in enumerate(titles.items())
    ]
    layout = {
        "xaxis": depth_axis(depths),
        "yaxis": {"title": {"text": "relative change"}, "rangemode": "tozero"},
    }
    panel = Panel(tuple(data), layout, "Relative change by layer, with its parts.", height=420)
    return panel, legend(list(titles.values()))


def measure_parts(table: pd.DataFrame) -> tuple[Part, ...]:
    """Every measure beside its reference."""
    panels = tuple(
        measure_panel(
            list(table["layer"]),
            table[name],
            table[f"{name}_low"],
            table[f"{name}_high"],
            title,
            table.get(f"{name}_spread"),
        )
        for name, title in MEASURES.items()
        if name in table and table[name].notna().any()
    )
    caption = (
        "Points: measured. Grey: the lowest to the highest of updates of the same size turned at random (for the "
        "ranks: of noise). Error bars, where there is a replicate: the spread from seed to seed."
    )
    return (Plots(panels, caption),) if panels else ()


def notes(table: pd.DataFrame) -> tuple[str, ...]:
    """Method notes that apply."""
    return (
        "update",
        "turned",
        *(("spread",) if "update_cosine" in table else ()),
        "basis",
        "covariance",
        "references",
    )

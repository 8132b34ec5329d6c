"""What does a person read about a change between two relatives?

`difference_page` arranges a `Difference` as a `Page`: how much changed and where, of what sort the change is,
each measure beside its reference, and all numbers.
"""

import os
from pathlib import Path

import pandas as pd

from covalign.report.page import Download, Key, Notes, Page, Panel, Part, Plots, Section
from covalign.report.plots import depth_axis, legend, line, measure_panel, shorten_escaped
from covalign.report.provenance import origin_section
from covalign.report.rendering import json_bytes, write_page
from covalign.report.tables import Heading, csv_bytes, frame_table
from covalign.report.words import count, number
from covalign.studies.difference.record import Difference

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
    ("layer", None, "layer", ""),
    ("kind", None, "kind", ""),
    ("neurons", 0, "neurons", ""),
    ("d", 0, "d", "length of a neuron"),
    ("change", 4, "relative_change", "‖W′ − W‖ / ‖W‖"),
    ("spread", 4, "relative_change_spread", "from seed to seed"),
    ("rotation", 4, "rotation", "change of the neurons’ directions"),
    ("rescaling", 4, "rescaling", "change of the neurons’ lengths"),
    ("spatial", 4, "spatial_change", "change of the second moment of the kernels"),
    ("channel", 4, "channel_change", "change of the second moment over the input channels"),
    ("inside", 3, "inside", "share of the update within the directions that the base had learned"),
    ("random", 3, "inside_reference", "the same for the update turned at random"),
    ("rank", 1, "update_effective_rank", "effective rank of the update"),
    ("noise rank", 1, "update_effective_rank_reference", "effective rank of noise of that size"),
    ("repeats", 2, "update_cosine", "cosine with the update of the replicate"),
    ("basis", 2, "correlation", "correlation of the raw weights"),
    ("remark", None, "reason", ""),
)


def write_report(difference: Difference, path: str | os.PathLike[str]) -> Path:
    """Write the report of a difference into one HTML file and return its path.

    Args:
        difference: what `covalign.diff` returned.
        path: the file to write; missing folders are made.

    Raises:
        InputError: the path cannot be written.
    """
    return write_page(difference_page(difference), path)


def difference_page(difference: Difference) -> Page:
    """Arrange a difference as a page."""
    table = difference.table
    replicate = difference.provenance.get("replicate")
    return Page(
        kicker="difference report",
        title="What did this training change?",
        subtitle=f"{difference.base} → {difference.other}",
        summary=findings(table),
        facts=(
            ("Base", difference.base),
            ("Other", difference.other),
            ("Replicate", str(replicate or "none")),
            ("Layers", f"{len(table):,}"),
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
            origin_section(files(difference), difference.provenance),
        ),
    )


def findings(table: pd.DataFrame) -> tuple[str, ...]:
    """Return what a difference shows, in plain words.

    Args:
        table: `Difference.table`.
    """
    sentences = (
        extent(table),
        sort_of_change(table),
        concentration(table),
        learned(table),
        repetition(table),
        limits(table),
    )
    return tuple(sentence for sentence in sentences if sentence)


def extent(table: pd.DataFrame) -> str:
    """Say how large the change is and where it is largest."""
    if "relative_change" not in table or table["relative_change"].isna().all():
        return "No layer of the two networks could be compared; the reasons are in the table."
    changed = table[table["relative_change"] > 0]
    if changed.empty:
        return "Nothing changed: every layer that both networks have is equal, to the last bit."
    largest = changed.loc[changed["relative_change"].idxmax()]
    unchanged = int((table["relative_change"] == 0).sum())
    still = f" {count(unchanged, 'layer')} did not change at all." if unchanged else ""
    return (
        f"Layers changed by {changed['relative_change'].median():.1%} of their size in the median; most in "
        f"{largest['layer']} ({largest['relative_change']:.1%}).{still}"
    )


def sort_of_change(table: pd.DataFrame) -> str:
    """Say whether neurons turned or grew."""
    if "rotation" not in table or not table["relative_change"].gt(0).any():
        return ""
    whole = table["relative_change"].pow(2).sum()
    share, random = (table[name].pow(2).sum() / whole for name in ("rotation", "rotation_reference"))
    return (
        f"{share:.0%} of the squared change turns neurons into new directions ({random:.0%} if the update were "
        "random); the rest makes them longer or shorter."
    )


def concentration(table: pd.DataFrame) -> str:
    """Say in how many directions the update lies."""
    if "update_effective_rank" not in table or not table["relative_change"].gt(0).any():
        return ""
    changed = table[table["relative_change"] > 0]
    rank, noise = (changed[f"update_effective_rank{end}"].median() for end in ("", "_reference"))
    return (
        f"The median effective rank of the update is {rank:.1f}, beside {noise:.1f} for noise of that size."
    )


def learned(table: pd.DataFrame) -> str:
    """Say whether the update stays within what the base had learned."""
    if "inside" not in table or table["inside"].isna().all():
        return ""
    own = table[table["inside"].notna()]
    above, below = own["inside"] > own["inside_high"], own["inside"] < own["inside_low"]
    return (
        f"The update stays within what the base had learned more than chance would have it in {above.sum()} of "
        f"{count(len(own), 'layer')}, and less in {below.sum()}: on average {number(own['inside'].mean())} of its "
        f"squared size, beside {number(own['inside_reference'].mean())} when turned at random."
    )


def repetition(table: pd.DataFrame) -> str:
    """Say whether another seed makes the same update."""
    if "update_cosine" not in table or table["update_cosine"].isna().all():
        return ""
    cosine = table["update_cosine"].mean()
    return (
        f"Another seed makes an update whose cosine with this one averages {number(cosine)}: the part that repeats "
        "belongs to the task, the rest to the seed."
    )


def limits(table: pd.DataFrame) -> str:
    """Count what restricts the reading."""
    if "reason" not in table:
        return ""
    stated = table["reason"].fillna("")
    return " ".join(
        f"{count(int((stated == reason).sum()), 'layer')}: {reason}."
        for reason in dict.fromkeys(stated)
        if reason and reason != "unchanged"
    )


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


def files(difference: Difference) -> tuple[Download, ...]:
    """Return the numbers as files."""
    numbers = {"base": difference.base, "other": difference.other, "provenance": difference.provenance}
    return (
        Download("difference.csv", "text/csv", csv_bytes(difference.table), "every layer, all columns"),
        Download("results.json", "application/json", json_bytes(numbers), "names and provenance"),
    )

"""Which sections do several pages share?"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from covalign.encoding.spatial import SpatialCovariance
from covalign.report.galleries import kernel_gallery, spatial_eigenvectors
from covalign.report.page import Column, Part, Plots, Section, Table
from covalign.report.plots import legend, training_panel
from covalign.report.tables import ROWS, left_out

NAMED = 8
"""Parameters that a reason names."""


def spatial_section(
    spatial: Mapping[tuple[str, str], SpatialCovariance], filters: Float[Tensor, "count k k"] | None
) -> Section | None:
    """Spatial eigenvectors by network and layer, and frozen filters, where there are some."""
    parts: list[Part] = [part for part in (spatial_eigenvectors(spatial),) if part is not None]
    if filters is not None:
        caption = "The frozen filters that factorized networks apply to every channel, with both signs."
        parts.append(kernel_gallery("Filter bank", list(filters), caption))
    return Section("spatial", "Spatial patterns", (), tuple(parts)) if parts else None


def training_section(training: Mapping[str, list[dict[str, Any]]]) -> Section | None:
    """Training curves of the networks whose history is known."""
    known = {name: history for name, history in training.items() if history}
    if not known:
        return None
    titles = {
        "test_accuracy": "accuracy on test images",
        "train_accuracy": "accuracy on training images",
        "train_loss": "training loss",
    }
    panels = tuple(
        training_panel(known, key, title)
        for key, title in titles.items()
        if any(row.get(key) is not None for history in known.values() for row in history)
    )
    caption = "Training of every network whose history is known. What was not learned cannot be compared."
    return Section("training", "Training", (), (Plots(panels, caption, legend(list(known), markers=False)),))


def skipped_section(skipped: Mapping[str, list[tuple[str, str]]]) -> Section | None:
    """What was not read as a layer, and why."""
    groups: dict[tuple[str, str], list[str]] = {}
    for network, entries in skipped.items():
        for parameter, reason in entries:
            groups.setdefault((network, reason), []).append(parameter)
    if not groups:
        return None
    rows = tuple(
        (network, reason, len(names), ", ".join(names[:NAMED]) + (" …" if len(names) > NAMED else ""))
        for (network, reason), names in groups.items()
    )
    columns = (Column("network"), Column("reason"), Column("parameters", 0), Column("names"))
    caption = "Parameters that were not compared, by reason; results.json names them all."
    table = Table(columns, rows[:ROWS], caption + left_out(len(rows), ROWS, "rows"))
    return Section("skipped", "What was left out", (), (table,))

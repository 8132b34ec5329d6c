"""When, during training, did each layer learn what it ends with?"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure

from covalign.report.page import Page
from covalign.studies.result import Result
from covalign.studies.trajectory.figures import measure_against_epoch
from covalign.studies.trajectory.page import trajectory_page


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory(Result):
    """The checkpoints of a training, by themselves and against where they lead.

    Attributes:
        table: a row per epoch, reference and layer: ``network, epoch, reference`` ("final", or the name of
            another network); of the checkpoint itself ``layer, depth, d, neurons, kept, effective_rank,
            participation_ratio, entropy_rank, stable_rank, bulk_ok, bulk_reason, relative_change, energy_moved``;
            and of its comparison with the reference ``layer_b, alignment_correlation, cosine, chance, ceiling,
            similarity, similarity_reversed, calibrated, low, high, p_value, unaligned, shuffled, reason`` as in
            `Comparison.table`, the checkpoint being a. Checkpoints of one training are no independent samples:
            close to the end eq. 6 exceeds 1 against "final", because its ceiling is that of an independent copy.
        provenance: draws, seed and the training's key, JSON-serializable.
    """

    KIND: ClassVar[str] = "trajectory"

    table: pd.DataFrame
    provenance: dict[str, Any] = field(default_factory=dict)

    def figure(self, measure: str | None = None, reference: str | None = None) -> Figure:
        """Return one measure of every layer against the epoch.

        Args:
            measure: a numeric column; None takes the similarity where it is known, else the relative change.
            reference: one of the table's; None takes the first.
        """
        known = "similarity" if self.table["similarity"].notna().any() else "relative_change"
        figure = Figure(layout="constrained")
        chosen = reference or str(self.table["reference"].iloc[0])
        measure_against_epoch(self.table, figure.subplots(), measure or known, chosen).legend()
        return figure

    def page(self) -> Page:
        """Return the trajectory as a page."""
        return trajectory_page(self.table, self.provenance)

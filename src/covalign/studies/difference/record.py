"""What changed between two networks?"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure

from covalign.report.page import Page
from covalign.report.stills import draw
from covalign.studies.difference.page import change_panel, difference_page
from covalign.studies.result import Result


@dataclass(frozen=True, eq=False, repr=False)
class Difference(Result):
    """What changed between two networks.

    Attributes:
        table: a row per layer of the base: ``layer, kind, neurons, d, relative_change``, then every measure of
            `covalign.encoding.update` with its ``_reference`` (mean over draws), ``_low`` and ``_high``
            (extremes over draws), ``update_rank`` (directions beyond the rounding of the weights), ``learned_rank``
            (r) and ``rank_rule``, ``correlation``,
            ``correlation_shuffled, shares_basis``, and ``reason`` where something limits the reading. With a
            replicate also ``_spread`` of the relative change and every measure, and ``update_cosine``.
        base: name of the network before.
        other: name of the one after.
        provenance: draws, seed and where the networks come from, JSON-serializable.
    """

    KIND: ClassVar[str] = "difference"

    table: pd.DataFrame
    base: str
    other: str
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def largest_change(self) -> float:
        """The largest relative change of a layer."""
        return float(self.table["relative_change"].max())

    def figure(self) -> Figure | None:
        """Return the change of every layer, with its two parts; None where no layer could be compared."""
        if "relative_change" not in self.table:
            return None
        figure = Figure(figsize=(7.0, 3.2), layout="constrained")
        panel, keys = change_panel(self.table)
        ax = draw(panel, figure.subplots())
        ax.legend(ax.get_lines()[: len(keys)], [key.label for key in keys])
        return figure

    def page(self) -> Page:
        """Return the difference as a page."""
        return difference_page(self.table, self.base, self.other, self.provenance)

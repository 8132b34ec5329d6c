"""How many of a layer's weight directions does the accuracy need?"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure

from covalign.report.page import Page
from covalign.studies.result import Result
from covalign.studies.truncation.figures import accuracy_against_rank
from covalign.studies.truncation.page import truncation_page


@dataclass(frozen=True, eq=False, repr=False)
class Truncation(Result):
    """Accuracy with one layer's weights projected onto few directions.

    Attributes:
        table: a row per rank: ``network, layer, depth, basis, d, rank, accuracy``, and ``untruncated``, the
            accuracy of the network as it is.
        provenance: images and seed, JSON-serializable.
    """

    KIND: ClassVar[str] = "truncation"

    table: pd.DataFrame
    provenance: dict[str, Any] = field(default_factory=dict)

    def figure(self) -> Figure:
        """Return accuracy against rank."""
        figure = Figure(layout="constrained")
        accuracy_against_rank(self.table, figure.subplots()).legend()
        return figure

    def page(self) -> Page:
        """Return the accuracies as a page."""
        return truncation_page(self.table, self.provenance)

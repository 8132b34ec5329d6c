"""What are networks to each other?"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure

from covalign.report.page import Page
from covalign.studies.lineage.figures import strip
from covalign.studies.lineage.page import lineage_page
from covalign.studies.lineage.words import findings
from covalign.studies.result import Result

PAIRS = 24
"""How many the figure shows."""


@dataclass(frozen=True, eq=False, repr=False)
class Lineage(Result):
    """What two networks are to each other, and others to them.

    Attributes:
        verdict: on the first two: "same_file", "same_weights", "derived" (one from the other; see
            ``cannot_exclude``), "common_ancestor", "independent", "unrelated" or "undecided".
        p_value: that any layer of independent networks would agree so well neuron by neuron; exact over orders of
            neurons, corrected over layers.
        layers: a row per pair and layer: the columns of `covalign.studies.lineage.columns.TraceRow`.
        pairs: a row per pair: the columns of `covalign.studies.lineage.columns.KinRow`.
        cannot_exclude: on the first two, a sentence each.
        ancestor: which of the first two, or of what was given beside them, is older; empty where nothing beyond
            the two files tells.
        doubts: `cannot_exclude` of every pair.
        skipped: by network, what was not read, and why.
        provenance: where all this comes from, JSON-serializable.
    """

    KIND: ClassVar[str] = "lineage"

    verdict: str
    p_value: float
    layers: pd.DataFrame
    pairs: pd.DataFrame
    cannot_exclude: tuple[str, ...]
    ancestor: str = ""
    doubts: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def numbers(self) -> dict[str, Any]:
        """Return verdict and p-value of every pair."""
        names = ["a", "b", "verdict", "p_value", "ancestor"]
        return {"pairs": self.pairs[names].to_dict("records")}

    @property
    def summary(self) -> tuple[str, ...]:
        """What was found, in plain words."""
        return findings(self.pairs, self.layers, self.cannot_exclude)

    def figure(self) -> Figure:
        """Return the strip: what every layer of every pair has in common."""
        shown = list(zip(self.pairs["a"], self.pairs["b"], strict=True))[:PAIRS]
        figure = Figure(figsize=(7.0, 1.3 + 0.35 * len(shown)), layout="constrained")
        strip(self.layers, shown, figure.subplots())
        return figure

    def page(self) -> Page:
        """Return the lineage as a page."""
        return lineage_page(
            self.pairs, self.layers, self.cannot_exclude, self.doubts, self.skipped, self.provenance
        )

"""Which layer of one network is most like which layer of another?"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure

from covalign.errors import InputError
from covalign.report.page import Page
from covalign.studies.comparison.orders import mean_of_orders
from covalign.studies.cross_layer.figures import cross_layer_similarity
from covalign.studies.cross_layer.page import cross_layer_page
from covalign.studies.result import Result


@dataclass(frozen=True, eq=False, repr=False)
class CrossLayerMap(Result):
    """Similarity of every layer of one network with every layer of another.

    Attributes:
        table: a row per comparable pair of layers, with the columns of `Comparison.table`, ``depth_b``, and
            ``excess``, (cosine - chance) / (1 - chance), which is also defined where no noise can be removed.
        layers_a, layers_b: hidden layers in forward order.
        provenance: as in `Comparison`.
    """

    KIND: ClassVar[str] = "cross-layer map"

    table: pd.DataFrame
    layers_a: tuple[str, ...]
    layers_b: tuple[str, ...]
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def measure(self) -> str:
        """What the layers are matched by: "similarity" (eq. 6, mean of both orders), else "excess"."""
        return "similarity" if _values(self.table, "similarity").notna().any() else "excess"

    def matrix(self, measure: str | None = None) -> pd.DataFrame:
        """Return one measure, layers of a down and layers of b across; NaN where there is none.

        Args:
            measure: a column of ``table``; "similarity" is the mean of both orders. None takes `measure`.

        Raises:
            InputError: no such column.
        """
        measure = measure or self.measure
        if measure not in self.table:
            raise InputError(f"measure: got {measure!r}, expected a column of the table such as similarity")
        square = self.table.assign(value=_values(self.table, measure)).pivot(
            index="layer_a", columns="layer_b", values="value"
        )
        return square.reindex(index=list(self.layers_a), columns=list(self.layers_b)).astype(float)

    @property
    def best(self) -> pd.DataFrame:
        """The layer of b most like each layer of a: ``layer_a, layer_b, measure, value, mutual``.

        ``mutual`` says that the layer of a is also the most like that layer of b. Layers without any value are
        left out.
        """
        square = self.matrix().dropna(how="all").dropna(how="all", axis=1)
        forward, backward = square.idxmax(axis=1), square.idxmax()
        return pd.DataFrame(
            {
                "layer_a": forward.index,
                "layer_b": forward.to_numpy(),
                "measure": self.measure,
                "value": [square.loc[pair] for pair in forward.items()],
                "mutual": [backward[right] == left for left, right in forward.items()],
            }
        )

    def figure(self, measure: str | None = None) -> Figure:
        """Return the map as grey squares, with each row's best match.

        Args:
            measure: see `matrix`.
        """
        figure = Figure(layout="constrained")
        cross_layer_similarity(self.matrix(measure), figure.subplots())
        return figure

    def page(self) -> Page:
        """Return the map as a page."""
        return cross_layer_page(self.table, self.matrix(), self.best, self.provenance)


def _values(table: pd.DataFrame, measure: str) -> pd.Series:
    """Return a column; the two orders of eq. 6 are averaged."""
    return mean_of_orders(table) if measure == "similarity" else table[measure]

"""What are the spatial patterns of a set of networks?"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure

from covalign.encoding.spatial import SpatialCovariance
from covalign.figures.spatial import spatial_eigenvectors
from covalign.figures.style import plain
from covalign.report.page import Page
from covalign.storage.results import Stored
from covalign.studies.result import Result
from covalign.studies.spatial.page import spatial_page

LAYERS, PATTERNS = 12, 6
"""How many the figure shows."""


@dataclass(frozen=True, eq=False, repr=False)
class SpatialSummary(Result):
    """The spatial patterns of a set of networks.

    Attributes:
        layers: a row per network and layer: ``network, layer, depth, first, of`` ("weights" or "update"),
            ``kernel, kernels`` (how many), ``share_1 ... share_9`` of the variance along each of the leading
            eigenvectors.
        table: a row per pair of layers of equal kernel size and rank: ``a, layer_a, depth_a, b, layer_b, depth_b,
            kernel, rank, overlap, chance`` (r / k^2), ``cosine`` (mean matched), ``lowest_cosine``, and
            ``beyond_first``: neither is its network's first layer, whose patterns differ.
        spatial: eigenvalues and eigenvectors by network and layer.
        skipped: by network, what has no spatial pattern or was not read, and why.
        provenance: where all this comes from, JSON-serializable.
    """

    KIND: ClassVar[str] = "spatial"
    PARTS: ClassVar[tuple[type, ...]] = (SpatialCovariance,)

    layers: pd.DataFrame
    table: pd.DataFrame
    spatial: dict[tuple[str, str], SpatialCovariance]
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def figure(self) -> Figure:
        """Return the leading patterns of every layer, a row a layer."""
        shown = list(self.spatial.items())[:LAYERS]
        figure = Figure(figsize=(1.1 * PATTERNS + 1.5, 1.1 * len(shown)), layout="constrained")
        axes = figure.subplots(len(shown), PATTERNS, squeeze=False)
        for row, ((network, layer), space) in zip(axes, shown, strict=True):
            spatial_eigenvectors(space, row.tolist())
            row[0].set_ylabel(f"{plain(network)}\n{plain(layer)}", fontsize="small")
        return figure

    def page(self) -> Page:
        """Return the summary as a page."""
        return spatial_page(self.layers, self.table, self.spatial, self.skipped, self.provenance)

    @classmethod
    def first_schema(cls, stored: Stored) -> dict[str, Any]:
        """Return the fields, from what version 0.1 wrote: covariances in the order of the layers' rows."""
        rows = stored.tables["layers"].to_dict("records")
        spatial = {
            (row["network"], row["layer"]): _covariance(stored, index, row) for index, row in enumerate(rows)
        }
        skipped = {
            name: [tuple(entry) for entry in left] for name, left in stored.document["skipped"].items()
        }
        return {
            **stored.tables,
            "spatial": spatial,
            "skipped": skipped,
            "provenance": stored.document["provenance"],
        }


def _covariance(stored: Stored, index: int, row: dict[str, Any]) -> SpatialCovariance:
    height, width = (int(side) for side in row["kernel"].split("x"))
    values, vectors = (stored.tensors[f"{index}/{name}"] for name in ("eigenvalues", "eigenvectors"))
    return SpatialCovariance(values, vectors, (height, width), row["kernels"])

"""What was measured on a set of networks?"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from jaxtyping import Float, Float64
from matplotlib.figure import Figure
from torch import Tensor

from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.encoding.reasons import Reason
from covalign.encoding.spatial import SpatialCovariance
from covalign.report.columns import completed
from covalign.report.page import Page
from covalign.storage.results import Stored
from covalign.studies.comparison.columns import PairRow
from covalign.studies.comparison.conditions import condition_table
from covalign.studies.comparison.layer_map import LayerMap
from covalign.studies.comparison.page import comparison_page
from covalign.studies.comparison.sheets import save_figures, similarity_figure
from covalign.studies.result import Result


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """Everything measured on a set of networks.

    Attributes:
        table: a row per pair and layer, with the columns of `covalign.studies.comparison.columns.PairRow`. Where the
            weights show no noise bulk, ``cosine``, ``chance`` and the two controls describe unshrunk covariances
            (``reason`` says so) and the similarities are NaN.
        layers: a row per network and layer, with the columns of `covalign.studies.comparison.columns.LayerRow`.
        spectra: unshrunk eigenvalues by (network, layer), in units of the initialization variance.
        spatial: spatial covariances by (network, layer), for kernels larger than 1x1.
        cosine_maps: aligned absolute eigenvector cosines by (a, b, layer of a).
        curves: shared variance by number of directions, by (a, b, layer of a).
        layer_maps: how alike is what all layers receive, by (a, b), of the first pairs of networks, and by (a, a) of
            these networks with themselves; of activations, not of weights.
        conditions: by network, the condition it stands for, where networks were grouped.
        training: history by network, a dictionary per epoch; empty where unknown.
        skipped: by network, what was not read as a layer, and why.
        filters: the frozen spatial filters of the first factorized network; None where there is none.
        provenance: where all this comes from, JSON-serializable.
    """

    KIND: ClassVar[str] = "comparison"
    PARTS: ClassVar[tuple[type, ...]] = (SpatialCovariance, SharedVariance, LayerMap)

    table: pd.DataFrame
    layers: pd.DataFrame
    spectra: dict[tuple[str, str], Float64[Tensor, " r"]]
    spatial: dict[tuple[str, str], SpatialCovariance] = field(default_factory=dict)
    cosine_maps: dict[tuple[str, str, str], Float64[Tensor, "r1 r2"]] = field(default_factory=dict)
    curves: dict[tuple[str, str, str], SharedVariance] = field(default_factory=dict)
    layer_maps: dict[tuple[str, str], LayerMap] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)
    training: dict[str, list[dict[str, float | int]]] = field(default_factory=dict)
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    filters: Float[Tensor, "count k k"] | None = None

    def figure(self) -> Figure:
        """Return R of every pair against depth, and beside it the published similarity."""
        return similarity_figure(self.table)

    @property
    def by_condition(self) -> pd.DataFrame:
        """A row per pair of conditions and layer: Q, with the columns of `ConditionRow`."""
        return condition_table(self.table, self.conditions)

    def figures(self, folder: str | Path) -> list[Path]:
        """Draw everything that can be drawn into a folder, as PNG and PDF; return the paths of the PNG files."""
        return save_figures(
            Path(folder),
            self.table,
            self.layers,
            self.provenance,
            spectra=self.spectra,
            spatial=self.spatial,
            cosine_maps=self.cosine_maps,
            curves=self.curves,
            layer_maps=self.layer_maps,
            by_condition=self.by_condition,
            training=self.training,
        )

    def page(self) -> Page:
        """Arrange everything as a page."""
        return comparison_page(
            self.table,
            self.layers,
            self.spectra,
            spatial=self.spatial,
            cosine_maps=self.cosine_maps,
            curves=self.curves,
            layer_maps=self.layer_maps,
            conditions=self.conditions,
            by_condition=self.by_condition,
            training=self.training,
            skipped=self.skipped,
            provenance=self.provenance,
            filters=self.filters,
        )

    @classmethod
    def first_schema(cls, stored: Stored) -> dict[str, Any]:
        """Return the fields, from what version 0.1 wrote."""
        document, tensors, keys = stored.document, stored.tensors, stored.document["keys"]
        return {
            "table": _of_first_schema(stored.tables["table"]),
            "layers": stored.tables["layers"],
            "spatial": {
                (network, layer): SpatialCovariance(
                    tensors[f"spatial/{index}/eigenvalues"],
                    tensors[f"spatial/{index}/eigenvectors"],
                    (height, width),
                    kernels,
                )
                for index, (network, layer, (height, width), kernels) in enumerate(keys["spatial"])
            },
            **{
                name: {tuple(key): tensors[f"{name}/{index}"] for index, key in enumerate(keys[name])}
                for name in ("spectra", "cosine_maps")
            },
            "skipped": {name: [tuple(entry) for entry in left] for name, left in document["skipped"].items()},
            "training": document["training"],
            "provenance": document["provenance"],
            "filters": tensors.get("filters"),
        }


def load_comparison(folder: str | Path) -> Comparison:
    """Read what `Comparison.save` wrote, by version 0.1 too.

    Raises:
        InputError: the folder holds no comparison, a damaged one, or one that was being replaced.
    """
    return Comparison.load(folder)


def _of_first_schema(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of version 0.1, which kept reasons as text alone, with the columns that came later."""
    kinds = [(Reason.STATED.code,) if reason else () for reason in table["reason"].fillna("")]
    return completed(table, PairRow).assign(reason_codes=kinds)

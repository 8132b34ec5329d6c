"""What was measured on the conditions of a population?"""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure

from covalign.errors import InputError
from covalign.report.page import Page
from covalign.studies.atlas.arrangement import Tree
from covalign.studies.atlas.page import atlas_page
from covalign.studies.atlas.sheets import atlas_figure, save_figures
from covalign.studies.result import Result


@dataclass(frozen=True, eq=False, repr=False)
class Atlas(Result):
    """Which conditions teach the same, layer by layer.

    Attributes:
        table: Q of every two conditions at every layer, with its interval over seeds: the columns of
            `covalign.studies.comparison.conditions.ConditionRow`.
        axes: whether what varies along an axis makes a difference, a row an axis and layer, with the p-value of
            exchanging networks: the columns of `covalign.studies.atlas.columns.AxisRow`.
        values: the same of every two values of an axis: `covalign.studies.atlas.columns.ValueRow`.
        classes: the class of every value at every layer: `covalign.studies.atlas.columns.ClassRow`.
        containment: who contains whom: `covalign.studies.atlas.columns.ContainmentRow`.
        networks: a row a network: `covalign.studies.atlas.columns.NetworkRow`.
        plane: where networks lie, a row a network and layer: `covalign.studies.atlas.columns.PlaceRow`.
        trees: by layer, from 1: the clustering of the conditions.
        places: by condition, its value on every axis.
        missing: networks of the population that were not there.
        provenance: where all this comes from, JSON-serializable.
    """

    KIND: ClassVar[str] = "atlas"
    PARTS: ClassVar[tuple[type, ...]] = (Tree,)

    table: pd.DataFrame
    axes: pd.DataFrame
    values: pd.DataFrame
    classes: pd.DataFrame
    containment: pd.DataFrame
    networks: pd.DataFrame
    plane: pd.DataFrame
    trees: dict[int, Tree]
    places: dict[str, dict[str, str]]
    missing: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def figure(self) -> Figure:
        """Return the heat maps of some layers, clustered, and Q along each axis against depth."""
        return atlas_figure(self.table, self.values, self.trees, self.places)

    def figures(self, folder: str | Path) -> list[Path]:
        """Draw everything into a folder, as PNG and PDF; return the paths of the PNG files."""
        return save_figures(
            Path(folder),
            self.table,
            self.values,
            self.plane,
            self.trees,
            self.places,
            self.provenance,
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return Q, its interval and containment, a row an ordered pair of conditions and a layer (from 1).

        Q is symmetric, and 1 where both conditions are the same; ``contained`` is the share of condition a found in
        condition b. Indexed by ``condition_a``, ``condition_b``, ``layer``.
        """
        return both_ways(self.table, self.containment)

    def to_xarray(self) -> Any:
        """Return what `to_pandas` does as one `xarray.Dataset` with axes condition_a, condition_b and layer.

        Raises:
            InputError: xarray is not installed.
        """
        try:
            xarray = import_module("xarray")
        except ImportError as error:
            raise InputError("xarray cannot be imported; install it with: pip install xarray") from error
        return xarray.Dataset.from_dataframe(self.to_pandas())

    def page(self) -> Page:
        """Return the atlas as a page."""
        return atlas_page(
            self.table,
            self.axes,
            self.values,
            self.classes,
            self.containment,
            self.networks,
            self.plane,
            self.trees,
            self.places,
            self.missing,
            self.provenance,
        )


def both_ways(table: pd.DataFrame, containment: pd.DataFrame) -> pd.DataFrame:
    """Return Q and containment in both orders, indexed by condition_a, condition_b and layer (from 1)."""
    swapped = {"condition_a": "condition_b", "condition_b": "condition_a"}
    q = table[["condition_a", "condition_b", "depth", "q", "low", "high"]]
    names = dict.fromkeys([*table["condition_a"], *table["condition_b"]])
    own = pd.DataFrame(
        [
            {"condition_a": name, "condition_b": name, "depth": depth, "q": 1.0, "low": 1.0, "high": 1.0}
            for name in names
            for depth in sorted(set(table["depth"]))
        ]
    )
    q = pd.concat([q, q.rename(columns=swapped), own])
    forth = containment[["condition_a", "condition_b", "depth", "a_in_b"]].rename(
        columns={"a_in_b": "contained"}
    )
    back = containment[["condition_a", "condition_b", "depth", "b_in_a"]]
    back = back.rename(columns={**swapped, "b_in_a": "contained"})
    keys = ["condition_a", "condition_b", "depth"]
    whole = q.merge(pd.concat([forth, back]), on=keys, how="left").rename(columns={"depth": "layer"})
    return whole.set_index(["condition_a", "condition_b", "layer"]).sort_index()

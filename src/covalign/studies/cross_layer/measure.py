"""Which layer of one network is most like which layer of another?

Layers need not correspond by their place: every layer of network a is compared with every layer of network b
of the same form and kernel size, as `covalign.studies.comparison.measure.compare` compares a pair. Where their maps
differ in resolution, the finer one is averaged to the coarser; the narrower layer is mapped into the wider.
"""

from dataclasses import dataclass

import pandas as pd

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.networks.network import Layer, Network
from covalign.progress import Told, untold
from covalign.studies.comparison.measure import compare
from covalign.studies.comparison.orders import mean_of_orders
from covalign.studies.pairing import hidden_layers, signature
from covalign.studies.subjects import Source, subjects


@dataclass(frozen=True, eq=False)
class CrossLayerMap:
    """Similarity of every layer of one network with every layer of another.

    Attributes:
        table: a row per comparable pair of layers, with the columns of `Comparison.table`, ``depth_b``, and
            ``excess``, (cosine - chance) / (1 - chance), which is also defined where no noise can be removed.
        layers_a, layers_b: hidden layers in forward order.
    """

    table: pd.DataFrame
    layers_a: tuple[str, ...]
    layers_b: tuple[str, ...]

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


def cross_layer_map(
    a: Source,
    b: Source,
    images: Images,
    *,
    max_images: int | None = 10_000,
    draws: int = 10,
    seed: int = 0,
    calibrate: bool = False,
    progress: Told = untold,
) -> CrossLayerMap:
    """Compare every layer of network a with every layer of network b.

    Alignments are fitted in groups of pairs that fit the memory budget of `covalign.studies.streaming`; the
    images pass through both networks once per group.

    Args:
        a, b: what `compare` takes, with a forward pass.
        images: raw pixels; no labels are used.
        max_images: at most this many, drawn with ``seed``.
        draws: for chance and ceiling.
        seed: of everything random.
        calibrate: also estimate the calibrated similarity of every pair.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: no two layers of equal form and kernel size.
    """
    pair = subjects([a, b])
    one, other = (each.network for each in pair)
    pairs = [
        (left.name, right.name)
        for left in hidden_layers(one)
        for right in hidden_layers(other)
        if _comparable(left, right)
    ]
    table = compare(
        pair,
        images,
        pairs,
        max_images=max_images,
        draws=draws,
        seed=seed,
        controls=False,
        calibrate=calibrate,
        progress=progress,
    ).table
    depth = {name: index for index, name in enumerate(_names(other), 1)}
    table = table.assign(
        depth_b=table["layer_b"].map(depth),
        excess=(table["cosine"] - table["chance"]) / (1 - table["chance"]),
    )
    return CrossLayerMap(table, _names(one), _names(other))


def _comparable(left: Layer, right: Layer) -> bool:
    return signature(left) == signature(right) and left.groups == right.groups == 1


def _names(network: Network) -> tuple[str, ...]:
    return tuple(layer.name for layer in hidden_layers(network))


def _values(table: pd.DataFrame, measure: str) -> pd.Series:
    """Return a column; the two orders of eq. 6 are averaged."""
    if measure == "similarity":
        return mean_of_orders(table)
    return table[measure]

"""Which layer of one network receives what is most like what a layer of another receives?

The map holds the debiased CKA (`covalign.encoding.activations`) of every layer of network a with every layer of
network b, of the means over positions, since layers differ in resolution. It is of activations: it shows which layers
correspond, and not whether they learned the same.
"""

from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.showing import Shown


@dataclass(frozen=True, eq=False, repr=False)
class LayerMap(Shown):
    """How alike is what every layer of one network receives to what every layer of another receives?

    Attributes:
        a: name of one network.
        b: name of the other; the same for a network with itself.
        layers_a: layers of the one in forward order.
        layers_b: layers of the other.
        depths_a: places of these layers in forward order, from 1.
        depths_b: the same of the other.
        values: debiased CKA of the mean over positions, ``[layers_a, layers_b]``, in [-1, 1]; NaN where a layer
            makes no distinctions between images.
        matched: names of the layers whose weights were compared, of a and of b; empty for a network with itself.
        images: how many images both networks were shown.

    Example:
        Two networks of two layers; the second layer of `a` receives what is most like the input of b's first:

        >>> import torch
        >>> values = torch.tensor([[0.9, 0.4], [0.6, 0.5]], dtype=torch.float64)
        >>> names, same = ("conv1", "conv2"), (("conv1", "conv1"), ("conv2", "conv2"))
        >>> found = LayerMap("a", "b", names, names, (1, 2), (1, 2), values, same, 256)
        >>> found.partners[["layer_a", "value", "nearest", "steps"]].values.tolist()
        [['conv1', 0.9, 'conv1', 0], ['conv2', 0.5, 'conv1', 1]]
    """

    a: str
    b: str
    layers_a: tuple[str, ...]
    layers_b: tuple[str, ...]
    depths_a: tuple[int, ...]
    depths_b: tuple[int, ...]
    values: Float64[Tensor, "layers_a layers_b"]
    matched: tuple[tuple[str, str], ...]
    images: int

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Row and column of every pair of layers whose weights were compared."""
        return tuple((self.layers_a.index(one), self.layers_b.index(other)) for one, other in self.matched)

    @property
    def nearest(self) -> tuple[tuple[int, int], ...]:
        """Row and column of the layer of b that is most like each layer of a; rows without any value are left out."""
        known = self.values.nan_to_num(nan=-torch.inf)
        rows = self.values.isfinite().any(1).nonzero().flatten().tolist()
        return tuple((row, int(known[row].argmax())) for row in rows)

    @property
    def partners(self) -> pd.DataFrame:
        """A row per pair of layers whose weights were compared, of those that have a value.

        ``layer_a, layer_b, value``; ``nearest`` and ``nearest_value``: the layer of b that receives what is most like
        what layer_a receives; ``steps``: how many layers lie from layer_b to it, 0 where it is the same; ``columns``:
        among how many layers it was looked for.
        """
        nearest = dict(self.nearest)
        rows = [
            {
                "layer_a": self.layers_a[row],
                "layer_b": self.layers_b[column],
                "value": float(self.values[row, column]),
                "nearest": self.layers_b[nearest[row]],
                "nearest_value": float(self.values[row, nearest[row]]),
                "steps": abs(nearest[row] - column),
                "columns": int(self.values[row].isfinite().sum()),
            }
            for row, column in self.places
            if bool(self.values[row, column].isfinite())
        ]
        names = ["layer_a", "layer_b", "value", "nearest", "nearest_value", "steps", "columns"]
        return pd.DataFrame(rows, columns=names)

    @property
    def table(self) -> pd.DataFrame:
        """A row per pair of layers: ``a, b, layer_a, layer_b, depth_a, depth_b, value, compared``."""
        matched = set(self.matched)
        return pd.DataFrame(
            [
                {
                    "a": self.a,
                    "b": self.b,
                    "layer_a": one,
                    "layer_b": other,
                    "depth_a": self.depths_a[row],
                    "depth_b": self.depths_b[column],
                    "value": float(self.values[row, column]),
                    "compared": (one, other) in matched,
                }
                for row, one in enumerate(self.layers_a)
                for column, other in enumerate(self.layers_b)
            ]
        )

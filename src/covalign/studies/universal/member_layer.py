"""What is one network's layer in common coordinates?"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.coordinates import layer as unit_layer


@dataclass(frozen=True, eq=False)
class MemberLayer:
    """One network's layer in common coordinates.

    Attributes:
        matrix: W ``[n, c_i s]``.
        initial: the weights before training; None where not known.
        rotation: A_i ``[c, c_i]``.
        places: s.
        variance: of the initial weights.
    """

    matrix: Float64[Tensor, "n d_i"]
    initial: Tensor | None
    rotation: Float64[Tensor, "c c_i"]
    places: int
    variance: float

    @property
    def factor(self) -> Float64[Tensor, "d n"]:
        """F with F F^T = W^T W / (n sigma^2), carried into common coordinates."""
        scale = (len(self.matrix) * self.variance) ** 0.5
        columns: Tensor = (self._carried(self.matrix) / scale).T
        return columns

    @property
    def rows(self) -> Float64[Tensor, "n d"]:
        """Neurons of unit length; those that are zero are dropped."""
        return unit_layer(self._carried(self.matrix), "rows", self.places).rows

    @property
    def untrained(self) -> Float64[Tensor, "n d"] | None:
        """Neurons of unit length before training, carried by the same alignment."""
        if self.initial is None:
            return None
        before = self.initial.detach().double().flatten(1)
        return unit_layer(self._carried(before), "rows", self.places).rows

    def _carried(self, rows: Float64[Tensor, "n d_i"]) -> Float64[Tensor, "n d"]:
        blocks = rows.reshape(len(rows), -1, self.places)
        return torch.einsum("nks,ck->ncs", blocks, self.rotation).flatten(1)

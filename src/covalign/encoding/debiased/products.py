"""Which inner products do two layers need, each once?

Everything that is measured of a pair of layers (kernels, the search for counterparts, the third moment of chance,
leading common directions, the shared-variance curve) follows from the inner products of neurons

    W W^T,   V V^T,   W V^T,

three products of n x n x d. What a projection orthogonal to r directions leaves of them follows too: with a_i the
coordinates of neuron i along the directions and l_i the length of what is left of it,

    <w_i', v_j'> = (<w_i, v_j> - a_i . b_j) / (l_i l_j).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.coordinates import Layer
from covalign.encoding.debiased.kernels import BLOCK
from covalign.kernels.symmetric import gram

SHORT = 0.1
"""Share of a neuron's length left by a projection below which inner products are formed again: to this, the
difference above is right to some 1e-14."""


@dataclass(frozen=True, eq=False)
class Products:
    """Inner products of the neurons of two layers.

    Attributes:
        first: of network 1 with themselves.
        second: of network 2.
        cross: of network 1 with network 2.
    """

    first: Float64[Tensor, "n1 n1"]
    second: Float64[Tensor, "n2 n2"]
    cross: Float64[Tensor, "n1 n2"]

    @classmethod
    def of(
        cls, first: Layer, second: Layer, own_1: Float64[Tensor, "n1 n1"] | None = None
    ) -> "Products | None":
        """Form them; None where they are too many to be held at a time. ``own_1`` where it is known already."""
        if max(len(first.kept), len(second.kept)) ** 2 > BLOCK:
            return None
        rows_1, rows_2 = first.rows, second.rows
        return cls(gram(rows_1) if own_1 is None else own_1, gram(rows_2), rows_1 @ rows_2.T)

    @property
    def pooled(self) -> Float64[Tensor, "n n"]:
        """Of the neurons of both with all of both."""
        return torch.cat([torch.cat([self.first, self.cross], 1), torch.cat([self.cross.T, self.second], 1)])

    def widened(self, first: Float64[Tensor, "n1 m"], second: Float64[Tensor, "n2 m"]) -> "Products":
        """Add those of further columns."""
        return Products(
            self.first + first @ first.T, self.second + second @ second.T, self.cross + first @ second.T
        )

    def outside(self, first: "Projected", second: "Projected") -> "Products | None":
        """What projections leave of them; None where too little is left of a neuron."""
        if min(first.shortest, second.shortest) < SHORT:
            return None
        return Products(
            _left(self.first, first, first),
            _left(self.second, second, second),
            _left(self.cross, first, second),
        )


@dataclass(frozen=True, eq=False)
class Projected:
    """What a projection did to the neurons of one layer.

    Attributes:
        along: ``[n, m]``, their coordinates along what was removed.
        scales: ``[n]``, what the rest was divided by.
        shortest: smallest share of a neuron's length that was left.
    """

    along: Float64[Tensor, "n m"]
    scales: Float64[Tensor, " n"]
    shortest: float


def _left(inner: Float64[Tensor, "n1 n2"], first: Projected, second: Projected) -> Float64[Tensor, "n1 n2"]:
    rest = torch.addmm(inner, first.along, second.along.T, alpha=-1)
    return rest / first.scales[:, None] / second.scales

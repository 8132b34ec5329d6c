"""How do the scales of standardized maps enter a pointwise convolution, and how do gradients come back?

``V = W diag(s)`` stands in for W on maps that are not standardized; with ``E = D z^T - (sum D) m^T``,

    dW = E diag(s),   b_k = -s_k^2 (V^T E)_kk / P,   a_k = -(V^T sum D)_k / P - b_k m_k

(`factorized_stage` says what they are). W has its slots channel by channel, the maps have them slot by slot. What is
made of W is made of a few rows at once, which stay in the cache: in wide networks passes over all of W took a quarter
of a training step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from covalign.kernels.pixel_blocks import Geometry, shared
from covalign.kernels.threads import each

ROW_BYTES = 1 << 19
"""Size of the rows of W that are taken at once."""


class Met(NamedTuple):
    """What D met: sums over positions of D z^T and of D."""

    products: Float[Tensor, "c_out slots"]
    total: Float[Tensor, " c_out"]


class Back(NamedTuple):
    """What leads D back to the maps: V^T, with a behind it as one more column, negatives with their sign changed; b.

    Args:
        matrix: ``[V^T, a]``.
        slope: b, negatives with their sign changed.
    """

    matrix: Float[Tensor, "slots c_out+1"]
    slope: Float[Tensor, " slots"]


@dataclass(frozen=True)
class FoldedWeights:
    """The weights of a stage with the moments of its maps.

    Args:
        weight: W, channel by channel.
        mean: m of the maps, slot by slot.
        scale: s, slot by slot.
        geometry: of the stage.
    """

    weight: Float[Tensor, "c_out slots"]
    mean: Float[Tensor, " slots"]
    scale: Float[Tensor, " slots"]
    geometry: Geometry

    def forward(self, dtype: torch.dtype) -> tuple[Float[Tensor, "c_out slots"], Float[Tensor, " c_out"]]:
        """Return V and -V m, in the numbers of the maps."""
        folded = self.weight.new_empty(self.weight.shape, dtype=dtype)
        constant = self.weight.new_empty(len(self.weight), dtype=dtype)

        def work(stretches: Sequence[slice]) -> None:
            for rows in stretches:
                v = self._rows(rows)
                folded[rows] = v
                constant[rows] = -(v @ self.mean)

        each(work, self._stretches())
        return folded, constant

    def backward(
        self, dtype: torch.dtype, met: Met | None, *, measured: bool
    ) -> tuple[Back, Float[Tensor, "c_out slots"] | None]:
        """Return what leads gradients back to the maps, and the gradient of W where it is told what D met.

        Args:
            dtype: numbers of the maps.
            met: its products are overwritten; needed where ``measured``.
            measured: whether moments are those of the batch, so that gradients reach the maps through them.
        """
        slots, c_out = self.geometry.slots, len(self.weight)
        matrix = self.weight.new_zeros(slots, c_out + 1, dtype=dtype)
        d_weight = None if met is None else torch.empty_like(self.weight)

        def work(stretches: Sequence[slice]) -> tuple[Tensor, Tensor]:
            slope, met_by_sums = torch.zeros_like(self.mean), torch.zeros_like(self.mean)
            for rows in stretches:
                v = self._rows(rows)
                if met is not None and d_weight is not None:
                    e = met.products[rows].addr_(met.total[rows], self.mean, alpha=-1)
                    scale = self.geometry.by_slot(self.scale)
                    torch.mul(self.geometry.by_slot(e), scale, out=self.geometry.by_channel(d_weight[rows]))
                    if measured:
                        slope += e.mul_(v).sum(0)
                        met_by_sums += met.total[rows] @ v
                v[:, slots // 2 :].neg_()
                matrix[:, rows].copy_(v.T)
            return slope, met_by_sums

        sums = each(work, self._stretches())
        slope, met_by_sums = (torch.stack(parts).sum(0) for parts in zip(*sums, strict=True))
        if measured:
            slope *= -self.scale.square() / self.geometry.positions
            constant = -met_by_sums / self.geometry.positions - slope * self.mean
            for half_negated in (slope, constant):
                half_negated[slots // 2 :].neg_()
            matrix[:, -1] = constant
        return Back(matrix, slope.to(dtype)), d_weight

    def _rows(self, rows: slice) -> Float[Tensor, "rows slots"]:
        """Rows of V."""
        v = self.weight.new_empty(rows.stop - rows.start, self.geometry.slots)
        torch.mul(
            self.geometry.by_channel(self.weight[rows]),
            self.geometry.by_slot(self.scale),
            out=self.geometry.by_slot(v),
        )
        return v

    def _stretches(self) -> list[Sequence[slice]]:
        """Return consecutive rows for each thread; few weights stay with the caller."""
        most = max(1, ROW_BYTES // (self.geometry.slots * self.weight.element_size()))
        whole = [slice(0, len(self.weight))]
        return [whole] if len(self.weight) <= most else shared(len(self.weight), most)

"""Which inner product of two neurons counts only what learning can share?

Neuron w stands for the matrix w w^T, projected orthogonally to what all networks share without having learned it:
k(w, v) = <P(w w^T), P(v v^T)>. All kernels have the form

    k(w, v) = (w . v)^2 - b(w) . b(v)

with features b that depend on the kind of layer (W ``[c, s]`` is the neuron as a matrix of channels and places):

    plain           |w|^2 / sqrt(d)                   P removes multiples of the identity
    joint           W^T W / sqrt(c)                   P removes I_c (x) M for every spatial second moment M
    slots kept      |w_s|^2 / sqrt(c), s = 1 ... K    P removes the identity of every slot
    folded gauge    W^T E_j W, E_j an orthonormal basis of the diagonal matrices of either network
                    (`covalign.encoding.debiased.gauge`)

Of space alone k = <W^T W, V^T V> - tr tr / s, the same with other signs. Since k is an inner product, its averages
over neurons are inner products of second moments: mean k = <P S_1, P S_2>, S = mean w w^T.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.gauge import diagonal_features

BLOCK = 2**22
"""Kernel values held at a time, 32 MiB; our choice."""


@dataclass(frozen=True, eq=False)
class Features:
    """What the kernel needs of every neuron: k = (rows . rows')^2 + sign * linear . linear'."""

    rows: Float64[Tensor, "n d"]
    linear: Float64[Tensor, "n m"]
    sign: float = -1.0

    def __len__(self) -> int:
        """Return the number of neurons."""
        return len(self.rows)

    def take(self, index: Tensor | slice) -> "Features":
        """Return the features of some neurons."""
        return Features(self.rows[index], self.linear[index], self.sign)

    def widened(self, columns: Float64[Tensor, "n m"] | None) -> "Features":
        """Return features whose rows have further columns, which add to inner products."""
        if columns is None:
            return self
        return Features(torch.cat([self.rows, columns], 1), self.linear, self.sign)

    @property
    def own(self) -> Float64[Tensor, " n"]:
        """Kernel of every neuron with itself."""
        return self.rows.square().sum(1).square() + self.sign * self.linear.square().sum(1)


def kernel(
    first: Features, second: Features, inner: Float64[Tensor, "n1 n2"] | None = None
) -> Float64[Tensor, "n1 n2"]:
    """Return k for all pairs of neurons, from their inner products where these are known."""
    products = first.rows @ second.rows.T if inner is None else inner
    return products.square().addmm_(first.linear, second.linear.T, alpha=first.sign)


def kernel_blocks(
    first: Features, second: Features, inner: Float64[Tensor, "n1 n2"] | None = None
) -> Iterator[tuple[slice, Float64[Tensor, "b n2"]]]:
    """Return k in blocks of rows, so that memory does not grow with the product of both numbers of neurons."""
    step = max(1, BLOCK // max(1, len(second)))
    for start in range(0, len(first), step):
        part = slice(start, min(start + step, len(first)))
        yield part, kernel(first.take(part), second, None if inner is None else inner[part])


def channel_features(
    blocks: Float64[Tensor, "n c s"], axes: Float64[Tensor, "f c"] | None = None
) -> Features:
    """Features of plain layers (s = 1), joint convolutions, and both with a folded gauge (channel axes given)."""
    if axes is not None:
        return Features(blocks.flatten(1), diagonal_features(blocks, axes))
    return Features(blocks.flatten(1), _spatial_moments(blocks) / blocks.shape[1] ** 0.5)


def _spatial_moments(blocks: Float64[Tensor, "n c s"]) -> Float64[Tensor, "n m"]:
    """Return W^T W of every neuron, each pair of places once, so that inner products are those of the matrices."""
    places = blocks.shape[2]
    one, two = torch.triu_indices(places, places)
    weights = (2 - (one == two).to(blocks)).sqrt()
    step = max(1, BLOCK // places**2)
    parts = [(part.mT @ part)[:, one, two] * weights for part in blocks.split(step)]
    return torch.cat(parts) if parts else blocks.new_zeros(0, len(one))


def slot_features(blocks: Float64[Tensor, "n c s"]) -> Features:
    """Features of a factorized layer whose alignment keeps slots."""
    return Features(blocks.flatten(1), blocks.square().sum(1) / blocks.shape[1] ** 0.5)


def space_features(blocks: Float64[Tensor, "n c s"]) -> Features:
    """Features of the spatial second moments of neurons, which need no alignment."""
    moment = blocks.mT @ blocks
    mean = moment.diagonal(dim1=1, dim2=2).mean(1)
    traceless = moment - mean[:, None, None] * torch.eye(blocks.shape[2]).to(blocks)
    return Features(blocks.new_zeros(len(blocks), 1), traceless.flatten(1), sign=1.0)

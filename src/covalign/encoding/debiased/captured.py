"""What do the leading directions of half a layer's neurons capture of neurons that did not choose them?

The neurons of a network are dealt into halves, both ways and several times; the eigenvectors of one half's second
moment are met by the other half, and by the neurons of another network.

How many directions were learned *reproducibly*, at least? Where the excess stops growing is no such number: what
half a network misses of strong directions leaks into later ranks, so that 20 equal ones show at 40 or 50 ranks. But
with S the other half's second moment, e the variances along U_r, and Sigma the population's,

    lambda_r(Sigma) >= lambda_min(U_r^T Sigma U_r) >= E lambda_min(U_r^T S U_r)           (Courant-Fischer; Jensen)
    mean of lambda_r ... lambda_d <= (1 - e_1 - ... - e_{r-1}) / (d - r + 1)              (Ky Fan), on average.

Where the first exceeds the second, by `QUANTILE` standard errors over neurons, the eigenvalues from the r-th on are
not all equal, so that at least r directions stand out of what is equal in all.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.kernels.symmetric import gram
from covalign.kernels.thin import FLOOR

QUANTILE = 1.645
"""Standard errors by which a direction has to exceed what is left over: one-sided, 5 %."""


@dataclass(frozen=True, eq=False)
class Captured:
    """Coordinates of neurons along the leading directions of halves they are not in, split by split.

    Attributes:
        held: per half, which neurons are the other half and their coordinates ``[rest, r]``.
        own: mean squares of these ``[r]``, over halves and splits.
        other: mean squares of the other network's ``[r]``.
        scores: squares ``[n, r]`` and ``[m, r]`` of every neuron of either network, averaged over the splits.
        neurons: of the network.
        dimension: d.
    """

    held: list[tuple[Tensor, Tensor]]
    own: Float64[Tensor, " r"]
    other: Float64[Tensor, " r"]
    scores: tuple[Float64[Tensor, "n r"], Float64[Tensor, "m r"]]
    neurons: int
    dimension: int

    def excess(self, squares: Float64[Tensor, " r"]) -> Float64[Tensor, " r"]:
        """Variance along the first r directions beyond r/d."""
        ranks = torch.arange(1, len(squares) + 1).to(squares)
        return squares.cumsum(0) - ranks / self.dimension

    def spread(self, index: Tensor) -> tuple[Float64[Tensor, " ranks"], Float64[Tensor, " ranks"]]:
        """Variance of the means of own and of the other network's neurons, along the first directions."""
        own, other = (each.cumsum(1)[:, index].var(0) / len(each) for each in self.scores)
        return own, other

    def reproducible(self) -> int:
        """Largest rank that is shown to stand out, by bisection: the smallest eigenvalue falls with r."""
        low, high = 0, len(self.own)
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._stands_out(middle) else (low, middle - 1)
        return low

    def _stands_out(self, rank: int) -> bool:
        """Whether even the weakest combination of the first directions exceeds what is left over."""
        scores, times = self.own.new_zeros(self.neurons), self.own.new_zeros(self.neurons)
        for index, coordinates in self.held:
            seen = coordinates[:, :rank]
            weakest = torch.linalg.eigh(seen.T @ seen).eigenvectors[:, 0]
            scores[index] += (seen @ weakest).square()
            times[index] += 1
        scores = (scores / times)[times > 0]
        left = (1 - float(self.own[: rank - 1].sum())) / (self.dimension - rank + 1)
        return float(scores.mean()) - left > QUANTILE * float(scores.std()) / math.sqrt(len(scores))


def captured(
    rows: Float64[Tensor, "n d"],
    others: Float64[Tensor, "m d"],
    inner: tuple[Float64[Tensor, "n n"], Float64[Tensor, "m n"]] | None,
    most: int,
    splits: int,
    generator: torch.Generator,
) -> Captured:
    """Return what the leading directions of halves of ``rows`` capture of the other half, and of ``others``.

    Args:
        rows: unit-length neurons of network a.
        others: of network b, in the same coordinates.
        inner: inner products of rows with rows and of others with rows, where they are known.
        most: number of directions.
        splits: ways to deal the neurons into halves.
        generator: of the splits.
    """
    held = []
    own, other = rows.new_zeros(most), rows.new_zeros(most)
    scores = rows.new_zeros(len(rows), most), rows.new_zeros(len(others), most)
    times = rows.new_zeros(len(rows), 1)
    products = inner or (gram(rows), others @ rows.T)
    for _ in range(splits):
        order = torch.randperm(len(rows), generator=generator).to(rows.device)
        for half, rest in _both_ways(order):
            wide = rows.shape[1] > len(half)
            seen = _along_leading(products, half, rest, most) if wide else None
            if seen is None:
                directions = _leading(rows[half], most)
                seen = rows[rest] @ directions, others @ directions
            held.append((rest, seen[0]))
            squares = seen[0].square(), seen[1].square()
            own += squares[0].mean(0) / (2 * splits)
            other += squares[1].mean(0) / (2 * splits)
            scores[0][rest] += squares[0]
            scores[1].add_(squares[1], alpha=1 / (2 * splits))
            times[rest] += 1
    return Captured(held, own, other, (scores[0] / times, scores[1]), len(rows), rows.shape[1])


def _both_ways(order: Tensor) -> list[tuple[Tensor, Tensor]]:
    middle = len(order) // 2
    return [(order[:middle], order[middle:]), (order[len(order) - middle :], order[: len(order) - middle])]


def _along_leading(
    products: tuple[Float64[Tensor, "n n"], Float64[Tensor, "m n"]], half: Tensor, rest: Tensor, count: int
) -> tuple[Float64[Tensor, "rest count"], Float64[Tensor, "m count"]] | None:
    """Coordinates of the rest and of the other network's neurons along a half's leading directions.

    They follow from inner products of neurons alone, since a direction is a combination of the half's neurons divided
    by its length; None where that length is too close to rounding (`covalign.kernels.thin`).
    """
    own, crossed = products
    values, combinations = torch.linalg.eigh(own[half][:, half])
    values, combinations = values.flip(0)[:count], combinations.flip(1)[:, :count]
    if not bool(values[-1] > FLOOR * values[0]):
        return None
    scaled = combinations / values.sqrt()
    return own[rest][:, half] @ scaled, crossed[:, half] @ scaled


def _leading(rows: Float64[Tensor, "half d"], count: int) -> Float64[Tensor, "d count"]:
    """Leading eigenvectors of the second moment, from the smaller Gram matrix; signs are arbitrary."""
    n, d = rows.shape
    if d <= n:
        vectors: Tensor = torch.linalg.eigh(rows.T @ rows).eigenvectors.flip(1)[:, :count]
        return vectors
    combinations = torch.linalg.eigh(rows @ rows.T).eigenvectors.flip(1)[:, :count]
    directions: Tensor = torch.linalg.qr(rows.T @ combinations).Q
    return directions

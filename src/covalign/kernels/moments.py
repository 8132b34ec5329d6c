"""How are the products of many pairs of networks summed in few, large products?

What a layer receives for a batch of images enters the products with every other network. Its forms are therefore made
once (`Received`) and used for every pair.

Two products are wanted of a pair a, b: of equal images, F = sum_i b_i a_i^T, and of images half a batch apart, which
is the control G = sum_i b_{i - n/2} a_i^T. With a_1, a_2 the halves of a batch of even length,

    F + G = (b_1 + b_2)^T (a_1 + a_2),      F - G = (b_1 - b_2)^T (a_1 - a_2),

so that both cost as much as one. Products are summed in float32 over `ROWS` samples, then in float64.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

ROWS = 2**14
"""Samples whose products are summed in float32 before they are added in float64."""


@dataclass(frozen=True, eq=False)
class Received:
    """What one layer receives for a batch of images.

    Attributes:
        maps: as handed out, ``[n, d, positions ...]``.
        rows: a row for every position of every image.
        halves: sum and difference of both halves of the batch, in rows; None where nothing is crossed, or where
            their numbers differ.
    """

    maps: Float32[Tensor, "n d ..."]
    rows: Float32[Tensor, "m d"]
    halves: tuple[Float32[Tensor, "half d"], Float32[Tensor, "half d"]] | None = None

    @classmethod
    def of(cls, maps: Float32[Tensor, "n d ..."], *, crossed: bool) -> "Received":
        """Make all forms of a batch; ``crossed`` for the control as well."""
        if not crossed or len(maps) % 2:
            return cls(maps, rows_of(maps))
        first, second = maps.chunk(2)
        return cls(maps, rows_of(maps), (rows_of(first + second), rows_of(first - second)))

    @property
    def energy(self) -> float:
        """Sum of squares, ``ROWS`` rows at a time in float32."""
        return sum(float(part.flatten().dot(part.flatten())) for part in self.rows.split(ROWS))


def rows_of(maps: Float32[Tensor, "n d ..."]) -> Float32[Tensor, "m d"]:
    """Make every position of every image a row."""
    return maps.reshape(*maps.shape[:2], -1).movedim(1, 2).flatten(0, 1)


class ProductSum:
    """Running sum of b^T a over rows, ``[d_b, d_a]``."""

    def __init__(self, d_b: int, d_a: int) -> None:
        self._sum = torch.zeros(d_b, d_a, dtype=torch.float64)
        self._part: Tensor | None = None
        self._rows = 0

    def add(self, a: Float32[Tensor, "m d_a"], b: Float32[Tensor, "m d_b"]) -> None:
        """Add the products of corresponding rows."""
        for part_a, part_b in zip(a.split(ROWS), b.split(ROWS), strict=True):
            if self._rows + len(part_a) > ROWS:
                self._empty()
            if self._part is None:
                self._part = part_a.new_zeros(self._sum.shape)
            self._part.addmm_(part_b.T, part_a)
            self._rows += len(part_a)

    @property
    def total(self) -> Float64[Tensor, "d_b d_a"]:
        """The sum so far."""
        self._empty()
        return self._sum

    def _empty(self) -> None:
        if self._part is not None:
            self._sum += self._part.to(self._sum)
            self._part.zero_()
        self._rows = 0


class CrossedProducts:
    """Running F, and where ``crossed`` G, of the module's docstring."""

    def __init__(self, d_b: int, d_a: int, *, crossed: bool) -> None:
        self._together = ProductSum(d_b, d_a)
        self._apart = ProductSum(d_b, d_a) if crossed else None

    def add(self, a: Received, b: Received) -> None:
        """Add a batch of both networks; a single image has no other to be crossed with."""
        if self._apart is None:
            self._together.add(a.rows, b.rows)
        elif a.halves is not None and b.halves is not None:
            self._together.add(a.halves[0], b.halves[0])
            self._apart.add(a.halves[1], b.halves[1])
        else:
            other = rows_of(b.maps.roll(len(b.maps) // 2, 0)) if len(b.maps) > 1 else torch.zeros_like(b.rows)
            self._together.add(a.rows, b.rows + other)
            self._apart.add(a.rows, b.rows - other)

    @property
    def equal(self) -> Float64[Tensor, "d_b d_a"]:
        """F: each image with itself."""
        together = self._together.total
        return together if self._apart is None else (together + self._apart.total) / 2

    @property
    def crossed(self) -> Float64[Tensor, "d_b d_a"]:
        """G: each image with the one half a batch away; zero where it was not asked for."""
        together = self._together.total
        return torch.zeros_like(together) if self._apart is None else (together - self._apart.total) / 2

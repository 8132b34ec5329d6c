"""Into which blocks of pixels is a map cut, so that what is made of a block stays in the cache?

A block is consecutive pixels of all images: whole rows, or part of one. Filters carry a window of pixels into it, so
that filtering is a matrix product, ``[block f, window] [window, c n]``; blocks of equal shape and place share one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from covalign.kernels.threads import block_threads

BLOCK_BYTES = 1 << 21
"""Size of the rectified maps of a block: small against a last-level cache, large against the cost of a call."""

BLOCK_PIXELS = 64
"""Most pixels of a block: the matrix that filters one is mostly zeros, the more so the more rows it spans."""

Item = TypeVar("Item")


class Block(NamedTuple):
    """Consecutive pixels: whole rows, or part of one; and the window of pixels that filters reach from them."""

    top: int
    bottom: int
    left: int
    right: int
    window: tuple[slice, slice]
    reach: Int[Tensor, "block f window"]
    pixels: slice


@dataclass(frozen=True)
class Geometry:
    """Shape of the maps of a stage, and how many pixels are taken at once."""

    height: int
    width: int
    channels: int
    images: int
    filters: int
    side: int
    pixels_per_block: int

    @classmethod
    def of(cls, x: Tensor, filters: int, side: int) -> "Geometry":
        """Cut maps ``[n, c, h, w]`` for a bank of filters of a side."""
        images, channels, height, width = x.shape
        pixel = 2 * filters * channels * images * x.element_size()
        count = max(1, BLOCK_BYTES // max(1, pixel))
        return cls(height, width, channels, images, filters, side, min(count, BLOCK_PIXELS, height * width))

    @property
    def pixels(self) -> int:
        """Height times width."""
        return self.height * self.width

    @property
    def positions(self) -> int:
        """Pixels of all images."""
        return self.pixels * self.images

    @property
    def slots(self) -> int:
        """Rectified maps: two for every filter and channel."""
        return 2 * self.filters * self.channels

    def by_channel(self, v: Float[Tensor, "*rows slots"]) -> Float[Tensor, "*rows signed c"]:
        """View what is ordered channel by channel, as weights and running moments are."""
        return v.view(*v.shape[:-1], self.channels, -1).transpose(-1, -2)

    def by_slot(self, v: Float[Tensor, "*rows slots"]) -> Float[Tensor, "*rows signed c"]:
        """View what is ordered slot by slot, as maps are."""
        return v.view(*v.shape[:-1], -1, self.channels)

    def stretches(self, columns: int) -> list[Sequence[slice]]:
        """Return consecutive pixels for each thread, at once some of a block or of so many positions."""
        return shared(self.pixels, max(self.pixels_per_block, -(-columns // self.images)))

    def parts(self) -> list[Sequence[Block]]:
        """Return the blocks of each thread, consecutive ones."""
        shape = self.height, self.width, self.filters, self.side
        return _shared(_blocks(*shape, self.pixels_per_block, block_threads()))


def shared(length: int, most: int) -> list[Sequence[slice]]:
    """Cut a length into stretches of at most ``most``, and return consecutive ones for each thread."""
    return _shared([slice(*ends) for ends in pairwise(_ends(length, most, block_threads()))])


def _ends(length: int, most: int, threads: int) -> list[int]:
    """Cut a length into pieces of at most ``most``, as equal and as few as give every thread as many pieces."""
    pieces = -(-length // min(most, length))
    pieces = min(length, -(-pieces // threads) * threads)
    return [length * piece // pieces for piece in range(pieces + 1)]


def _shared(items: Sequence[Item]) -> list[Sequence[Item]]:
    """Cut into one consecutive part a thread."""
    size = -(-len(items) // block_threads())
    return [items[first : first + size] for first in range(0, len(items), size)]


@lru_cache(maxsize=256)
def _blocks(height: int, width: int, filters: int, side: int, count: int, threads: int) -> tuple[Block, ...]:
    """Cut the map into blocks of at most ``count`` pixels: of whole rows where there are enough for every thread."""
    rows = _ends(height, max(1, count // width), threads)
    columns = _ends(width, count, -(-threads // height))
    found = []
    for (top, bottom), (left, right) in product(pairwise(rows), pairwise(columns)):
        reach = side // 2
        window = (
            slice(max(0, top - reach), min(height, bottom + reach)),
            slice(max(0, left - reach), min(width, right + reach)),
        )
        taps = _taps(
            bottom - top,
            right - left,
            top - window[0].start,
            left - window[1].start,
            window[0].stop - window[0].start,
            window[1].stop - window[1].start,
            filters,
            side,
        )
        pixels = slice(top * width + left, (bottom - 1) * width + right)
        found.append(Block(top, bottom, left, right, window, taps, pixels))
    return tuple(found)


@lru_cache(maxsize=256)
def _taps(
    rows: int, columns: int, above: int, before: int, high: int, wide: int, filters: int, side: int
) -> Int[Tensor, "block_f window"]:
    """Where in a flat bank, with a zero at its end, stands what a window's pixel gives to a block's pixel."""
    reach = side // 2
    down = torch.arange(high) - (torch.arange(rows)[:, None] + above) + reach
    along = torch.arange(wide) - (torch.arange(columns)[:, None] + before) + reach
    tap = down[:, None, :, None] * side + along[None, :, None, :]
    inside = ((down >= 0) & (down < side))[:, None, :, None] & ((along >= 0) & (along < side))[
        None, :, None, :
    ]
    tap = tap.expand_as(inside).reshape(rows * columns, 1, high * wide)
    first = torch.arange(filters)[:, None] * side * side
    index = torch.where(inside.reshape(rows * columns, 1, high * wide), tap + first, filters * side * side)
    return index.reshape(rows * columns * filters, high * wide)

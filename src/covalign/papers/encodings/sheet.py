"""How are many small pictures laid out on one sheet?"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes

TILE = 60
"""Pixels of a picture in a sheet, about."""


FRAME = 160
"""Grey level of the line around a picture."""


def sheet(
    tiles: Sequence[Sequence[UInt8[np.ndarray, "k k"]]],
    gap: tuple[float, float],
    ax: Axes,
    pixels: int = TILE,
    framed: bool = True,
) -> Axes:
    """Draw rows of small pictures in one axes; picture (i, j) is one unit wide, at multiples of 1 + gap.

    Args:
        tiles: grey levels by row and column; rows may differ in length.
        gap: white below and beside every picture, in units of its side.
        ax: where to draw; the first picture's upper left corner is the origin, y points down.
        pixels: side of a picture, about.
        framed: whether a line is drawn around each.
    """
    height, width = (1 + each for each in gap)
    enlarged = max(1, pixels // len(tiles[0][0]))
    side = enlarged * len(tiles[0][0])
    shape = (round(len(tiles) * height * side), round(max(map(len, tiles)) * width * side))
    canvas = np.full(shape, 255, dtype=np.uint8)
    for i, row in enumerate(tiles):
        for j, tile in enumerate(row):
            top, left = round(i * height * side), round(j * width * side)
            place = canvas[top : top + side, left : left + side]
            place[:] = np.kron(tile, np.ones((enlarged, enlarged), np.uint8))
            if framed:
                place[[0, -1]] = FRAME
                place[:, [0, -1]] = FRAME
    extent = (0.0, shape[1] / side, shape[0] / side, 0.0)
    ax.imshow(canvas, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="nearest")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax

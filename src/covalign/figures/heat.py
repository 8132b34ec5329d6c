"""Which rows are like which columns? A matrix of values in [0, 1] as colours, with what is pointed at in it.

Colours are `SHADES`, light at 0 or below and dark at 1: equal steps of the value are equal steps of lightness, for
colour-blind readers too, and the map reads on grey paper. No value is grey.
"""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from covalign.figures.style import plain

SHADES = "viridis_r"
NONE = (0.82, 0.82, 0.82, 1.0)
"""Of cells without a value."""
FRAME, POINT = "#D55E00", "#ffffff"
PRINTED = 12
"""Rows and columns up to which every cell has its number."""
CROWDED, LETTERS = 24, 0.075
"""Rows or columns from which names are small, and their height in inches."""
DARK = 0.45
"""Value from which text on a cell is white."""


def colors() -> Colormap:
    """Return the colours of values, grey where there is none."""
    return matplotlib.colormaps[SHADES].with_extremes(bad=NONE)


def shades(values: Float[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return the colour of every value."""
    found: np.ndarray = colors()(np.ma.masked_invalid(np.clip(values, 0, 1)), bytes=True)[..., :3]
    return found


def heat_map(
    values: Float[np.ndarray, "rows columns"],
    ax: Axes,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    framed: Sequence[tuple[int, int]] = (),
    pointed: Sequence[tuple[int, int]] = (),
) -> AxesImage:
    """Draw a matrix in square cells, row 0 at the top, and return the image, for a colour bar.

    Args:
        values: in [-1, 1]; below 0 they are drawn as 0, NaN is grey. Up to `PRINTED` a side they are printed.
        ax: where to draw.
        rows: names.
        columns: names.
        framed: row and column of the cells that get a frame.
        pointed: row and column of the cells that get a point.
    """
    image = ax.imshow(np.ma.masked_invalid(values), cmap=colors(), vmin=0, vmax=1, interpolation="nearest")
    for row, column in framed:
        place = (column - 0.5, row - 0.5)
        ax.add_patch(Rectangle(place, 1, 1, fill=False, edgecolor=FRAME, linewidth=1.1, zorder=3))
    few = max(values.shape) <= PRINTED
    for row, column in pointed:
        at = (column + 0.36, row - 0.36) if few else (column, row)
        style: dict[str, Any] = {
            "markersize": 2.2,
            "markerfacecolor": FRAME,
            "markeredgecolor": POINT,
            "markeredgewidth": 0.4,
        }
        ax.plot(*at, "o", zorder=4, clip_on=False, **style)
    if few:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if value > DARK else "black"
                text = f"{value:.2f}".replace("0.", ".").replace("-", "\u2212")
                ax.text(column, row, text, ha="center", va="center", color=ink, fontsize="x-small")
    size = 4.6 if max(values.shape) > CROWDED else "x-small"
    for axis, names in ((ax.xaxis, columns), (ax.yaxis, rows)):
        step = max(1, math.ceil(LETTERS / cell(values.shape)))
        axis.set_ticks(range(0, len(names), step), [plain(name) for name in names[::step]], fontsize=size)
    ax.tick_params(axis="x", rotation=90)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image


def cell(shape: tuple[int, ...]) -> float:
    """Return the side of a cell in inches, so that names of up to 60 rows or columns stand beside every one."""
    most = max(shape)
    return 0.34 if most <= PRINTED else 0.2 if most <= CROWDED else min(0.125, 7.5 / most)

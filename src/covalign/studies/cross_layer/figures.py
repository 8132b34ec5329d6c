"""Which layer of one network is most like which layer of another?"""

import pandas as pd
from matplotlib.axes import Axes

from covalign.figures.style import PALETTE


def cross_layer_similarity(square: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the map as grey squares, white at chance (0) and black at 1; a ring marks each row's best match.

    Args:
        square: layers of a down and layers of b across; pairs without a value (NaN) are hatched.
        ax: where to draw.
    """
    ax.set_facecolor("white")
    ax.patch.set(hatch="////", edgecolor="0.85")
    ax.imshow(square.to_numpy(), cmap="Greys", vmin=0, vmax=1, interpolation="nearest")
    found = square.dropna(how="all")
    if not found.empty:
        best = found.idxmax(axis=1)
        across = square.columns.get_indexer(best.to_numpy())
        down = square.index.get_indexer(best.index)
        ax.plot(across, down, "o", markerfacecolor="none", markeredgecolor=PALETTE[1])
    ax.set_xticks(range(square.shape[1]), [str(depth + 1) for depth in range(square.shape[1])])
    ax.set_yticks(range(square.shape[0]), [str(depth + 1) for depth in range(square.shape[0])])
    ax.set(xlabel="layer of b", ylabel="layer of a")
    return ax

"""How alike are conditions? A matrix with the value and its interval in every cell."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from covalign.figures.style import GREY, plain


def condition_matrix(found: pd.DataFrame, names: Sequence[str], ax: Axes) -> Axes:
    """Draw Q of every two conditions: the value, and below it its 95 % interval.

    The diagonal is 1 by definition. A cell without a value is empty; one without an interval has its value alone.

    Args:
        found: rows with ``condition_a, condition_b, q, low, high``, of one layer.
        names: conditions, in order.
        ax: where to draw.
    """
    places = {name: index for index, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.nan)
    np.fill_diagonal(values, 1.0)
    for row in found.itertuples():
        a, b = places[row.condition_a], places[row.condition_b]
        values[a, b] = values[b, a] = row.q
        if math.isfinite(row.q):
            interval = f"\n{row.low:.2f}–{row.high:.2f}" if math.isfinite(row.low) else ""
            for x, y in ((a, b), (b, a)):
                colour = "white" if row.q > 0.6 else "black"
                ax.text(
                    x, y, f"{row.q:.2f}", ha="center", va="bottom" if interval else "center", color=colour
                )
                ax.text(x, y, interval, ha="center", va="center", color=colour, fontsize="xx-small")
    for place in range(len(names)):
        ax.text(place, place, "1", ha="center", va="center", color="white")
    ax.imshow(values, vmin=0.0, vmax=1.0, cmap="Blues")
    labels = [plain(name) for name in names]
    ax.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), labels)
    ax.tick_params(length=0, labelsize="x-small")
    ax.set_facecolor("none")
    for spine in ax.spines.values():
        spine.set_color(GREY)
    return ax

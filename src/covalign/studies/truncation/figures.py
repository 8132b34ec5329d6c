"""How many directions of a layer does the accuracy need?"""

import pandas as pd
from matplotlib.axes import Axes

from covalign.figures.style import GREY, plain, series

LABELS = {"weights": "weight eigenvectors", "activations": "input components", "random": "random directions"}


def accuracy_against_rank(
    table: pd.DataFrame, ax: Axes, effective_rank: float | None = None, logarithmic: bool = True
) -> Axes:
    """Draw accuracy against the number of directions one layer's weights keep, a line a basis.

    Args:
        table: rows of `covalign.studies.truncation.measure.rank_truncation` for one layer, of any bases.
        ax: where to draw.
        effective_rank: of the layer, marked where given.
        logarithmic: whether ranks are; rank 0 then has no place and is left out.
    """
    ax.axhline(float(table["untruncated"].iloc[0]), color=GREY, linewidth=0.6, zorder=0)
    for index, (basis, rows) in enumerate(table.groupby("basis", sort=False)):
        rows = rows[rows["rank"] > 0] if logarithmic else rows
        rows = rows.sort_values("rank")
        label = LABELS.get(str(basis), plain(str(basis)))
        ax.plot(rows["rank"], rows["accuracy"], label=label, **series(index))
    if effective_rank is not None:
        ax.axvline(effective_rank, color=GREY, linewidth=0.6, linestyle=":", zorder=0)
    ax.set(xlabel="rank kept", ylabel="accuracy", ylim=(0, 1))
    if logarithmic:
        ax.set_xscale("log", base=2)
        ax.xaxis.set_major_formatter("{x:g}")
    return ax

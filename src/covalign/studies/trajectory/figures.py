"""When did each layer learn what the training ended with?"""

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from covalign.figures.intervals import level_lines
from covalign.figures.style import MARKERS, plain
from covalign.studies.comparison.orders import mean_of_orders

TITLES = {
    "similarity": "normalized similarity",
    "kept": "eigenvalues above the bulk",
    "effective_rank": "effective rank",
    "relative_change": "relative change",
    "energy_moved": "energy moved",
}


def measure_against_epoch(
    table: pd.DataFrame, ax: Axes, measure: str = "similarity", reference: str = "final"
) -> Axes:
    """Draw one measure of every layer against the epoch; early layers dark, late ones light.

    Args:
        table: what `covalign.studies.trajectory.measure.trajectory` returned.
        ax: where to draw.
        measure: a numeric column; "similarity" is drawn as the mean of both orders, between chance (0) and
            ceiling (1).
        reference: "final", or the name of the other network.
    """
    rows = table[table["reference"] == reference]
    values = mean_of_orders(rows) if measure == "similarity" else rows[measure]
    if measure == "similarity":
        level_lines(ax, 0.0, 1.0)
    depths = sorted(set(rows["depth"]))
    for index, depth in enumerate(depths):
        own = rows["depth"] == depth
        color = colormaps["viridis"](0.9 * index / max(1, len(depths) - 1))
        marker = MARKERS[index % len(MARKERS)]
        ax.plot(rows["epoch"][own], values[own], color=color, marker=marker, label=f"layer {depth}")
    last = float(rows["epoch"].max()) or 1.0
    ax.set(xlabel="epoch", ylabel=TITLES.get(measure, plain(measure)), xlim=(-0.04 * last, 1.04 * last))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax

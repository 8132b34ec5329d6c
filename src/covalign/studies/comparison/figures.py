"""How alike are two networks, layer by layer?

Panels over `Comparison.table`. The similarity drawn is the mean of both orders of eq. 6 of Guth and Ménard
(2024), S = (cos - chance) / (ceiling - chance): 0 is chance, 1 is the cosine of a network with a noisy copy
of itself. A layer where either order is undefined is a gap.
"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from covalign.figures.style import GREY, series
from covalign.studies.comparison.orders import mean_of_orders, pair_label, pairs, rows_of, unaligned


def similarity_against_depth(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the similarity of every pair against depth, between chance (0) and ceiling (1).

    Args:
        table: `Comparison.table`; its control without alignment is drawn faintly.
        ax: where to draw.
    """
    for level in (0.0, 1.0):
        ax.axhline(level, color=GREY, linewidth=0.6, zorder=0)
    for index, pair in enumerate(pairs(table)):
        rows, style = rows_of(table, pair), series(index)
        ax.plot(rows["depth"], mean_of_orders(rows), label=pair_label(pair), **style)
        ax.plot(rows["depth"], unaligned(rows), color=style["color"], linewidth=0.5, alpha=0.6)
    ax.set(xlabel="layer", ylabel="normalized similarity")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def calibrated_against_depth(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the calibrated similarity of every pair with its 95 % interval; withheld layers are gaps.

    Args:
        table: `Comparison.table`.
        ax: where to draw.
    """
    ax.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)
    every = pairs(table)
    for index, pair in enumerate(every):
        rows = rows_of(table, pair)
        offset = 0.3 * ((index + 0.5) / len(every) - 0.5)
        spread = [rows["calibrated"] - rows["low"], rows["high"] - rows["calibrated"]]
        ax.errorbar(
            rows["depth"] + offset,
            rows["calibrated"],
            spread,
            label=pair_label(pair),
            capsize=1.5,
            **series(index),
        )
    ax.set(xlabel="layer", ylabel="calibrated similarity")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def cosine_between_levels(table: pd.DataFrame, pair: tuple[str, str], ax: Axes) -> Axes:
    """Draw one pair's Bures-Wasserstein cosine on a grey bar from its chance level to its ceiling.

    Args:
        table: `Comparison.table`.
        pair: names (a, b).
        ax: where to draw.
    """
    rows = rows_of(table, pair)
    ax.bar(rows["depth"], rows["ceiling"] - rows["chance"], 0.6, rows["chance"], color=GREY, alpha=0.25)
    ax.plot(rows["depth"], rows["cosine"], **series(0))
    ax.set(xlabel="layer", ylabel="cosine", ylim=(0, 1))
    ax.set_title(pair_label(pair).replace(" – ", " –\n"), fontsize="small")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax

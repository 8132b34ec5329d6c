"""How alike are two networks, layer by layer?

Panels over `Comparison.table`. R is the debiased agreement: 0 unrelated, 1 the same. The published similarity is
the mean of both orders of eq. 6 of Guth and Ménard (2024), S = (cos - chance) / (ceiling - chance): 0 is chance, 1 is
the cosine of a network with a noisy copy of itself. A layer without a value is a gap.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.figures.intervals import arms, level_lines
from covalign.figures.style import GREY, series
from covalign.studies.comparison.orders import mean_of_orders, pair_label, pairs, rows_of, unaligned


def agreement_against_depth(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw R of every pair with its 95 % interval over neurons; faintly, aligned on images in shuffled order.

    Args:
        table: `Comparison.table`.
        ax: where to draw.
    """
    level_lines(ax, 0.0, 1.0)
    for index, pair in enumerate(pairs(table)):
        rows = rows_of(table, pair)
        faint = {"color": series(index)["color"], "linewidth": 0.5, "alpha": 0.6}
        ax.plot(rows["depth"], rows["debiased_shuffled"], **faint)
    _with_intervals(table, ("debiased", "debiased_low", "debiased_high"), ax)
    ax.set(xlabel="layer", ylabel="agreement R")
    return ax


def shared_against_rank(
    curves: Mapping[tuple[str, str, str], SharedVariance], keys: Sequence[tuple[str, str, str]], ax: Axes
) -> Axes:
    """Draw the strength-free shared variance of one layer against the number of leading directions.

    Args:
        curves: `Comparison.curves`.
        keys: which of them, one per pair in order; a pair without a curve keeps its colour.
        ax: where to draw.
    """
    level_lines(ax, 0.0, 1.0)
    for index, key in enumerate(keys):
        if key in curves:
            style = series(index) | {"marker": None}
            ax.plot(curves[key].ranks, curves[key].shared.tolist(), label=pair_label(key[:2]), **style)
    ax.set_xscale("log")
    ax.set(xlabel="leading directions", ylabel="shared variance", ylim=(-0.3, 1.4))
    return ax


def similarity_against_depth(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the similarity of every pair against depth, between chance (0) and ceiling (1).

    Args:
        table: `Comparison.table`; its control without alignment is drawn faintly.
        ax: where to draw.
    """
    level_lines(ax, 0.0, 1.0)
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
    level_lines(ax, 0.0)
    _with_intervals(table, ("calibrated", "low", "high"), ax)
    ax.set(xlabel="layer", ylabel="calibrated similarity")
    return ax


def _with_intervals(table: pd.DataFrame, columns: tuple[str, str, str], ax: Axes) -> None:
    """Draw a value of every pair with its interval against depth, pairs side by side at each layer."""
    every = pairs(table)
    for index, pair in enumerate(every):
        rows = rows_of(table, pair)
        value, low, high = (rows[column] for column in columns)
        offset = 0.3 * ((index + 0.5) / len(every) - 0.5)
        ax.errorbar(
            rows["depth"] + offset,
            value,
            arms(value, low, high),
            label=pair_label(pair),
            capsize=1.5,
            **series(index),
        )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


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

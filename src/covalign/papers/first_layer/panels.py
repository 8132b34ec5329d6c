"""How are the first layer's numbers drawn?

Single networks, or pairs of them, are faint points; means are diamonds with their 95 % intervals over networks;
numbers of the paper are open squares with one standard deviation. Profiles are divided by their maximum.
"""

from collections.abc import Mapping
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covalign.figures.style import GREY, PALETTE, journal, plain, series
from covalign.papers.first_layer.population import BINARY, PAIRS, RANDOM, TRUE, summarized

Published = Mapping[tuple[str, str], tuple[float, float]]
"""Mean and standard deviation in the paper, by data set and quantity."""


def table(
    values: pd.DataFrame, published: Published, during: pd.DataFrame, bound: float, what: str
) -> Figure:
    """Draw a table at the end of training, and beside it how some of its rows came about.

    Args:
        values: of the table, as for `forest`.
        published: the paper's numbers.
        during: of the rows that are drawn against epoch.
        bound: drawn as a line.
        what: is correlated.
    """
    with matplotlib.rc_context(journal(columns=2.1, ratio=0.5)):
        figure = Figure(layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        forest(values, published, left).set(title="at the end of training", xlabel=what, xlim=(-1.02, 1.04))
        courses(during, right).set(title="during training", ylabel=what)
        right.set_ylim(min(0.5, during["value"].min() - 0.02), 1.02)
        right.axhline(bound, color=GREY, linewidth=0.6, linestyle=":")
        marks, names = left.get_legend_handles_labels()
        figure.legend(marks, names, loc="outside lower left", ncols=2, fontsize="x-small")
        marks, names = right.get_legend_handles_labels()
        figure.legend(marks, names, loc="outside lower right", ncols=2, fontsize="x-small")
        return figure


def forest(values: pd.DataFrame, published: Published, ax: Axes) -> Axes:
    """Draw a table: a row for each data set and quantity, at the last epoch.

    Args:
        values: as `population.agreements` or `population.fits` gives them; where ``baseline`` is among the
            columns, a bar shows one standard deviation around its mean.
        published: the paper's numbers.
        ax: where to draw.
    """
    values = values[values["last"]].sort_values("quantity", key=lambda q: q.map(_place), kind="stable")
    summary = summarized(values)
    for row, found in enumerate(summary.itertuples()):
        chosen = values[(values["data"] == found.data) & (values["quantity"] == found.quantity)]
        if "baseline" in chosen:
            mean, spread = chosen["baseline"].mean(), chosen["baseline_sd"].mean()
            label = None if row else "same fit, random filters"
            ax.plot(
                [mean - spread, mean + spread], [row, row], color=GREY, linewidth=4, alpha=0.4, label=label
            )
        ax.plot(chosen["value"], [row] * len(chosen), "o", color=PALETTE[0], alpha=0.35)
        spread = [[max(0.0, found.mean - found.low)], [max(0.0, found.high - found.mean)]]
        label = None if row else "mean, 95 % interval"
        ax.errorbar(
            found.mean, row, xerr=spread, fmt="D", color=PALETTE[0], capsize=2, elinewidth=0.8, label=label
        )
        ax.plot(found.limit, row, "|", color=GREY, markersize=9, label=None if row else "sampling limit")
        if (found.data, found.quantity) in published:
            mean, deviation = published[found.data, found.quantity]
            style: dict[str, Any] = {
                "fmt": "s",
                "color": PALETTE[1],
                "markerfacecolor": "white",
                "elinewidth": 0.8,
            }
            label = None if "paper" in ax.get_legend_handles_labels()[1] else "paper"
            ax.errorbar(mean, row + 0.25, xerr=deviation, label=label, **style)
    names = [f"{plain(found.data)}: {found.quantity}" for found in summary.itertuples()]
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="correlation of energy profiles", ylim=(len(names) - 0.4, -0.6))
    ax.axvline(0, color=GREY, linewidth=0.6, zorder=0)
    return ax


def _place(quantity: str) -> int:
    """Say where a quantity stands in a table: agreements first, then baselines."""
    known = [*PAIRS.values(), TRUE, RANDOM, BINARY]
    return known.index(quantity) if quantity in known else len(known)


def courses(values: pd.DataFrame, ax: Axes) -> Axes:
    """Draw means with 95 % intervals over networks against epoch, a line for each data set and quantity."""
    summary = summarized(values)
    groups = list(dict.fromkeys(zip(summary["data"], summary["quantity"], strict=True)))
    for index, (data, quantity) in enumerate(groups):
        rows = summary[(summary["data"] == data) & (summary["quantity"] == quantity)]
        spread = [(rows["mean"] - rows["low"]).fillna(0), (rows["high"] - rows["mean"]).fillna(0)]
        label = f"{plain(data)}: {quantity}"
        ax.errorbar(
            rows["epoch"], rows["mean"], spread, label=label, elinewidth=0.6, capsize=1, **series(index)
        )
    ax.set(xlabel="epoch", xscale="log")
    ax.set_xticks(sorted(set(summary["epoch"])), [f"{epoch:g}" for epoch in sorted(set(summary["epoch"]))])
    ax.minorticks_off()
    return ax


def profiles(
    curves: Mapping[str, pd.Series], ax: Axes, spread: Mapping[str, pd.DataFrame] | None = None
) -> Axes:
    """Draw profiles over components, a line each; single networks faintly where ``spread`` has them in columns."""
    for index, (name, curve) in enumerate(curves.items()):
        style = series(index)
        for _, single in (spread or {}).get(name, pd.DataFrame()).items():
            ax.plot(single.index, single, color=style["color"], linewidth=0.5, alpha=0.4)
        ax.plot(curve.index, curve, label=plain(name), **style)
    ax.set(ylabel="energy / maximum", ylim=(0, 1.08))
    at_components(ax, max(map(len, curves.values())))
    return ax


def by_data(table: pd.DataFrame) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with a panel for each data set of a table, titled by its name."""
    names = list(dict.fromkeys(table["data"]))
    figure = Figure(layout="constrained", figsize=(3.5 * len(names), 2.4))
    axes = dict(zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True))
    for name, ax in axes.items():
        ax.set_title(plain(name))
    return figure, axes


def legend_below(figure: Figure, ax: Axes, columns: int) -> None:
    """Put one legend under all panels, where it hides no curve."""
    marks, names = ax.get_legend_handles_labels()
    figure.legend(marks, names, loc="outside lower center", ncols=columns)


def at_components(ax: Axes, count: int) -> None:
    """Mark patch components 1, 5, 10 ... of ``count``."""
    ax.set_xlabel("patch component")
    ax.set_xticks([1, *range(5, count + 1, 5)])

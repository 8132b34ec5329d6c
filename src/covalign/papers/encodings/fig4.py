"""Figure 4 of Guth & Menard (2024): is the encoding shared, layer by layer, and with whom?"""

from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covalign.figures.intervals import arms, level_lines
from covalign.figures.style import journal, plain, series
from covalign.papers.bench import Bench
from covalign.papers.encodings import population
from covalign.papers.encodings.fig4_claims import claims
from covalign.papers.encodings.population import ACROSS, RANDOM, SAME, TRUE, TRUE_RANDOM
from covalign.papers.exhibit import Exhibit, Measurements


def measure(bench: Bench) -> Measurements:
    """Compare every pair of the population, and average over networks."""
    table = population.compared(bench)
    return Measurements(
        {
            "pairs": table,
            "summary": population.summarized(table),
            "conditions": population.conditions(bench),
            "networks": population.accuracies(bench),
        }
    )


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw R, Q and the published similarity against depth: data sets on the left, labels on the right."""
    summary, conditions = measured.tables["summary"], measured.tables["conditions"]
    with matplotlib.rc_context(journal(columns=2.1, ratio=1.1)):
        figure = Figure(layout="constrained")
        titles = {"data sets": (SAME, ACROSS), "true and random labels": (TRUE, TRUE_RANDOM, RANDOM)}
        for side, (title, kinds) in zip(
            figure.subfigures(1, 2, squeeze=False)[0], titles.items(), strict=True
        ):
            above, middle, below = side.subplots(3, 1, sharex=True)
            chosen = summary[summary["kind"].isin(kinds)]
            groups = list(dict.fromkeys(chosen["group"]))
            against_depth(chosen, above, "debiased", control="debiased_unaligned")
            conditions_against_depth(conditions[conditions["kind"].isin(kinds)], groups, middle)
            against_depth(chosen, below, "similarity", control="unaligned")
            above.set(ylabel="R of two networks", title=title)
            middle.set_ylabel("Q of two conditions")
            below.set(ylabel="S as published (eq. 6)", xlabel="layer")
            handles = dict(zip(*reversed(below.get_legend_handles_labels()), strict=True))
            handles |= dict(zip(*reversed(above.get_legend_handles_labels()), strict=True))
            side.legend(handles.values(), handles, loc="outside lower center", ncols=2, fontsize="x-small")
        return {"encodings-fig4": figure, "encodings-fig4-controls": _controls(summary)}


def against_depth(summary: pd.DataFrame, ax: Axes, measure: str, control: str = "") -> Axes:
    """Draw means with 95 % intervals against depth, a line a group; the control faintly, without intervals."""
    _levels(ax)
    groups = list(dict.fromkeys(summary["group"]))
    for index, group in enumerate(groups):
        rows = _rows(summary, group, measure)
        if rows.empty:
            continue
        shift = _shift(index, len(groups))
        _with_intervals(rows, rows["mean"], index, shift, plain(group), ax)
        faint = _rows(summary, group, control)
        ax.plot(faint["depth"] + shift, faint["mean"], color=series(index)["color"], linewidth=0.5, alpha=0.6)
    return ax


def conditions_against_depth(conditions: pd.DataFrame, groups: Sequence[str], ax: Axes) -> Axes:
    """Draw Q with its interval over seeds against depth, in the colours that the groups have elsewhere."""
    _levels(ax)
    for index, group in enumerate(groups):
        rows = conditions[conditions["group"] == group].sort_values("depth")
        if not rows.empty:
            _with_intervals(rows, rows["q"], index, _shift(index, len(groups)), plain(group), ax)
    return ax


def _levels(ax: Axes) -> None:
    level_lines(ax, 0.0, 1.0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(-0.25, 1.5)


def _shift(index: int, groups: int) -> float:
    return 0.36 * ((index + 0.5) / groups - 0.5)


def _with_intervals(
    rows: pd.DataFrame, values: pd.Series, index: int, shift: float, label: str, ax: Axes
) -> None:
    spread = arms(values, rows["low"], rows["high"])
    ax.errorbar(
        rows["depth"] + shift, values, spread, label=label, elinewidth=0.6, capsize=1, **series(index)
    )


def _controls(summary: pd.DataFrame) -> Figure:
    """Draw, for pairs of one data set, what remains without alignment, of slots alone, and of nothing."""
    panels = {
        "R": {
            "debiased": "aligned",
            "debiased_unaligned": "not aligned",
            "debiased_shuffled": "aligned on shuffled images",
            "debiased_centred": "aligned on features less their mean at each position",
            "debiased_slots": "channels turned at random, slots kept",
            "debiased_without_5": "without five leading directions",
        },
        "S as published (eq. 6)": {
            "similarity": "aligned",
            "unaligned": "not aligned",
            "shuffled": "aligned on shuffled images",
            "slots": "channels turned at random, slots kept",
            "turned": "everything turned at random",
        },
    }
    same = summary[summary["kind"] == SAME]
    figure = Figure(layout="constrained", figsize=(7.0, 3.6))
    for ax, (title, labels) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        level_lines(ax, 0.0)
        for index, (measure, label) in enumerate(labels.items()):
            means = same[same["measure"] == measure].groupby("depth")["mean"].mean()
            ax.plot(means.index, means.to_numpy(), label=label, **series(index))
        ax.set(xlabel="layer", ylabel=title)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), fontsize="x-small", ncols=1)
    figure.suptitle("two seeds on the same data")
    return figure


def _rows(summary: pd.DataFrame, group: str, measure: str) -> pd.DataFrame:
    return summary[(summary["group"] == group) & (summary["measure"] == measure)].sort_values("depth")


EXHIBIT = Exhibit(
    "encodings-fig4",
    "similarity of encodings against depth: seeds, data sets, true and random labels",
    "Guth & Menard (2024), figure 4",
    population.trainings,
    measure,
    draw,
    claims,
)

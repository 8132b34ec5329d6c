"""How many images does a training need to reach what PyTorch's default reaches at its end?

Accuracies on held images along the way, of the same one-cycle schedule to the end; between two of them a straight
line. Seeds are paired: a start of one seed is held against the default of the same seed, which draws the same images.
"""

import cells
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from universal_page import SHOWN_AS, settled
from universal_training import STARTS

from covalign.figures.style import GREY, journal, series


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a mark of every training that has a curve."""
    rows = [
        (row.method, row.per_class, row.rate, row.seed, int(shown), accuracy)
        for row in settled(table).itertuples()
        if isinstance(row.curve, dict)
        for shown, accuracy in row.curve.items()
    ]
    return pd.DataFrame(rows, columns=["method", "per_class", "rate", "seed", "shown", "held"])


def reached(curve: pd.DataFrame, level: float) -> float:
    """Images shown when a curve first reaches a level; not a number where it never does."""
    shown, held = (np.concatenate([[0.0], curve[name]]) for name in ("shown", "held"))
    above = np.flatnonzero(held >= level)
    if not len(above):
        return float("nan")
    after = above[0]
    share = (level - held[after - 1]) / (held[after] - held[after - 1])
    return float(shown[after - 1] + share * (shown[after] - shown[after - 1]))


def needed(found: pd.DataFrame) -> pd.DataFrame:
    """Return images needed to reach the default's end, a row a start and budget; means over seeds that reach it."""
    rows = []
    for per_class, alike in found.groupby("per_class"):
        each = {key: part.sort_values("shown") for key, part in alike.groupby(["method", "seed"])}
        for method in STARTS:
            pairs = [(part, each["default", seed]) for (name, seed), part in each.items()
                     if name == method and ("default", seed) in each]  # fmt: skip
            images = pd.Series(
                [reached(part, default["held"].iloc[-1]) for part, default in pairs], dtype=float
            )
            if len(images):
                got = images.dropna()
                rows.append((per_class, method, len(images), len(got), *cells.interval(got)))
    return pd.DataFrame(rows, columns=["per_class", "method", "seeds", "reach_it", "images", "low", "high"])


def draw(found: pd.DataFrame) -> Figure:
    """Mean accuracy on held images with its interval, a panel a budget whose default has a curve."""
    groups = [(name, found[found["per_class"] == name]) for name in SHOWN_AS]
    groups = [(name, rows) for name, rows in groups if "default" in set(rows["method"])]
    with matplotlib.rc_context(journal(2.0 if len(groups) > 1 else 1.0, 0.42 if len(groups) > 1 else 0.8)):
        figure = Figure(layout="constrained")
        for ax, (per_class, rows) in zip(
            figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True
        ):
            for index, method in enumerate(each for each in STARTS if each in set(rows["method"])):
                by_mark = rows[rows["method"] == method].groupby("shown")["held"]
                levels = np.array([cells.interval(values) for _, values in by_mark])
                x = [shown / 1000 for shown, _ in by_mark]
                ax.plot(x, levels[:, 0], label=method, **series(index))
                ax.fill_between(
                    x, levels[:, 1], levels[:, 2], alpha=0.15, color=series(index)["color"], linewidth=0
                )
            ax.axhline(1 / 40, color=GREY, linewidth=0.6)
            ax.set(
                title=SHOWN_AS[per_class], xlabel="images shown, thousands", ylabel="accuracy, held images"
            )
            ax.set_ylim(0, None)
            ax.legend(loc="lower right")
    return figure


def section(found: pd.DataFrame) -> str:
    """Return what the page says of curves."""
    lines = [
        "",
        "## Images needed",
        "",
        "Images shown until a training reaches, on held images, what PyTorch's default of the same seed reaches at "
        "the end of the same schedule: mean over the seeds that reach it, with its 95 % interval (Student). The rate "
        "follows one cycle, so that most of the gain comes late whatever the start. Budgets are left out "
        "whose default was trained before held images judged along the way.",
        "",
        "| images a class | start | seeds | reach it | images needed |",
        "|---|---|---|---|---|",
    ]
    for row in needed(found).itertuples():
        reach = cells.between(row.low, row.high, ",.0f")
        images = f"{row.images:,.0f}{reach}" if row.reach_it else ""
        lines.append(
            f"| {row.per_class or '450 (all)'} | {row.method} | {row.seeds} | {row.reach_it} | {images} |"
        )
    return "\n".join([*lines, "", "![Accuracy along the way](curves.png)", ""])

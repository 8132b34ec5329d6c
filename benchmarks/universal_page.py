"""How is what starts buy shown: a table with intervals, a figure, and a page that says what was not measured?"""

import cells
import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from universal_training import BUDGETS, READOUT, SEEDS, STARTS

from covalign.figures.style import GREY, journal, series

COLUMNS = ["part", "per_class", "method", "seeds", "accuracy", "low", "high"]
COLUMNS += ["beyond_default", "beyond_low", "beyond_high"]
SHOWN_AS = {10: "10 a class", 50: "50 a class", 0: "450 a class"}


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """Return the cells of new seeds at the rates that seed 0 chose, and readouts, which have none."""
    tried = table[table["seed"] == 0].sort_values(["chosen_on", "rate"], ascending=[True, False])
    best = tried.drop_duplicates(["part", "method", "per_class"], keep="last")
    chosen = {(row.part, row.method, row.per_class): row.rate for row in best.itertuples()}
    named = zip(table["part"], table["method"], table["per_class"], strict=True)
    rates = [chosen.get(each, 0.0) for each in named]
    return table[(table["seed"] > 0) & (table["rate"] == rates)]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds with intervals, and differences from PyTorch's default, seed by seed."""
    rows = []
    for (part, per_class), alike in settled(table).groupby(["part", "per_class"]):
        by_seed = alike.pivot_table(index="seed", columns="method", values="accuracy")
        for method in by_seed:
            mean, low, high = cells.interval(by_seed[method].dropna())
            row = {
                "part": part,
                "per_class": per_class,
                "method": method,
                "seeds": int(by_seed[method].count()),
                "accuracy": mean,
                "low": low,
                "high": high,
            }
            if "default" in by_seed and method != "default":
                apart = cells.interval((by_seed[method] - by_seed["default"]).dropna())
                row |= dict(zip(("beyond_default", "beyond_low", "beyond_high"), apart, strict=True))
            rows.append(row)
    return pd.DataFrame(rows)


def draw(found: pd.DataFrame) -> Figure:
    """Accuracy with its interval, a panel a part."""
    parts = list(dict.fromkeys(found["part"]))
    with matplotlib.rc_context(journal(2.0, 0.42)):
        figure = Figure(layout="constrained")
        for ax, part in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
            rows = found[found["part"] == part]
            methods = [each for each in (*READOUT, *STARTS) if each in set(rows["method"])]
            places = {method: i for i, method in enumerate(dict.fromkeys(methods))}
            for per_class in (each for each in SHOWN_AS if each in set(rows["per_class"])):
                index, each = list(SHOWN_AS).index(per_class), rows[rows["per_class"] == per_class]
                x = [places[m] + 0.12 * (index - 1) for m in each["method"]]
                arms = [each["accuracy"] - each["low"], each["high"] - each["accuracy"]]
                style = {**series(index), "linestyle": "none"}
                ax.errorbar(x, each["accuracy"], yerr=arms, label=SHOWN_AS[per_class], capsize=2, **style)
            ax.axhline(1 / 40, color=GREY, linewidth=0.6)
            ax.set_xticks(list(places.values()), list(places), rotation=20)
            ax.set(title={"readout": "readout alone"}.get(part, part), ylabel="accuracy", ylim=(0, 0.6))
            ax.legend(loc="upper center", ncols=3)
    return figure


def missing(found: pd.DataFrame) -> list[str]:
    """Say in sentences what was not measured over all seeds."""
    have = {(row.part, row.method, row.per_class): row.seeds for row in found.itertuples()}
    wanted = [("readout", m, b) for m in READOUT for b in (50, 0)]
    wanted += [("training", m, b) for m in STARTS for b in BUDGETS]
    counts = {each: have.get(each, 0) for each in wanted}
    return [
        f"{part} from {method}, {per_class or 450} a class: {count} of {SEEDS} seeds"
        for (part, method, per_class), count in counts.items()
        if count < SEEDS
    ]


def page(found: pd.DataFrame, table: pd.DataFrame) -> str:
    """Return the page."""
    lines = [
        "# What an encoding buys on data it has never seen",
        "",
        "Made by `benchmarks/study_universal.py`, whose head says how; encoding: `vgg11-natural`; data: 40 classes "
        "of Tiny ImageNet that no member saw, 32 x 32. Chance is .025. Means over seeds with 95 % intervals "
        "(Student), and the difference from PyTorch's default, seed by seed.",
        "",
        "| | images a class | start | seeds | accuracy | beyond default |",
        "|---|---|---|---|---|---|",
    ]
    for row in found.itertuples():
        apart = (
            "" if pd.isna(row.beyond_default) else
            f"{row.beyond_default:+.3f}{cells.between(row.beyond_low, row.beyond_high, '+.3f')}"
        )  # fmt: skip
        lines.append(
            f"| {row.part} | {row.per_class or '450 (all)'} | {row.method} | {row.seeds} | "
            f"{row.accuracy:.3f}{cells.between(row.low, row.high, '.3f')} | {apart} |"
        )
    lines += ["", "![Accuracies](transfer.png)", ""]
    rates = table[table["seed"] == 0]
    if len(rates):
        lines += [
            "Rates, chosen on held images with seed 0 (where the best is the smallest or the largest, one beyond "
            "may do better):",
            "",
        ]
        for (method, per_class), each in rates.groupby(["method", "per_class"]):
            tried = ", ".join(f"{r.rate:g}: {r.chosen_on:.3f}" for r in each.itertuples())
            lines.append(f"- {method}, {SHOWN_AS[per_class]}: {tried}")
        lines.append("")
    if absent := missing(found):
        lines += ["Not measured, or not over all seeds:", "", *(f"- {each}" for each in absent), ""]
    return "\n".join(lines)

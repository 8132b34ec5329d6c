"""Figure 4 of Guth & Menard (2024): is the encoding shared, layer by layer, and with whom?"""

import math
from collections.abc import Sequence

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covalign.figures.style import GREY, journal, plain, series
from covalign.papers.bench import Bench
from covalign.papers.encodings import population
from covalign.papers.encodings.population import ACROSS, RANDOM, SAME, TRUE, TRUE_RANDOM
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds
from covalign.papers.intervals import Estimate, over_networks
from covalign.studies.comparison.orders import mean_of_orders

MIDDLE = range(2, 7)
"""Layers 2-6: the first one sees pixels in shared coordinates, the last two maps of 2x2."""


def measure(bench: Bench) -> Measurements:
    """Compare every pair of the population, and average over networks."""
    table = population.compared(bench, population.pairs(bench.scale))
    return Measurements(
        {"pairs": table, "summary": population.summarized(table), "networks": population.accuracies(bench)}
    )


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw published and calibrated similarity against depth: labels on the left, data sets on the right."""
    summary = measured.tables["summary"]
    with matplotlib.rc_context(journal(columns=2.1, ratio=0.78)):
        figure = Figure(layout="constrained")
        axes = figure.subplots(2, 2, sharex=True, sharey="row")
        for column, kinds in enumerate(((TRUE, TRUE_RANDOM, RANDOM), (SAME, ACROSS))):
            chosen = summary[summary["kind"].isin(kinds)]
            against_depth(chosen, axes[0, column], "similarity", control="unaligned")
            against_depth(chosen, axes[1, column], "calibrated")
            axes[1, column].set_xlabel("layer")
            if axes[0, column].has_data() and not chosen.empty:
                axes[0, column].legend(fontsize="x-small", ncols=2 if column else 1)
        axes[0, 0].set(ylabel="normalized similarity (eq. 6)", title="true and random labels")
        axes[0, 1].set(title="data sets")
        axes[1, 0].set_ylabel("calibrated similarity")
        return {"encodings-fig4": figure, "encodings-fig4-controls": _controls(summary)}


def against_depth(summary: pd.DataFrame, ax: Axes, measure: str, control: str = "") -> Axes:
    """Draw means with 95 % intervals against depth, a line a group; the control faintly, without intervals."""
    for level in (0.0, 1.0):
        ax.axhline(level, color=GREY, linewidth=0.6, zorder=0)
    groups = list(dict.fromkeys(summary["group"]))
    for index, group in enumerate(groups):
        rows = _rows(summary, group, measure)
        if rows.empty:
            continue
        style, shift = series(index), 0.36 * ((index + 0.5) / len(groups) - 0.5)
        spread = [(rows["mean"] - rows["low"]).fillna(0), (rows["high"] - rows["mean"]).fillna(0)]
        x = rows["depth"] + shift
        ax.errorbar(x, rows["mean"], spread, label=plain(group), elinewidth=0.6, capsize=1, **style)
        faint = _rows(summary, group, control)
        ax.plot(faint["depth"] + shift, faint["mean"], color=style["color"], linewidth=0.5, alpha=0.6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylim(-0.25, 1.25)
    return ax


def _controls(summary: pd.DataFrame) -> Figure:
    """Draw, for pairs of one data set, what remains without alignment, of slots alone, and of nothing."""
    figure = Figure(layout="constrained", figsize=(3.8, 3.0))
    ax = figure.subplots()
    same = summary[summary["kind"] == SAME]
    labels = {
        "similarity": "aligned",
        "unaligned": "not aligned",
        "shuffled": "aligned on shuffled images",
        "slots": "channels turned at random, slots kept",
        "turned": "everything turned at random",
    }
    ax.axhline(0.0, color=GREY, linewidth=0.6, zorder=0)
    for index, (measure, label) in enumerate(labels.items()):
        means = same[same["measure"] == measure].groupby("depth")["mean"].mean()
        ax.plot(means.index, means.to_numpy(), label=label, **series(index))
    ax.set(xlabel="layer", ylabel="normalized similarity (eq. 6)", title="two seeds on the same data")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize="x-small")
    return figure


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 4."""
    summary, networks = measured.tables["summary"], measured.tables["networks"]
    return [
        _most_alike(summary, measured.tables["pairs"]),
        _above_chance(measured.tables["pairs"]),
        _declines(summary),
        _labels(summary, measured.tables["pairs"], networks),
        _alignment_reveals(summary),
        _slots(summary),
    ]


def _most_alike(summary: pd.DataFrame, table: pd.DataFrame) -> Claim:
    """Two seeds of one data set are the most similar pair that this data set is part of, layers 2-6."""
    margins, exceptions, apart = [], [], 0
    groups = table.drop_duplicates("group").set_index("group")
    for group, data in groups[groups["kind"] == SAME]["data_a"].items():
        own = _rows(summary, group, "similarity").set_index("depth")
        for other, across in groups[groups["kind"] == ACROSS].iterrows():
            if data in (across["data_a"], across["data_b"]):
                rows = _rows(summary, other, "similarity").set_index("depth")
                for depth in (d for d in MIDDLE if d in own.index and d in rows.index):
                    margins.append(own["mean"][depth] - rows["mean"][depth])
                    apart += bool(own["low"][depth] > rows["high"][depth])
                    if margins[-1] <= 0:
                        exceptions.append(f"layer {depth}: {other} exceeds {group} by {-margins[-1]:.2f}")
    return Claim(
        "Networks that differ only in their seed are the most similar pairs.",
        "every margin over pairs of two data sets positive, layers 2-6 (figure 4)",
        min(margins, default=math.nan),
        None,
        holds(bool(margins) and not exceptions),
        f"smallest of {len(margins)} margins in mean similarity (their mean {_mean(margins):.2f}); in {apart} "
        "the 95 % intervals over networks do not even touch; " + _listed(exceptions),
    )


def _above_chance(table: pd.DataFrame) -> Claim:
    """Every pair of data sets is above chance at layers 1-5."""
    found = table[(table["kind"] == ACROSS) & (table["depth"] <= 5)]
    tested = found[found["p_value"].notna()]
    failed = tested[tested["p_value"] >= 0.05]
    untested = len(found) - len(tested)
    compared = mean_of_orders(found)
    exceeded = bool((compared.dropna() > found["unaligned"][compared.notna()].clip(lower=0)).all())
    return Claim(
        "All pairs of data sets of natural images share part of their encoding.",
        "similarity above chance at layers 1-5 (figure 4, right)",
        float((tested["p_value"] < 0.05).mean()) if len(tested) else math.nan,
        None,
        holds(len(tested) > 0 and failed.empty),
        f"share of {len(tested)} pairs and layers whose 5 % test against chance rejects; {untested} more could not "
        f"be tested, as their bulk does not look like noise; without a test, all of {compared.notna().sum()} "
        f"{'exceed' if exceeded else 'do not all exceed'} their unaligned level",
    )


def _declines(summary: pd.DataFrame) -> Claim:
    """Similarity of data sets falls with depth."""
    rows = summary[(summary["kind"] == ACROSS) & (summary["measure"] == "similarity")]
    falls = {
        group: float(found["depth"].corr(found["mean"], "spearman")) if found["mean"].nunique() > 1 else 0.0
        for group, found in rows.groupby("group", sort=False)
    }
    worst = max(falls.values(), default=math.nan)
    listed = ", ".join(f"{group} {value:.2f}" for group, value in falls.items())
    return Claim(
        "Similarity between data sets falls continuously with depth.",
        "negative rank correlation with depth for every pair (figure 4, right)",
        worst,
        None,
        holds(worst < 0),
        f"largest Spearman correlation of mean similarity with depth; {listed}",
    )


def _labels(summary: pd.DataFrame, table: pd.DataFrame, networks: pd.DataFrame) -> Claim:
    """True and random labels give different encodings; two realizations of random labels, similar ones."""
    middle = {}
    for kind in (TRUE, TRUE_RANDOM, RANDOM):
        rows = summary[(summary["kind"] == kind) & (summary["measure"] == "similarity")]
        chosen = rows[rows["depth"].isin(MIDDLE)]
        middle[kind] = {int(row.depth): row for row in chosen.itertuples()}
    fit = networks[networks["labels"] != "true"]["train_accuracy"].mean()
    shared = sorted(set(middle[TRUE_RANDOM]) & set(middle[RANDOM]))
    below = [depth for depth in shared if middle[TRUE_RANDOM][depth].mean < middle[RANDOM][depth].mean]
    crossed, alike = (_over_layers(table[table["kind"] == kind]) for kind in (TRUE_RANDOM, RANDOM))
    listed = "; ".join(
        f"layer {depth}: {middle[TRUE_RANDOM][depth].mean:.2f} against {middle[RANDOM][depth].mean:.2f}"
        + (f" (true labels {middle[TRUE][depth].mean:.2f})" if depth in middle[TRUE] else "")
        for depth in shared
    )
    fitted = f"random-label networks fit {fit:.0%} of their training images"
    return Claim(
        "Encodings of true and of random labels differ more than those of two realizations of random labels.",
        "about 0.2 against high values up to layer 5 (section 3.3)",
        crossed.mean,
        (crossed.low, crossed.high),
        holds(bool(shared) and below == shared),
        "mean similarity of true and random labels over layers 2-6, that of two realizations "
        f"{alike.mean:.2f} [{alike.low:.2f}, {alike.high:.2f}]; below it in {len(below)} of {len(shared)} "
        f"layers: {listed}; {fitted}",
    )


def _alignment_reveals(summary: pd.DataFrame) -> Claim:
    """Without alignment, two seeds are near chance beyond layer 1."""
    rows = summary[(summary["kind"] == SAME) & (summary["measure"] == "unaligned") & (summary["depth"] > 1)]
    by_depth = rows.groupby("depth")["mean"].mean()
    worst = rows[rows["depth"] <= 6].sort_values("mean").tail(1)
    aligned = summary[
        (summary["kind"] == SAME) & (summary["measure"] == "similarity") & (summary["depth"] > 1)
    ]
    listed = ", ".join(f"{depth}: {value:.2f}" for depth, value in by_depth.items())
    return Claim(
        "Only alignment reveals what two seeds share.",
        "similarity near 0 without alignment beyond layer 1 (figure 2); our bound: 0.1 at layers 2-6",
        float(by_depth[by_depth.index <= 6].max()),
        (float(worst["low"].min()), float(worst["high"].max())) if len(worst) else None,
        holds(bool((by_depth[by_depth.index <= 6] < 0.1).all())),
        "largest unaligned similarity of layers 2-6, mean over data sets (interval: of the data set where it is "
        f"largest); by layer {listed}; aligned mean "
        f"{aligned['mean'].mean():.2f}",
    )


def _slots(summary: pd.DataFrame) -> Claim:
    """How much of the similarity of two seeds is the structure of the filter slots?"""
    same = summary[(summary["kind"] == SAME) & summary["depth"].between(2, 8)]
    means = same.pivot_table(index="depth", columns="measure", values="mean")
    share = (means["slots"] / means["similarity"]).clip(lower=0)
    listed = ", ".join(f"{depth}: {value:.0%}" for depth, value in share.items())
    return Claim(
        "The similarity is one of channels, not only of the frozen filters that all networks share.",
        "no number in the paper; our bound: less than half at layers 2-6",
        float(share[share.index <= 6].max()),
        None,
        holds(bool((share[share.index <= 6] < 0.5).all())),
        f"share of two seeds' similarity that remains when channels are turned at random; by layer {listed}",
    )


def _over_layers(table: pd.DataFrame) -> Estimate:
    """Return the mean similarity over layers 2-6, with its interval over networks."""
    found = table[table["depth"].isin(MIDDLE)]
    means = mean_of_orders(found).groupby([found["a"], found["b"]], sort=False).mean()
    return over_networks(list(means.index), means.tolist())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _rows(summary: pd.DataFrame, group: str, measure: str) -> pd.DataFrame:
    return summary[(summary["group"] == group) & (summary["measure"] == measure)].sort_values("depth")


def _listed(exceptions: Sequence[str]) -> str:
    return "; ".join(exceptions) or "no exception"


EXHIBIT = Exhibit(
    "encodings-fig4",
    "similarity of encodings against depth: seeds, data sets, true and random labels",
    "Guth & Menard (2024), figure 4",
    population.trainings,
    measure,
    draw,
    claims,
)

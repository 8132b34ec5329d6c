"""What figure 4 of Guth & Menard (2024) says, judged by R and Q and by the similarity as published."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from covalign.papers.encodings.population import ACROSS, RANDOM, SAME, TRUE, TRUE_RANDOM
from covalign.papers.exhibit import Claim, Measurements, holds
from covalign.papers.intervals import Estimate, over_networks
from covalign.studies.comparison.orders import mean_of_orders

MIDDLE = range(2, 7)
"""Layers 2-6: the first one sees pixels in shared coordinates, the last two maps of 2x2."""


@dataclass(frozen=True)
class Measure:
    """A similarity of two layers: its columns in the table, and what it is called."""

    name: str
    unaligned: str
    slots: str
    called: str


R = Measure("debiased", "debiased_unaligned", "debiased_slots", "R")
S = Measure("similarity", "unaligned", "slots", "S (eq. 6)")


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 4: by R and Q, and as published."""
    summary, networks = measured.tables["summary"], measured.tables["networks"]
    pairs, conditions = measured.tables["pairs"], measured.tables["conditions"]
    across = conditions[conditions["kind"] == ACROSS]
    labels = conditions[conditions["kind"] == TRUE_RANDOM]
    return [
        *(_most_alike(summary, pairs, by) for by in (R, S)),
        _on_one_side(
            across[across["depth"].isin(MIDDLE)],
            "below",
            1.0,
            "Data sets differ in more than their seeds do.",
            "2-6",
        ),
        _above_chance(pairs),
        _on_one_side(
            across[across["depth"] <= 5],
            "above",
            0.0,
            "Whatever the seed, two data sets of natural images share part of their encoding.",
            "1-5",
        ),
        *(_declines(summary, by) for by in (R, S)),
        *(_labels(summary, pairs, networks, by) for by in (R, S)),
        _on_one_side(
            labels[labels["depth"].isin(MIDDLE)],
            "below",
            1.0,
            "True and random labels differ in more than networks of one kind do.",
            "2-6",
        ),
        *(_alignment_reveals(summary, by) for by in (R, S)),
        *(_slots(summary, by) for by in (R, S)),
    ]


def _most_alike(summary: pd.DataFrame, table: pd.DataFrame, by: Measure) -> Claim:
    """Two seeds of one data set are the most similar pair that this data set is part of, layers 2-6."""
    margins, exceptions, apart = [], [], 0
    groups = table.drop_duplicates("group").set_index("group")
    for group, data in groups[groups["kind"] == SAME]["data_a"].items():
        own = _rows(summary, group, by.name).set_index("depth")
        for other, across in groups[groups["kind"] == ACROSS].iterrows():
            if data in (across["data_a"], across["data_b"]):
                rows = _rows(summary, other, by.name).set_index("depth")
                for depth in (d for d in MIDDLE if d in own.index and d in rows.index):
                    margins.append(own["mean"][depth] - rows["mean"][depth])
                    apart += bool(own["low"][depth] > rows["high"][depth])
                    if margins[-1] <= 0:
                        exceptions.append(f"layer {depth}: {other} exceeds {group} by {-margins[-1]:.2f}")
    return Claim(
        f"Networks that differ only in their seed are the most similar pairs, by {by.called}.",
        "every margin over pairs of two data sets positive, layers 2-6 (figure 4)",
        min(margins, default=math.nan),
        None,
        holds(bool(margins) and not exceptions),
        f"smallest of {len(margins)} margins in mean similarity (their mean {_mean(margins):.2f}); in {apart} "
        "the 95 % intervals over networks do not even touch; " + _listed(exceptions),
    )


def _on_one_side(
    rows: pd.DataFrame, side: Literal["below", "above"], level: float, sentence: str, depths: str
) -> Claim:
    """The interval of Q lies on one side of a level, in every pair of conditions and layer that has one."""
    known = rows[rows["low"].notna() & rows["high"].notna()]
    there = known[known["high"] < level] if side == "below" else known[known["low"] > level]
    return Claim(
        sentence,
        f"Q {side} {level:g} with its whole interval over seeds, layers {depths} (the paper has no such number)",
        float(known["q"].mean()),
        None,
        holds(len(known) > 0 and len(there) == len(known)),
        f"mean Q; its interval lies {side} {level:g} in {len(there)} of {len(known)} pairs of conditions and layers"
        f"{_withheld(rows, known)}; {_by_layer(known)}",
    )


def _withheld(rows: pd.DataFrame, known: pd.DataFrame) -> str:
    missing = len(rows) - len(known)
    return f" ({missing} more have no interval)" if missing else ""


def _by_layer(known: pd.DataFrame) -> str:
    return "by layer " + ", ".join(
        f"{depth}: {q:.2f}" for depth, q in known.groupby("depth")["q"].mean().items()
    )


def _above_chance(table: pd.DataFrame) -> Claim:
    """Every pair of data sets is above chance at layers 1-5."""
    found = table[(table["kind"] == ACROSS) & (table["depth"] <= 5)]
    tested = found[found["debiased_p"].notna()]
    failed = tested[(tested["debiased_p"] >= 0.05) | (tested["debiased_z"] <= 0)]
    untested = len(found) - len(tested)
    listed = ", ".join(f"{group} {len(rows)}" for group, rows in failed.groupby("group"))
    return Claim(
        "All pairs of data sets of natural images share part of their encoding.",
        "similarity above chance at layers 1-5 (figure 4, right)",
        float(1 - len(failed) / len(tested)) if len(tested) else math.nan,
        None,
        holds(len(tested) > 0 and failed.empty),
        f"share of {len(tested)} pairs and layers where the 5 % test of R against chance rejects"
        + (f"; {untested} more could not be tested" if untested else "")
        + (f"; not rejected: {listed}" if listed else ""),
    )


def _declines(summary: pd.DataFrame, by: Measure) -> Claim:
    """Similarity of data sets falls with depth."""
    rows = summary[(summary["kind"] == ACROSS) & (summary["measure"] == by.name)]
    falls = {
        group: float(found["depth"].corr(found["mean"], "spearman")) if found["mean"].nunique() > 1 else 0.0
        for group, found in rows.groupby("group", sort=False)
    }
    worst = max(falls.values(), default=math.nan)
    listed = ", ".join(f"{group} {value:.2f}" for group, value in falls.items())
    return Claim(
        f"Similarity between data sets falls continuously with depth, by {by.called}.",
        "negative rank correlation with depth for every pair (figure 4, right)",
        worst,
        None,
        holds(worst < 0),
        f"largest Spearman correlation of mean similarity with depth; {listed}",
    )


def _labels(summary: pd.DataFrame, table: pd.DataFrame, networks: pd.DataFrame, by: Measure) -> Claim:
    """True and random labels give different encodings; two realizations of random labels, similar ones."""
    middle = {}
    for kind in (TRUE, TRUE_RANDOM, RANDOM):
        rows = summary[(summary["kind"] == kind) & (summary["measure"] == by.name)]
        chosen = rows[rows["depth"].isin(MIDDLE)]
        middle[kind] = {int(row.depth): row for row in chosen.itertuples()}
    fit = networks[networks["labels"] != "true"]["train_accuracy"].mean()
    shared = sorted(set(middle[TRUE_RANDOM]) & set(middle[RANDOM]))
    below = [depth for depth in shared if middle[TRUE_RANDOM][depth].mean < middle[RANDOM][depth].mean]
    crossed, alike = (_over_layers(table[table["kind"] == kind], by) for kind in (TRUE_RANDOM, RANDOM))
    listed = "; ".join(
        f"layer {depth}: {middle[TRUE_RANDOM][depth].mean:.2f} against {middle[RANDOM][depth].mean:.2f}"
        + (f" (true labels {middle[TRUE][depth].mean:.2f})" if depth in middle[TRUE] else "")
        for depth in shared
    )
    fitted = f"random-label networks fit {fit:.0%} of their training images"
    return Claim(
        "Encodings of true and of random labels differ more than those of two realizations of random labels, by "
        f"{by.called}.",
        "about 0.2 against high values up to layer 5 (section 3.3)",
        crossed.mean,
        (crossed.low, crossed.high),
        holds(bool(shared) and below == shared),
        "mean similarity of true and random labels over layers 2-6, that of two realizations "
        f"{alike.mean:.2f} [{alike.low:.2f}, {alike.high:.2f}]; below it in {len(below)} of {len(shared)} "
        f"layers: {listed}; {fitted}",
    )


def _alignment_reveals(summary: pd.DataFrame, by: Measure) -> Claim:
    """Without alignment, two seeds are near chance beyond layer 1."""
    rows = summary[(summary["kind"] == SAME) & (summary["measure"] == by.unaligned) & (summary["depth"] > 1)]
    by_depth = rows.groupby("depth")["mean"].mean()
    middle = by_depth[by_depth.index <= 6]
    worst = rows[rows["depth"] <= 6].sort_values("mean").tail(1)
    aligned = summary[(summary["kind"] == SAME) & (summary["measure"] == by.name) & (summary["depth"] > 1)]
    listed = ", ".join(f"{depth}: {value:.2f}" for depth, value in by_depth.items())
    return Claim(
        f"Only alignment reveals what two seeds share, by {by.called}.",
        "similarity near 0 without alignment beyond layer 1 (figure 2); our bound: 0.1 at layers 2-6",
        float(middle.max()),
        (float(worst["low"].min()), float(worst["high"].max())) if len(worst) else None,
        holds(bool((middle < 0.1).all())) if len(middle) else "not testable",
        "largest unaligned similarity of layers 2-6, mean over data sets (interval: of the data set where it is "
        f"largest); by layer {listed}; aligned mean "
        f"{aligned['mean'].mean():.2f}",
    )


def _slots(summary: pd.DataFrame, by: Measure) -> Claim:
    """How much of the similarity of two seeds is the structure of the filter slots?"""
    same = summary[(summary["kind"] == SAME) & summary["depth"].between(2, 8)]
    means = same.pivot_table(index="depth", columns="measure", values="mean")
    means = means.reindex(columns=[by.slots, by.name])  # either may be withheld everywhere
    share = (means[by.slots] / means[by.name]).clip(lower=0).dropna()
    middle = share[share.index <= 6]
    listed = ", ".join(f"{depth}: {value:.0%}" for depth, value in share.items())
    return Claim(
        f"The similarity is one of channels, not only of the frozen filters that all share, by {by.called}.",
        "no number in the paper; our bound: less than half at layers 2-6",
        float(middle.max()),
        None,
        holds(bool((middle < 0.5).all())) if len(middle) else "not testable",
        f"share of two seeds' similarity that remains when channels are turned at random; by layer {listed}",
    )


def _over_layers(table: pd.DataFrame, by: Measure) -> Estimate:
    """Return the mean similarity over layers 2-6, with its interval over networks."""
    found = table[table["depth"].isin(MIDDLE)]
    values = mean_of_orders(found) if by is S else found[by.name]
    means = values.groupby([found["a"], found["b"]], sort=False).mean()
    return over_networks(list(means.index), means.tolist())


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _rows(summary: pd.DataFrame, group: str, measure: str) -> pd.DataFrame:
    return summary[(summary["group"] == group) & (summary["measure"] == measure)].sort_values("depth")


def _listed(exceptions: Sequence[str]) -> str:
    return "; ".join(exceptions) or "no exception"

"""Do the conclusions about encodings move with the learning rate?

    python benchmarks/study_learning_rate.py --images cifar10=DATA --images imagenet-a=DATA --store STORE --out FOLDER

The networks of figures 3 and 4 at several peak rates, everything else as at the laptop scale: two seeds on each of
two data sets, and two of true and of random labels on the same few images. Does the bulk of each layer still look
like noise (without which nothing is calibrated)? Are seeds more alike than data sets, and true and random labels less
alike than two random labelings? Trainings and comparisons are kept in the store and shared with `covalign
reproduce`. Writes ``pairs.csv`` (a row per rate, pair and layer), ``networks.csv``, ``conclusions.csv`` and a figure.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from covalign.figures.saving import save_figure
from covalign.figures.style import GREY, journal, series
from covalign.papers.bench import Bench
from covalign.papers.encodings.fig4_claims import MIDDLE
from covalign.papers.encodings.population import (
    ACROSS,
    RANDOM,
    SAME,
    TRUE_RANDOM,
    accuracies,
    compared,
    trainings,
)
from covalign.papers.scales.laptop import LAPTOP
from covalign.papers.scales.scale import Scale
from covalign.studies.comparison.orders import mean_of_orders
from covalign.training.loop import train
from covalign.training.store import RunStore

DATA = ("cifar10", "imagenet-a")
RECIPES = ("encoding", "true labels", "random labels")
KEPT = (
    *("kind", "group", "a", "b", "depth", "bulk_ok", "kept_a", "kept_b", "effective_rank_a", "similarity"),
    *("unaligned", "slots", "debiased", "reason", "alignment_correlation"),
)
"""Columns of ``pairs.csv``, beside the rate."""


def at_rate(rate: float) -> Scale:
    """Return the laptop scale with another peak rate and two networks of every kind."""
    recipes = {name: replace(LAPTOP.recipes[name], learning_rate=rate) for name in RECIPES}
    encodings = dict.fromkeys(DATA, 2)
    return replace(LAPTOP, recipes={**LAPTOP.recipes, **recipes}, encodings=encodings, replicates=2)


def measured(scale: Scale, sources: dict[str, str], store: RunStore) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train what is missing; return the comparisons and the accuracies."""
    bench = Bench(scale, sources, store)
    runs = {
        label: train(bench.read_from(each.spec, each.data), store) for label, each in trainings(scale).items()
    }
    bench = replace(bench, runs=runs)
    return table_of(bench), accuracies(bench)


def table_of(bench: Bench) -> pd.DataFrame:
    """Return what is kept of each comparison, a row per pair and layer."""
    table = compared(bench)
    table["similarity"] = mean_of_orders(table)
    return table[list(KEPT)]


def conclusions(table: pd.DataFrame, networks: pd.DataFrame) -> dict[str, object]:
    """Return, at one rate, what the paper concludes from: margins at layers 2-6 and the fall with depth."""
    means = table.groupby(["kind", "group", "depth"])["similarity"].mean()
    hidden = means[means.index.get_level_values("depth").isin(MIDDLE)]
    across, seeds = hidden[ACROSS].droplevel(0), hidden[SAME].unstack("depth").T
    labels = hidden[TRUE_RANDOM].droplevel(0) - hidden[RANDOM].droplevel(0)
    passed = table[table["kind"] == SAME].groupby("depth")["bulk_ok"].all()
    fits = networks.set_index("network")["train_accuracy"]
    tests = networks.set_index("network")["test_accuracy"]
    return {
        "cifar10_test": tests[[f"{DATA[0]} {i}" for i in range(2)]].mean(),
        "imagenet_a_test": tests[[f"{DATA[1]} {i}" for i in range(2)]].mean(),
        "random_labels_fitted": fits[[f"random labels {i}" for i in range(2)]].min(),
        "layers_with_noise_bulk": " ".join(map(str, passed[passed].index)),
        "seeds": seeds.mean().mean(),
        "data_sets": across.mean(),
        "smallest_margin_of_seeds": (seeds.min(axis=1) - across).min(),
        "fall_with_depth": spearmanr(range(7), means[ACROSS].droplevel(0).iloc[1:]).statistic,
        "random_labels_a_b": hidden[RANDOM].mean(),
        "true_and_random_labels": hidden[TRUE_RANDOM].mean(),
        "layers_where_labels_tell": f"{(labels < 0).sum()} of {len(labels)}",
    }


def drawn(table: pd.DataFrame) -> Figure:
    """Draw similarity against depth, a colour a rate: seeds, data sets, labels; crosses where no noise is left."""
    with matplotlib.rc_context(journal(columns=2.0, ratio=0.4)):
        figure = Figure(layout="constrained")
        axes = figure.subplots(1, 3, sharey=True)
        panels = ((SAME, "-", 0), (ACROSS, "-", 1), (RANDOM, "-", 2), (TRUE_RANDOM, ":", 2))
        for index, (rate, rows) in enumerate(table.groupby("rate")):
            style = series(index)
            for kind, line, panel in panels:
                found = rows[rows["kind"] == kind].groupby("depth")[["similarity", "bulk_ok"]].mean()
                label = f"{rate:g}" if panel == 0 else None
                axes[panel].plot(
                    found.index, found["similarity"], **{**style, "linestyle": line}, label=label
                )
                failed = found[found["bulk_ok"] < 1]
                axes[panel].plot(failed.index, failed["similarity"], "x", color=style["color"], markersize=9)
        titles = (
            "two seeds, same data",
            "CIFAR-10, Tiny-ImageNet",
            "random labels a, b (dotted: true, random)",
        )
        for ax, title in zip(axes, titles, strict=True):
            ax.axhline(0, color=GREY, linewidth=0.6)
            ax.set_title(title)
            ax.set(xlabel="layer", xticks=range(1, 9), ylim=(-0.1, 1.2))
        axes[0].set_ylabel("normalized similarity")
        axes[0].legend(title="peak rate (×: no bulk of noise)", title_fontsize="x-small")
        return figure


def main() -> None:
    """Parse, train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, action="append", metavar="ROLE=FOLDER")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.005, 0.01, 0.02])
    arguments = parser.parse_args()
    sources = dict(named.split("=", 1) for named in arguments.images)
    arguments.out.mkdir(parents=True, exist_ok=True)
    tables, networks, rows = [], [], []
    for rate in arguments.rates:
        table, accuracy = measured(at_rate(rate), sources, RunStore(arguments.store))
        tables.append(table.assign(rate=rate))
        networks.append(accuracy.assign(rate=rate))
        rows.append({"rate": rate} | conclusions(table, accuracy))
    for name, found in (
        ("pairs", pd.concat(tables)),
        ("networks", pd.concat(networks)),
        ("conclusions", pd.DataFrame(rows)),
    ):
        found.to_csv(arguments.out / f"{name}.csv", index=False, float_format="%.4g")
    save_figure(drawn(pd.concat(tables)), arguments.out / "learning_rate", {"rates": arguments.rates})
    print(pd.DataFrame(rows).T.to_string())


if __name__ == "__main__":
    main()

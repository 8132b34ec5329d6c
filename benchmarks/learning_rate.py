"""Do the conclusions about encodings move with the learning rate?

    python benchmarks/learning_rate.py --images cifar10=FOLDER --store STORE --out FOLDER [--rates .005 .01 .02]

Two seeds of the laptop recipe at several peak rates, everything else equal: does the bulk of each layer still look
like noise (without which nothing is calibrated), how much stands out, and how alike are the two seeds? Trainings
are kept in the store and shared with `covalign reproduce`. Writes ``learning_rate.csv`` and a figure.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from covalign.encoding.comparison import compare
from covalign.figures.saving import save_figure
from covalign.figures.similarity import mean_of_orders
from covalign.figures.style import GREY, journal, series
from covalign.papers.bench import Bench
from covalign.papers.scale import LAPTOP
from covalign.training.loop import train
from covalign.training.store import RunStore

SEEDS = (0, 1)
DATA = "cifar10"


def at_rate(bench: Bench, rate: float) -> pd.DataFrame:
    """Return a row per layer: accuracy, what stands out of the bulk, similarity of the two seeds."""
    spec = replace(LAPTOP.recipes["encoding"], learning_rate=rate)
    runs = [train(bench.read_from(replace(spec, seed=seed), DATA), bench.store) for seed in SEEDS]
    images = bench.images(DATA).sample(LAPTOP.images, 0)
    found = compare(dict(zip(("a", "b"), runs, strict=True)), images, max_images=None, controls=False)
    table = found.table.assign(rate=rate)
    table["similarity"] = mean_of_orders(table)
    table["test_accuracy"] = sum(run.history[-1].test_accuracy or 0.0 for run in runs) / len(runs)
    kept = ["rate", "test_accuracy", "depth", "bulk_ok", "kept_a", "kept_b", "effective_rank_a", "similarity"]
    return table[[*kept, "unaligned", "calibrated", "low", "high", "alignment_correlation"]]


def drawn(table: pd.DataFrame) -> Figure:
    """Draw similarity and number of kept eigenvalues against depth, a line a rate."""
    with matplotlib.rc_context(journal(columns=2.0, ratio=0.4)):
        figure = Figure(layout="constrained")
        left, right = figure.subplots(1, 2)
        for index, (rate, rows) in enumerate(table.groupby("rate")):
            accuracy = rows["test_accuracy"].iloc[0]
            style = series(index)
            left.plot(rows["depth"], rows["similarity"], label=f"{rate:g} ({accuracy:.0%} test)", **style)
            failed = rows[~rows["bulk_ok"]]
            left.plot(failed["depth"], failed["similarity"], "x", color=style["color"], markersize=9)
            right.plot(rows["depth"], (rows["kept_a"] + rows["kept_b"]) / 2, **style)
        left.axhline(0, color=GREY, linewidth=0.6)
        left.set(xlabel="layer", ylabel="normalized similarity of two seeds", ylim=(-0.1, 1.1))
        left.legend(title="peak rate; crosses: no bulk of noise left", title_fontsize="x-small")
        right.set(xlabel="layer", ylabel="eigenvalues above the bulk")
        return figure


def main() -> None:
    """Parse, train what is missing, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, metavar="cifar10=FOLDER")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.005, 0.01, 0.02])
    arguments = parser.parse_args()
    role, _, source = arguments.images.partition("=")
    bench = Bench(LAPTOP, {role: source}, RunStore(arguments.store))
    table = pd.concat([at_rate(bench, rate) for rate in arguments.rates], ignore_index=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "learning_rate.csv", index=False, float_format="%.4g")
    save_figure(drawn(table), arguments.out / "learning_rate", {"rates": arguments.rates, "seeds": SEEDS})
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()

"""Which recipes make networks more universal, and do their features carry over better?

    python benchmarks/study_recipes.py run --images DATA --conditions DATA DATA [--minutes 60]
    python benchmarks/study_recipes.py report

A recipe is trained on each of two data sets with three seeds. Its *universality score* (U_12 between the data sets
over U_12 within them, `covalign.encoding.universal.score`) is taken layer by layer, all six networks in common
coordinates that are found on both sets' images. *Transfer* is the accuracy of a readout, fitted as in
`study_universal.py` on the frozen features of the last stage, on a third data set: 50 images a class, drawn by the
seed; ridge's strength is chosen on images that are used for nothing else.

The question of two rank correlations over recipes: does the score foretell transfer, and does it beyond what the
accuracy on a recipe's own data foretells (partial rank correlation)? Intervals are of a bootstrap over recipes.

Every recipe changes one thing of the first. All see 8,000 images, but where the name says otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import cells
import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import rankdata, spearmanr
from universal_starts import Data, data
from universal_training import features, fitted

from covalign import RunStore, TrainingSpec, load_images, train
from covalign.data.mixture import mixture
from covalign.figures.style import GREY, journal, series
from covalign.studies.universal.measure import universal_encoding

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "universal" / "recipes"
PER_CLASS = 50
SEEDS = 3
BASE = TrainingSpec(
    width=0.125,
    max_images=4000,
    resolution=32,
    epochs=2,
    batch_size=64,
    learning_rate=0.02,
    schedule="one-cycle",
    precision="float32",
)
FEW = replace(BASE, max_images=400, epochs=20, flip=False, crop_padding=0)
RECIPES = {
    "base": BASE,
    "rate .005": replace(BASE, learning_rate=0.005),
    "rate .08": replace(BASE, learning_rate=0.08),
    "width .0625": replace(BASE, width=0.0625),
    "width .25": replace(BASE, width=0.25),
    "no augmentation": replace(BASE, flip=False, crop_padding=0),
    "weight decay .002": replace(BASE, weight_decay=0.002),
    "constant rate": replace(BASE, schedule="constant", learning_rate=0.005),
    "four classes": replace(BASE, classes=4, max_images=1600, epochs=5),
    "16,000 images seen": replace(BASE, epochs=4),
    "8,000 different images": replace(BASE, max_images=8000, epochs=1),
    "400 images, 20 times": FEW,
    "400 images, random labels": replace(FEW, labels="uniform"),
    "half photographs": BASE,
}
MIXED = "half photographs"
ALIGNED_ON = 500
TRIES = 2000


@dataclass(frozen=True, order=True)
class Cell:
    """One network, or the score of a recipe, which has no condition and no seed."""

    part: str
    recipe: str
    condition: int
    seed: int


def spec_of(cell: Cell, conditions: list[str], folder: Path) -> TrainingSpec:
    """Return a training; no two networks of a recipe start alike."""
    images = conditions[cell.condition]
    if cell.recipe == MIXED:
        images = str(mixed(images, folder))
    return replace(RECIPES[cell.recipe], images=images, seed=100 * cell.condition + cell.seed)


def mixed(images: str, folder: Path) -> Path:
    """Write a set of which one half is embedded photographs, with classes of their own."""
    path = folder / f"{Path(images).name} and photographs.npz"
    if not path.exists():
        half = BASE.max_images // 2
        one = load_images(images, "train", resolution=32).sample(half, seed=0)
        two = load_images("photos", "train", resolution=32).sample(half, seed=0)
        pixels = torch.cat([one.pixels, two.pixels]).movedim(1, -1)
        labels = torch.cat([one.labels, two.labels + len(one.classes)])
        np.savez(path, images=pixels.numpy(), labels=labels.numpy())
    return path


def network(cell: Cell, conditions: list[str], folder: Path, store: RunStore, third: Data) -> dict[str, Any]:
    """Train one network and fit a readout on the third set."""
    run = train(spec_of(cell, conditions, folder), store, progress=False)
    module, few = run.module(), third.few(PER_CLASS, cell.seed)
    seen = {"few": few, "held": third.held, "test": third.test}
    found = fitted({name: features(module, each.pixels) for name, each in seen.items()}, few, third)
    last = run.history[-1]
    return {
        "key": run.key,
        "transfer": found["accuracy"],
        "own_train": last.train_accuracy,
        "own_test": last.test_accuracy,
    }


def score(cell: Cell, conditions: list[str], folder: Path, store: RunStore) -> dict[str, Any]:
    """Score a recipe, layer by layer."""
    runs, by = {}, {}
    for condition, seed in product(range(len(conditions)), range(1, SEEDS + 1)):
        name = f"{condition}-{seed}"
        spec = spec_of(replace(cell, condition=condition, seed=seed), conditions, folder)
        runs[name], by[name] = train(spec, store, progress=False), str(condition)
    sets = [load_images(each, "train", resolution=32) for each in conditions]
    images = mixture(sets, max_images=ALIGNED_ON, seed=0)
    found = universal_encoding(runs, images, by=by, max_images=ALIGNED_ON)
    rows = found.rows
    return {
        "score": [row.score for row in rows],
        "low": [row.low for row in rows],
        "high": [row.high for row in rows],
        "reason": [row.reason for row in rows],
        "explained": [row.explained for row in rows],
        "explained_untrained": [row.explained_untrained for row in rows],
    }


def wanted() -> Iterator[Cell]:
    """Yield all cells, a recipe at a time."""
    for recipe in RECIPES:
        for seed, condition in product(range(1, SEEDS + 1), range(2)):
            yield Cell("network", recipe, condition, seed)
        yield Cell("score", recipe, 0, 0)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a recipe: its score, the median of layers beyond the first, and how its features carry over."""
    rows = []
    networks = table[table["part"] == "network"].groupby("recipe")
    for each in table[table["part"] == "score"].itertuples():
        own = networks.get_group(each.recipe)
        scores, lows, highs = (np.array(getattr(each, name), float)[1:] for name in ("score", "low", "high"))
        beyond = np.array(each.explained, float)[1:] - np.array(each.explained_untrained, float)[1:]
        mean, low, high = cells.interval(own["transfer"])
        rows.append(
            {
                "recipe": each.recipe,
                "score": np.nanmedian(scores) if np.isfinite(scores).any() else float("nan"),
                "layers": int(np.isfinite(scores).sum()),
                "of_layers": len(scores),
                "half_width": np.nanmedian((highs - lows) / 2) if np.isfinite(lows).any() else float("nan"),
                "explained": float(np.nanmean(beyond)),
                "own_train": own["own_train"].mean(),
                "own_test": own["own_test"].mean(),
                "transfer": mean,
                "low": low,
                "high": high,
            }
        )
    found = pd.DataFrame(rows)
    return found.sort_values("transfer", ascending=False, ignore_index=True)


def partial(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Rank correlation of what is left of x and y once a line in the ranks of a third is taken away."""
    ranks = [rankdata(each) - (len(each) + 1) / 2 for each in (x, y, given)]
    spread = ranks[2] @ ranks[2]
    if not spread:
        return float("nan")
    left = [each - ranks[2] * (each @ ranks[2]) / spread for each in ranks[:2]]
    norm = np.sqrt((left[0] @ left[0]) * (left[1] @ left[1]))
    return float(left[0] @ left[1] / norm) if norm > 1e-9 else float("nan")


def correlations(found: pd.DataFrame) -> pd.DataFrame:
    """Return what foretells transfer over recipes, with intervals."""
    whole = found.dropna(subset=["score"])
    measures = {
        "score": lambda t: spearmanr(t["score"], t["transfer"]).statistic,
        "explained": lambda t: spearmanr(t["explained"], t["transfer"]).statistic,
        "own_test": lambda t: spearmanr(t["own_test"], t["transfer"]).statistic,
        "score, given own_test": lambda t: partial(
            *(t[n].to_numpy() for n in ("score", "transfer", "own_test"))
        ),
        "explained, given own_test": lambda t: partial(
            *(t[n].to_numpy() for n in ("explained", "transfer", "own_test"))
        ),
    }
    draw, rows = np.random.default_rng(0), []
    drawn = [whole.iloc[draw.integers(len(whole), size=len(whole))] for _ in range(TRIES)]
    for name, measure in measures.items():
        low, high = np.nanpercentile([measure(each) for each in drawn], [2.5, 97.5])
        rows.append(
            {"foretells": name, "recipes": len(whole), "rho": measure(whole), "low": low, "high": high}
        )
    return pd.DataFrame(rows)


def draw(found: pd.DataFrame) -> Figure:
    """Transfer against what might foretell it; a point a recipe, numbered as in the table."""
    measures = {
        "score": "universality score",
        "explained": "explained by the others",
        "own_test": "accuracy on its own data",
    }
    with matplotlib.rc_context(journal(2.0, 0.42)):
        figure = Figure(layout="constrained")
        axes = figure.subplots(1, len(measures), sharey=True)
        arms = [found["transfer"] - found["low"], found["high"] - found["transfer"]]
        for ax, (name, label) in zip(axes, measures.items(), strict=True):
            style = {**series(0), "linestyle": "none"}
            ax.errorbar(found[name], found["transfer"], yerr=arms, elinewidth=0.6, **style)
            for number, row in enumerate(found.itertuples(), 1):
                place = (getattr(row, name), row.transfer)
                if np.isfinite(place[0]):
                    ax.annotate(
                        f"{number}", place, xytext=(3, 2), textcoords="offset points", fontsize=6, color=GREY
                    )
            ax.set(xlabel=label)
            ax.margins(x=0.12)
        axes[0].set_ylabel("accuracy of a readout\non the third set")
    return figure


def page(found: pd.DataFrame, foretold: pd.DataFrame) -> str:
    """Return the page."""
    lines = [
        "# Which recipes make networks more universal?",
        "",
        "Made by `benchmarks/study_recipes.py`, whose head says how: CIFAR-10 and `tiny-imagenet-40a`, three seeds "
        "of each; transfer to `tiny-imagenet-40b`, 50 images a class, chance .025. The score is the median over "
        "layers beyond the first that have one; ± is the median half width of their 95 % intervals over networks. "
        "Explained is the share of each network that the others explain, less that of untrained ones. Transfer with "
        "its 95 % interval (Student) over six networks.",
        "",
        "| | recipe | score | layers | explained | own data, train / test | transfer |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, row in enumerate(found.itertuples(), 1):
        value = "withheld" if pd.isna(row.score) else f"{row.score:.2f}"
        reach = "" if pd.isna(row.half_width) else f" ± {row.half_width:.2f}"
        lines.append(
            f"| {number} | {row.recipe} | {value}{reach} | {row.layers} of {row.of_layers} | {row.explained:.3f} "
            f"| {row.own_train:.2f} / {row.own_test:.2f} "
            f"| {row.transfer:.3f}{cells.between(row.low, row.high, '.3f')} |"
        )
    lines += ["", "![Transfer against score](recipes.png)", ""]
    lines += ["Rank correlations with transfer over recipes that have a score, bootstrap over recipes:", ""]
    lines += ["| what foretells | recipes | rank correlation |", "|---|---|---|"]
    for row in foretold.itertuples():
        lines.append(
            f"| {row.foretells} | {row.recipes} | {row.rho:+.2f}{cells.between(row.low, row.high, '+.2f')} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure or report."""
    parser = cells.arguments(__doc__.split("\n")[0], "universal-recipes", RESULTS)
    parser.add_argument("--conditions", nargs=2, default=[], help="two sets that recipes are trained on")
    given = parser.parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        third, store = data(given.images), RunStore(given.cells / "store")
        at = (list(given.conditions), given.cells, store)
        cells.measure(
            wanted(),
            given.cells,
            given.minutes,
            lambda cell: score(cell, *at) if cell.part == "score" else network(cell, *at, third),
        )
    else:
        table = cells.table_of(given.cells, ["part", "recipe", "condition", "seed"])
        found = summary(table)
        foretold = correlations(found)
        cells.write(given.out, "recipes", table, found, draw(found), page(found, foretold))
        foretold.to_csv(given.out / "correlations.csv", index=False, float_format="%.3f", lineterminator="\n")


if __name__ == "__main__":
    main()

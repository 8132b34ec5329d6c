"""What does a universal encoding buy on data that it has never seen?

    python benchmarks/study_universal.py run --images DATA --store STORE --members KEY [KEY ...] [--minutes 60]
    python benchmarks/study_universal.py report

Every cell is one file, in an order in which those that decide come first; `run` goes on where it was interrupted and
stops after so many minutes. `report` writes table, figure and page of whatever there is, and says what is not.

The encoding is that which comes with the package; the data are 40 classes of Tiny ImageNet that no member saw. Of
every class the last 50 training images choose ridge and rate, and are used for nothing else; accuracy is that on the
validation images of the set, which decide nothing.

*Readout alone*: features are means over positions of the last stage, frozen; on them ridge regression on one-hot
labels, convex, its strength chosen on the images above. Weights: drawn from the encoding, aligned on 400 unlabelled
training images; the same without alignment (the covariances turned at random behind the first layer, whose
coordinates are the images'); PyTorch's default; orthogonal; members trained on other data. Norms of all but the
members measure their statistics on the same 400 images.

*Training*: SGD with Nesterov's momentum .9, one cycle, mirrored and shifted images. With few images a class 8,000 are
shown in batches of 40, with all of them 60,000 in batches of 80, which is 3.3 times each. Starts: PyTorch's default,
the encoding, whitening of the first layer's inputs (as in Jordan's airbench; half of its neurons are leading whitened
directions, half their negatives), orthogonal, one member, and evenly spaced neurons and channels of a network of
width .5 that was trained on other data as the members were (selection; Xu et al. 2024). Rates are chosen with seed
0; other seeds, which also draw the images, make the table. Held images judge every training ten times along its way,
which decides nothing.

Cells were measured on two machines (column `torch`). On first and second, of seed 1 with 50 images a class:
readout from the encoding .1945, .1945; trained from the default .2065, .1975, from the encoding .267, .2765, from a
member (itself trained anew) .312, .3195.

Not run, since batch norms take scales away: Kaiming's initialization, which is then PyTorch's default with Gaussian
instead of uniform entries, and LSUV, which is then orthogonal.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cells
import torch
import universal_curves
from universal_page import COLUMNS, draw, page, summary
from universal_starts import Sources, data
from universal_training import BUDGETS, READOUT, SEEDS, STARTS, Cell, measured

from covalign import load_encoding
from covalign.figures.saving import save_figure
from covalign.storage.provenance import environment
from covalign.training.store import RunStore

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "universal" / "transfer"
MARKS = 10
"""Times along a training that held images judge it."""


def chosen_rate(folder: Path, method: str, per_class: int) -> float | None:
    """Return the best rate of seed 0 on held images; None where not all were tried."""
    scores = {}
    for rate in BUDGETS[per_class].rates:
        path = cells.file_of(folder, Cell("training", method, per_class, rate, 0))
        if not path.exists():
            return None
        scores[rate] = json.loads(path.read_text(encoding="utf-8"))["chosen_on"]
    return max(scores, key=scores.__getitem__)


def decided_rate(folder: Path, method: str, per_class: int) -> float:
    """Return the rate that another study takes from this one; end the program where it is not known yet."""
    rate = chosen_rate(folder, method, per_class)
    if rate is None:
        raise SystemExit(f"no rate is chosen for {method!r}: run study_universal.py first")
    return rate


def takes_rates(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a study be told where the cells of this one are."""
    parser.add_argument(
        "--rates", type=Path, default=Path("build/universal-transfer"), help="what chose them"
    )
    return parser


def wanted(folder: Path, methods: tuple[str, ...]) -> Iterator[Cell]:
    """Yield all cells, those that decide first; rates of a budget are known once its seed 0 is measured."""
    for per_class in (50, 0):
        yield from readouts(methods, per_class)
    for per_class, budget in BUDGETS.items():
        for method in (each for each in STARTS if each in methods):
            yield from (Cell("training", method, per_class, rate, 0) for rate in budget.rates)
        for seed in range(1, SEEDS + 1):
            for method in (each for each in STARTS if each in methods):
                if rate := chosen_rate(folder, method, per_class):
                    yield Cell("training", method, per_class, rate, seed)


def readouts(methods: tuple[str, ...], per_class: int) -> Iterator[Cell]:
    """Yield the readouts of one budget."""
    for seed in range(1, SEEDS + 1):
        yield from (Cell("readout", each, per_class, 0.0, seed) for each in READOUT if each in methods)


def main() -> None:
    """Measure or report."""
    parser = cells.arguments(__doc__.split("\n")[0], "universal-transfer", RESULTS)
    parser.add_argument("--store", type=Path)
    parser.add_argument(
        "--members", nargs="+", default=[], help="keys of trainings on other data, one a seed"
    )
    parser.add_argument(
        "--larger",
        nargs="+",
        default=[],
        help="keys of wider trainings on other data, for --methods selection",
    )
    parser.add_argument("--methods", nargs="+", default=[*dict.fromkeys((*READOUT, *STARTS))])
    given = parser.parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        methods = tuple(each for each in given.methods if each != "selection" or given.larger)
        sources = Sources(
            load_encoding(given.encoding), RunStore(given.store), tuple(given.members), tuple(given.larger)
        )
        images, asked = data(given.images), wanted(given.cells, methods)
        cells.measure(asked, given.cells, given.minutes, lambda cell: measured(cell, sources, images, MARKS))
    else:
        table = cells.table_of(given.cells, ["part", "per_class", "method", "rate", "seed"])
        found, along = summary(table).reindex(columns=COLUMNS), universal_curves.curves(table)
        whole = page(found, table) + universal_curves.section(along)
        cells.write(given.out, "transfer", table.drop(columns="curve"), found, draw(found), whole)
        along.to_csv(given.out / "curves.csv", index=False, float_format="%.5g", lineterminator="\n")
        save_figure(universal_curves.draw(along), given.out / "curves", {"environment": environment()})


if __name__ == "__main__":
    main()

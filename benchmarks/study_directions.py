r"""Does a start from an encoding help on every set of images, or on the one it was tried on?

    covalign universal build KEY ... --store STORE --images DATA --images DATA --out encoding.safetensors
    python benchmarks/study_directions.py run --images DATA --encoding encoding.safetensors --store STORE \
        --members KEY [KEY ...]
    python benchmarks/study_directions.py report

`study_universal.py` builds on CIFAR-10 and one half of Tiny ImageNet and judges on the other. Here the encoding is
built on two of the three sets and judged on the third, whichever that is: of every set three networks of one recipe
(8,000 images, six epochs), by different seeds. Starts, readout and training are those of `study_universal.py` with
50 images a class, and so are the rates, which its set chose: nothing is tuned on the sets that judge here.

`run` measures one direction, named after the folder of its images, and goes on where it was interrupted; `report`
joins all directions that were measured.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cells
import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure
from study_universal import decided_rate, takes_rates
from universal_starts import Data, Sources, data
from universal_training import Cell as Measured
from universal_training import measured

from covalign import load_encoding
from covalign.figures.style import GREY, journal, series
from covalign.training.store import RunStore

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "universal" / "directions"
PER_CLASS, SEEDS = 50, 5
METHODS = ("default", "encoding", "member")
PARTS = ("readout", "training")


@dataclass(frozen=True, order=True)
class Cell:
    """One number: of which set, by a readout alone or by training all weights, from which start."""

    judged: str
    part: str
    method: str
    seed: int


def wanted(judged: str) -> Iterator[Cell]:
    """Yield all cells of a direction, those of every seed together."""
    for seed in range(1, SEEDS + 1):
        for part in PARTS:
            yield from (Cell(judged, part, method, seed) for method in METHODS)


def measure(sources: Sources, images: Data, cell: Cell, rates: Path) -> dict[str, Any]:
    """Measure one network."""
    rate = decided_rate(rates, cell.method, PER_CLASS) if cell.part == "training" else 0.0
    found = measured(Measured(cell.part, cell.method, PER_CLASS, rate, cell.seed), sources, images)
    return {"rate": rate, "classes": len(images.test.classes), **found}


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds with intervals, and differences from PyTorch's default, seed by seed."""
    rows = []
    for (judged, part), alike in table.groupby(["judged", "part"]):
        by_seed = alike.pivot_table(index="seed", columns="method", values="accuracy")
        for method in (each for each in METHODS if each in by_seed):
            level = cells.interval(by_seed[method].dropna())
            apart = (by_seed[method] - by_seed["default"]).dropna() if "default" in by_seed else pd.Series()
            beyond = cells.interval(apart) if method != "default" and len(apart) else (float("nan"),) * 3
            chance = 1 / alike["classes"].iloc[0]
            rows.append((judged, part, method, chance, int(by_seed[method].count()), *level, *beyond))
    names = ("judged", "part", "start", "chance", "seeds", "accuracy", "low", "high")
    return pd.DataFrame(rows, columns=[*names, "beyond_default", "beyond_low", "beyond_high"])


def draw(found: pd.DataFrame) -> Figure:
    """Accuracy with its interval, a panel a set."""
    with matplotlib.rc_context(journal(2.0, 0.42)):
        figure = Figure(layout="constrained")
        groups = list(found.groupby("judged"))
        for ax, (judged, rows) in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
            for index, (part, each) in enumerate(rows.groupby("part")):
                arms = [each["accuracy"] - each["low"], each["high"] - each["accuracy"]]
                x = [METHODS.index(start) + 0.12 * (index - 0.5) for start in each["start"]]
                style = {**series(index), "linestyle": "none"}
                label = {"readout": "readout alone"}.get(str(part), "all weights trained")
                ax.errorbar(x, each["accuracy"], yerr=arms, capsize=2, label=label, **style)
            ax.axhline(rows["chance"].iloc[0], color=GREY, linewidth=0.6, label="chance")
            ax.set_xticks(range(len(METHODS)), METHODS)
            ax.set(title=f"judged on {judged}", ylabel="accuracy", ylim=(0, None))
        figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def page(found: pd.DataFrame) -> str:
    """Return the page."""
    lines = [
        "# The other directions",
        "",
        "Made by `benchmarks/study_directions.py`, whose head says how: the encoding is built on two sets and judged "
        "on the third, which no member saw, with 50 images a class; rates were chosen on another set. Means over "
        "seeds with 95 % intervals (Student), and the difference from PyTorch's default, seed by seed.",
        "",
        "| judged on | chance | | start | seeds | accuracy | beyond default |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found.itertuples():
        reach = cells.between(row.low, row.high, ".3f")
        apart = cells.between(row.beyond_low, row.beyond_high, "+.3f")
        beyond = "" if row.start == "default" else f"{row.beyond_default:+.3f}{apart}"
        lines.append(
            f"| {row.judged} | {row.chance:.3f} | {row.part} | {row.start} | {row.seeds} | "
            f"{row.accuracy:.3f}{reach} | {beyond} |"
        )
    lines += [
        "",
        "A direction has one encoding, of three networks from each of the two other sets: intervals are over draws "
        "from it and over images, not over encodings. Members are those networks in turn, so that their interval "
        "holds the difference between the sets that they were trained on. The third direction, judged on "
        "`tiny-imagenet-40b`, is in [transfer](../transfer), with ten networks.",
    ]
    return "\n".join([*lines, "", "![Accuracies](directions.png)", ""])


def main() -> None:
    """Measure or report."""
    parser = takes_rates(cells.arguments(__doc__.split("\n")[0], "universal-directions", RESULTS))
    parser.add_argument("--store", type=Path)
    parser.add_argument(
        "--members", nargs="+", default=[], help="keys of trainings on other data, one a seed"
    )
    given = parser.parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        sources = Sources(load_encoding(given.encoding), RunStore(given.store), tuple(given.members))
        images = data(given.images)
        cells.measure(
            wanted(Path(given.images).name),
            given.cells,
            given.minutes,
            lambda cell: measure(sources, images, cell, given.rates),
        )
    else:
        table = cells.table_of(given.cells, ["judged", "part", "method", "seed"])
        found = summary(table)
        cells.write(given.out, "directions", table, found, draw(found), page(found))


if __name__ == "__main__":
    main()

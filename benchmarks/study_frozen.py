"""How few numbers need to be learned where the directions of every layer are preset and frozen?

    python benchmarks/study_frozen.py run --images DATA --rates CELLS [--minutes 60]
    python benchmarks/study_frozen.py report

Data, budget and training are those of `study_universal.py` with 50 images a class. Of every layer W = C B: the rows
of B ``[r, d]`` are orthonormal and frozen, the coefficients C ``[n, r]`` are learned, the readout as well. B holds
the leading r eigenvectors of the encoding's covariance, carried into the new network by the alignment of its inputs
on 400 unlabelled images as it is drawn layer by layer, or r random directions. C starts as drawn from the encoding,
or as PyTorch's default seen through B at its full length; rates are those that `study_universal.py` chose for these
two starts where all weights are learned. A layer has at most as many directions as the encoding keeps.
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
from torch import Tensor, nn
from torch.nn.utils import parametrize
from universal_starts import ENTER, Data, data
from universal_training import Cell as Trained
from universal_training import trained

from covalign import UniversalEncoding, load_encoding, vgg11
from covalign.encoding.haar import haar_frame
from covalign.figures.style import GREY, journal, series
from covalign.networks.readers.opening import read_network
from covalign.storage.streams import stream
from covalign.studies.inputs import layer_inputs
from covalign.studies.structure import hidden_layers
from covalign.studies.universal.filling import Target, fill, settle_norms

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "universal" / "frozen"
PER_CLASS, SEEDS = 50, 3
BASES = {"universal": "encoding", "random": "default"}
"""And the start whose rate is taken."""
RANKS = (16, 64, 176)


@dataclass(frozen=True, order=True)
class Cell:
    """One training."""

    basis: str
    rank: int
    seed: int


class InBasis(nn.Module):
    """Weights as coefficients of frozen orthonormal directions ``[r, d]``."""

    def __init__(self, basis: Tensor) -> None:
        super().__init__()
        self.register_buffer("basis", basis)

    def forward(self, coefficients: Tensor) -> Tensor:
        """Return the weights ``[n, d, 1, 1]``."""
        return (coefficients @ self.basis)[:, :, None, None]

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return coefficients whose weights are the part of these that the directions span."""
        return weight.flatten(1) @ self.basis.T


def aligned_bases(
    target: Target, encoding: UniversalEncoding, sample: Tensor, rank: int, seed: int
) -> list[Tensor]:
    """Draw all layers from an encoding, and return its leading directions in the coordinates of each."""
    reference = encoding.reference.network()
    own = hidden_layers(reference)

    def coordinates(index: int, batch: Tensor) -> Tensor:
        return layer_inputs([(reference, own[index])], batch)[id(reference), own[index].name]

    _, rotations = fill(target, encoding.layers, coordinates, sample, sample, seed)
    return [
        torch.linalg.qr(rotation.T @ part.factor[:, :rank].double()).Q.T
        for part, rotation in zip(encoding.layers, rotations, strict=True)
    ]


def start(cell: Cell, encoding: UniversalEncoding, images: Data) -> nn.Module:
    """Return a network whose layers are confined to their directions, its norms settled."""
    sample = images.unlabelled(cell.seed).pixels
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7_000_003 + cell.seed)
        classes = len(images.test.classes)
        module = vgg11(form="factorized", width=encoding.reference.spec["width"], classes=classes)
    network = read_network(module, normalization=ENTER)
    layers = hidden_layers(network)
    target = Target(module, network, layers, tuple(range(len(layers))), own_first=True)
    if cell.basis == "universal":
        bases = aligned_bases(target, encoding, sample, cell.rank, cell.seed)
    else:
        bases = [
            haar_frame(layer.channels, min(cell.rank, part.factor.shape[1]), draw).T
            for layer, part in zip(layers, encoding.layers, strict=True)
            for draw in [stream(cell.seed, "frozen", layer.name)]
        ]
    for layer, basis in zip(layers, bases, strict=True):
        confine(module.get_submodule(layer.name), basis.float())
    settle_norms(target, sample)
    return module


def confine(part: nn.Module, basis: Tensor) -> None:
    """Let a convolution learn coefficients of these directions, its weights as long as before."""
    length = part.weight.detach().norm()
    parametrize.register_parametrization(part, "weight", InBasis(basis))
    coefficients = part.parametrizations.weight.original
    with torch.no_grad():
        coefficients.mul_(length / coefficients.norm())


def learned(module: nn.Module) -> int:
    """Count the numbers that are learned."""
    return sum(each.numel() for each in module.parameters() if each.requires_grad)


def measure(encoding: UniversalEncoding, images: Data, cell: Cell, rates: Path) -> dict[str, Any]:
    """Train one network and judge it."""
    rate = decided_rate(rates, BASES[cell.basis], PER_CLASS)
    module = start(cell, encoding, images)
    as_there = Trained("frozen", cell.basis, PER_CLASS, rate, cell.seed)
    found = trained(module, as_there, images.few(PER_CLASS, cell.seed), images)
    return {"rate": rate, "learned": learned(module), **found}


def wanted() -> Iterator[Cell]:
    """Yield all cells, those of every seed together."""
    for seed in range(1, SEEDS + 1):
        for rank in RANKS:
            for basis in BASES:
                yield Cell(basis, rank, seed)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds with intervals."""
    rows = []
    for (rank, basis), alike in table.groupby(["rank", "basis"]):
        reach = cells.interval(alike["accuracy"])
        rows.append((basis, rank, alike["learned"].iloc[0], len(alike), *reach))
    return pd.DataFrame(rows, columns=["basis", "rank", "learned", "seeds", "accuracy", "low", "high"])


def draw(found: pd.DataFrame) -> Figure:
    """Accuracy against the number of learned parameters."""
    with matplotlib.rc_context(journal(1.0, 0.75)):
        figure = Figure(layout="constrained")
        ax = figure.subplots()
        for index, (basis, rows) in enumerate(found.groupby("basis", sort=False)):
            arms = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
            ax.errorbar(
                rows["learned"],
                rows["accuracy"],
                yerr=arms,
                capsize=2,
                label=f"{basis} directions",
                **series(index),
            )
        ax.axhline(1 / 40, color=GREY, linewidth=0.6)
        ax.set(xlabel="numbers learned", ylabel="accuracy", xscale="log", ylim=(0, 0.35))
        ax.legend(loc="upper left")
    return figure


def page(found: pd.DataFrame) -> str:
    """Return the page."""
    lines = [
        "# Directions preset and frozen, coefficients learned",
        "",
        "Made by `benchmarks/study_frozen.py`, whose head says how; 50 images a class of 40 classes of Tiny ImageNet "
        "that no member saw. Chance is .025. Means over seeds with 95 % intervals (Student).",
        "",
        "| directions a layer | which | numbers learned | seeds | accuracy |",
        "|---|---|---|---|---|",
    ]
    for row in found.itertuples():
        reach = cells.between(row.low, row.high, ".3f")
        lines.append(
            f"| {row.rank} | {row.basis} | {row.learned:,} | {row.seeds} | {row.accuracy:.3f}{reach} |"
        )
    return "\n".join([*lines, "", "![Accuracies](frozen.png)", ""])


def main() -> None:
    """Measure or report."""
    parser = takes_rates(cells.arguments(__doc__.split("\n")[0], "universal-frozen", RESULTS))
    given = parser.parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        encoding, images = load_encoding(given.encoding), data(given.images)
        cells.measure(
            wanted(), given.cells, given.minutes, lambda cell: measure(encoding, images, cell, given.rates)
        )
    else:
        table = cells.table_of(given.cells, ["basis", "rank", "seed"])
        found = summary(table)
        cells.write(given.out, "frozen", table, found, draw(found), page(found))


if __name__ == "__main__":
    main()

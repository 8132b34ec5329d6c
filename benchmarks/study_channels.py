"""A network for another number of input channels: sum the kernels, average them, or draw from the encoding?

    python benchmarks/study_channels.py run --images DATA --store STORE --members KEY [KEY ...] [--minutes 60]
    python benchmarks/study_channels.py report

Data, budget and training are those of `study_universal.py` with 50 images a class; rates are those that it chose for
three channels. Images have 1 channel (grey), 4 (RGB and an infrared-like one, 2 G - B) or 8 (RGB, the same a pixel
later, infrared-like and grey), each in units of its own deviation.

Starts: PyTorch's default; all layers drawn from the encoding, the first from the closed form on 400 unlabelled
images;
one member trained on RGB of other data, its norms measured anew on the same 400 images, its first layer

- "sum": the kernels of one channel are the sum over RGB (timm's rule for one channel),
- "average": those of every channel are the mean over RGB,
- "repeat": those of RGB in turn, times 3 / channels (timm's rule for more than three),
- "copy": those of RGB as they are, zero for what is new.

A norm stands behind the first layer, so that sum and average are the same network of one channel but for
the size of steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cells
import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure
from study_universal import decided_rate, takes_rates
from torch import Tensor, nn
from universal_starts import Data, Sources, data
from universal_training import Cell as Trained
from universal_training import trained

from covalign import init_, load_encoding, vgg11
from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.figures.style import GREY, journal, series
from covalign.networks.readers.opening import read_network
from covalign.studies.structure import hidden_layers
from covalign.studies.universal.filling import Target, settle_norms
from covalign.training.store import RunStore, load_run

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "universal" / "channels"
PER_CLASS, SEEDS = 50, 3
CHANNELS = (4, 1, 8)
MEMBER = {1: ("sum", "average"), 4: ("repeat", "average", "copy"), 8: ("repeat", "average", "copy")}


@dataclass(frozen=True, order=True)
class Cell:
    """One training."""

    channels: int
    method: str
    seed: int


def seen(pixels: Tensor, channels: int) -> Tensor:
    """Return RGB images as a sensor of other channels would show them."""
    red, green, blue = (pixels[:, c].float() for c in range(3))
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    infrared = 2 * green - blue
    later = pixels.float().roll(1, -1)
    rgb = [red, green, blue]
    kinds = {1: [grey], 4: [*rgb, infrared], 8: [*rgb, *later.unbind(1), infrared, grey]}
    return torch.stack(kinds[channels], 1).round().clamp(0, 255).to(torch.uint8)


def with_channels(images: Data, channels: int) -> Data:
    """Return the same images with other channels."""

    def turned(part: Images) -> Images:
        return replace(part, pixels=seen(part.pixels, channels))

    return Data(turned(images.train), turned(images.held), turned(images.test))


def own_normalization(pixels: Tensor) -> Normalization:
    """Mean and deviation of every channel."""
    values = pixels.double() / 255
    mean, std = values.mean((0, 2, 3)).tolist(), values.std((0, 2, 3)).tolist()
    return Normalization("own", tuple(mean), tuple(std))


def first_layer(weight: Tensor, channels: int, rule: str) -> Tensor:
    """Return the pointwise weights ``[c_out, channels k]`` that a rule makes of those of RGB, ``[c_out, 3 k]``."""
    rgb = weight.flatten(1).reshape(len(weight), 3, -1)
    if rule == "copy":
        new = torch.cat([rgb, rgb.new_zeros(len(rgb), channels - 3, rgb.shape[2])], 1)
    elif rule == "repeat":
        new = rgb[:, torch.arange(channels) % 3] * 3 / channels
    else:
        one = rgb.sum(1) if rule == "sum" else rgb.mean(1)
        new = one[:, None].expand(-1, channels, -1)
    return new.reshape(len(weight), -1, 1, 1)


def start(cell: Cell, sources: Sources, images: Data, enter: Normalization) -> nn.Module:
    """Return a network, its norms settled; nothing of it has seen a label of this set."""
    classes, sample = len(images.test.classes), images.unlabelled(cell.seed)
    spec = sources.encoding.reference.spec
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9_000_011 + cell.seed)
        module = vgg11(form="factorized", width=spec["width"], classes=classes, in_channels=cell.channels)
    if cell.method == "encoding":
        init_(module, sources.encoding, sample, seed=cell.seed, normalization=enter)
        return module
    if cell.method != "default":
        run = load_run(sources.members[cell.seed % len(sources.members)], sources.store)
        fill_from(module, run.module(), cell)
    network = read_network(module, normalization=enter)
    settle_norms(Target(module, network, hidden_layers(network), (), own_first=True), sample.pixels)
    return module


def fill_from(module: nn.Module, member: nn.Module, cell: Cell) -> None:
    """Give a network what a member learned, and a first layer by the cell's rule."""
    name = hidden_layers(read_network(member))[0].name + ".weight"
    new, own = module.state_dict(), member.state_dict()
    kept = {k: v for k, v in own.items() if not k.startswith("head.") and v.shape == new[k].shape}
    kept[name] = first_layer(own[name], cell.channels, cell.method)
    module.load_state_dict({**new, **kept})


def methods(channels: int) -> tuple[str, ...]:
    """Return starts that are tried."""
    return "encoding", "default", *MEMBER[channels]


def measure(sources: Sources, rgb: Data, cell: Cell, rates: Path) -> dict[str, Any]:
    """Train one network and judge it."""
    kind = cell.method if cell.method in ("encoding", "default") else "member"
    rate = decided_rate(rates, kind, PER_CLASS)
    images = with_channels(rgb, cell.channels)
    enter = own_normalization(images.unlabelled(cell.seed).pixels)
    module = start(cell, sources, images, enter)
    as_there = Trained("channels", cell.method, PER_CLASS, rate, cell.seed)
    return {"rate": rate, **trained(module, as_there, images.few(PER_CLASS, cell.seed), images, enter)}


def wanted() -> Iterator[Cell]:
    """Yield all cells, those of every seed together."""
    for seed in range(1, SEEDS + 1):
        for channels in CHANNELS:
            for method in methods(channels):
                yield Cell(channels, method, seed)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds with intervals, and how far the encoding is beyond each start, seed by seed."""
    rows = []
    for channels, of_channels in table.groupby("channels"):
        by_seed = of_channels.pivot_table(index="seed", columns="method", values="accuracy")
        for method in (each for each in methods(int(channels)) if each in by_seed):
            mean, low, high = cells.interval(by_seed[method].dropna())
            apart = (by_seed["encoding"] - by_seed[method]).dropna()
            beyond = cells.interval(apart) if method != "encoding" and len(apart) else (float("nan"),) * 3
            rows.append((channels, method, int(by_seed[method].count()), mean, low, high, *beyond))
    names = ("channels", "method", "seeds", "accuracy", "low", "high")
    return pd.DataFrame(rows, columns=[*names, "encoding_beyond", "beyond_low", "beyond_high"])


def draw(found: pd.DataFrame) -> Figure:
    """Accuracy with its interval, a panel a number of channels."""
    with matplotlib.rc_context(journal(2.0, 0.42)):
        figure = Figure(layout="constrained")
        groups = list(found.groupby("channels"))
        axes = figure.subplots(1, len(groups), squeeze=False, sharey=True)[0]
        for ax, (channels, rows) in zip(axes, groups, strict=True):
            arms = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
            style = {**series(0), "linestyle": "none"}
            ax.errorbar(range(len(rows)), rows["accuracy"], yerr=arms, capsize=2, **style)
            ax.axhline(1 / 40, color=GREY, linewidth=0.6)
            ax.set_xticks(range(len(rows)), list(rows["method"]), rotation=30)
            ax.set(title=f"{channels} channel{'s' if channels > 1 else ''}", ylim=(0, None))
        axes[0].set_ylabel("accuracy")
    return figure


def page(found: pd.DataFrame) -> str:
    """Return the page."""
    lines = [
        "# Another number of input channels",
        "",
        "Made by `benchmarks/study_channels.py`, whose head says how; 50 images a class of 40 classes of Tiny "
        "ImageNet that no member saw. Chance is .025. Means over seeds with 95 % intervals (Student), and how far "
        "the encoding is beyond each start, seed by seed.",
        "",
        "| channels | start | seeds | accuracy | encoding beyond it |",
        "|---|---|---|---|---|",
    ]
    for row in found.itertuples():
        reach = cells.between(row.low, row.high, ".3f")
        apart = cells.between(row.beyond_low, row.beyond_high, "+.3f")
        beyond = "" if row.method == "encoding" else f"{row.encoding_beyond:+.3f}{apart}"
        lines.append(
            f"| {row.channels} | {row.method} | {row.seeds} | {row.accuracy:.3f}{reach} | {beyond} |"
        )
    return "\n".join([*lines, "", "![Accuracies](channels.png)", ""])


def main() -> None:
    """Measure or report."""
    parser = takes_rates(cells.arguments(__doc__.split("\n")[0], "universal-channels", RESULTS))
    parser.add_argument("--store", type=Path)
    parser.add_argument("--members", nargs="+", default=[], help="keys of trainings on other data")
    given = parser.parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        sources = Sources(load_encoding(given.encoding), RunStore(given.store), tuple(given.members))
        rgb = data(given.images)
        cells.measure(
            wanted(), given.cells, given.minutes, lambda cell: measure(sources, rgb, cell, given.rates)
        )
    else:
        table = cells.table_of(given.cells, ["channels", "method", "seed"])
        found = summary(table)
        cells.write(given.out, "channels", table, found, draw(found), page(found))


if __name__ == "__main__":
    main()

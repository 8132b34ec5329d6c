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

*Training*, by the same number of images whatever the budget: SGD with Nesterov's momentum .9, one cycle, mirrored and
shifted images, batches of 40. Starts: PyTorch's default, the encoding, whitening of the first layer's inputs (as
in Jordan's airbench; half of its neurons are leading whitened directions, half their negatives), orthogonal, one
member. Rates are chosen with seed 0; other seeds, which also draw the images, make the table.

Not run, since batch norms take scales away: Kaiming's initialization, which is then PyTorch's default with Gaussian
instead of uniform entries, and LSUV, which is then orthogonal.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cells
import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure
from study_universal_own import RIDGES, ridge
from torch import Tensor, nn

from covalign import UniversalEncoding, init_, load_encoding, vgg11
from covalign.data.augmentation import augment
from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.normalization import Normalization, normalization
from covalign.encoding.haar import haar_frame
from covalign.figures.style import GREY, journal, series
from covalign.networks.readers.opening import read_network
from covalign.storage.streams import stream
from covalign.studies.inputs import layer_inputs
from covalign.studies.structure import hidden_layers
from covalign.studies.universal.drawing import drawn_rows
from covalign.studies.universal.filling import Target, settle_norms
from covalign.training.store import RunStore, load_run

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "universal" / "transfer"
ENTER = normalization("imagenet")
HELD = 50
"""Training images of every class that choose ridge and rate."""
ALIGNED_ON = 400
SEEDS = 5
COLUMNS = ["part", "per_class", "method", "seeds", "accuracy", "low", "high"]
COLUMNS += ["beyond_default", "beyond_low", "beyond_high"]
RATES = (0.003, 0.01, 0.03, 0.1)
SHOWN, BATCH = 8000, 40
"""Images that a training sees, whatever its budget, and those of a step."""
READOUT = ("encoding", "default", "unaligned", "orthogonal", "member")
STARTS = ("default", "encoding", "member", "whitening", "orthogonal")
FEW = (50, 10)


@dataclass(frozen=True, order=True)
class Cell:
    """One number that is measured: ``per_class`` 0 means all, ``rate`` 0 that only the readout is fitted."""

    part: str
    method: str
    per_class: int
    rate: float
    seed: int


@dataclass(frozen=True)
class Data:
    """Images to train on, those that choose, and those that judge; and which are drawn."""

    train: Images
    held: Images
    test: Images

    def few(self, per_class: int, seed: int) -> Images:
        """Draw so many images of every class; 0 takes all."""
        if not per_class:
            return self.train
        chosen = []
        for label in range(len(self.train.classes)):
            own = (self.train.labels == label).nonzero()[:, 0]
            chosen.append(
                own[torch.randperm(len(own), generator=stream(seed, "few", per_class, label))[:per_class]]
            )
        return self.train.take(torch.cat(chosen))

    def unlabelled(self, seed: int) -> Images:
        """Images on which networks are aligned and norms measured."""
        return self.train.sample(ALIGNED_ON, seed=seed)


@dataclass(frozen=True, eq=False)
class Sources:
    """Where starts come from."""

    encoding: UniversalEncoding
    store: RunStore
    members: tuple[str, ...]


def data(images: str) -> Data:
    """Split a set."""
    train, test = (load_images(images, split, resolution=32) for split in ("train", "test"))
    held = torch.zeros(len(train), dtype=torch.bool)
    for label in range(len(train.classes)):
        held[(train.labels == label).nonzero()[-HELD:, 0]] = True
    return Data(train.take((~held).nonzero()[:, 0]), train.take(held.nonzero()[:, 0]), test)


def start(method: str, sources: Sources, images: Data, seed: int) -> nn.Module:
    """Return a network of a method, its norms settled; nothing of it has seen a label of this set."""
    classes, sample = len(images.test.classes), images.unlabelled(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7_000_003 + seed)
        module = vgg11(form="factorized", width=sources.encoding.reference.spec["width"], classes=classes)
    if method == "member":
        member = load_run(sources.members[seed % len(sources.members)], sources.store)
        own = {k: v for k, v in member.module().state_dict().items() if not k.startswith("head.")}
        module.load_state_dict({**module.state_dict(), **own})
        return module
    if method == "encoding":
        init_(module, sources.encoding, sample, seed=seed, max_images=ALIGNED_ON)
        return module
    network = read_network(module, normalization=ENTER)
    layers = hidden_layers(network)
    target = Target(module, network, layers, (), own_first=True)
    with torch.no_grad():
        for index, layer in enumerate(layers):
            weight = module.get_submodule(layer.name).weight
            if method == "orthogonal":
                nn.init.orthogonal_(weight, generator=stream(seed, "orthogonal", index))
            elif method == "unaligned":
                weight.copy_(turned_at_random(sources.encoding, index, weight, seed))
            elif method == "whitening" and index == 0:
                inputs = layer_inputs([(network, layer)], sample.pixels)[id(network), layer.name]
                weight.copy_(whitening(inputs.movedim(1, -1).flatten(0, -2), weight))
    settle_norms(target, sample.pixels)
    return module


def turned_at_random(encoding: UniversalEncoding, index: int, weight: Tensor, seed: int) -> Tensor:
    """Draw a layer of the encoding whose covariance is turned at random; the first keeps its coordinates."""
    part, draw = encoding.layers[index], stream(seed, "unaligned", index)
    rotation = haar_frame(part.channels, part.channels, draw) if index else torch.eye(part.channels).double()
    rows, _ = drawn_rows(part, rotation, len(weight), part.kernel, draw)
    return rows.reshape(weight.shape)


def whitening(inputs: Tensor, weight: Tensor) -> Tensor:
    """Leading directions of what a layer receives over their standard deviations, and their negatives."""
    rows = inputs.double()
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    count = len(weight) // 2
    kept = (vectors / (values + 1e-4 * values[-1]).sqrt()).flip(1)[:, :count].T
    both = torch.cat([kept, -kept])
    return (both * weight.square().mean().sqrt() / both.square().mean().sqrt()).reshape(weight.shape)


def features(module: nn.Module, pixels: Tensor) -> Tensor:
    """Means over positions of the last stage, ``[n, d]``."""
    module.eval()
    with torch.no_grad():
        return torch.cat([module.stages(ENTER(part)).mean((2, 3)) for part in pixels.split(200)]).double()


def right(scores: Tensor, images: Images) -> float:
    """Share of images whose class has the highest score."""
    return float((scores.argmax(1) == images.labels).double().mean())


def fitted(seen: dict[str, Tensor], few: Images, images: Data) -> dict[str, float]:
    """Fit the readout, its strength chosen on held images, and judge it."""
    mean, deviation = seen["few"].mean(0), seen["few"].std(0) + 1e-8
    x, held, test = ((seen[name] - mean) / deviation for name in ("few", "held", "test"))
    y = nn.functional.one_hot(few.labels, len(few.classes)).double()
    y = y - y.mean(0)
    best = max((*RIDGES, 10.0), key=lambda strength: right(held @ ridge(x, y, strength), images.held))
    found = ridge(x, y, best)
    return {
        "accuracy": right(test @ found, images.test),
        "chosen_on": right(held @ found, images.held),
        "ridge": best,
    }


def trained(
    module: nn.Module, cell: Cell, few: Images, images: Data, enter: Normalization = ENTER
) -> dict[str, float]:
    """Train and judge."""
    steps = SHOWN // BATCH
    optimizer = torch.optim.SGD(module.parameters(), lr=cell.rate, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, cell.rate, total_steps=steps, pct_start=0.25)
    draw, order = stream(cell.seed, "training", cell.per_class), torch.zeros(0, dtype=torch.int64)
    module.train()
    loss = torch.zeros(())
    for _ in range(steps):
        if len(order) < BATCH:
            order = torch.randperm(len(few), generator=draw)
        now, order = order[:BATCH], order[BATCH:]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(
            module(enter(augment(few.pixels[now], draw))), few.labels[now], label_smoothing=0.0
        )
        loss.backward()
        optimizer.step()
        schedule.step()
    module.eval()
    with torch.no_grad():
        scores = {
            name: torch.cat([module(enter(part)) for part in each.pixels.split(200)])
            for name, each in (("held", images.held), ("test", images.test))
        }
    return {
        "accuracy": right(scores["test"], images.test),
        "chosen_on": right(scores["held"], images.held),
        "loss": float(loss.detach()),
    }


def readout(cell: Cell, sources: Sources, images: Data) -> dict[str, float]:
    """Fit the readout of one network."""
    module, few = start(cell.method, sources, images, cell.seed), images.few(cell.per_class, cell.seed)
    parts = {"few": few, "held": images.held, "test": images.test}
    return fitted({name: features(module, each.pixels) for name, each in parts.items()}, few, images)


def measured(cell: Cell, sources: Sources, images: Data) -> dict[str, float]:
    """Return what is found of a cell."""
    if cell.part == "readout":
        return readout(cell, sources, images)
    module = start(cell.method, sources, images, cell.seed)
    return trained(module, cell, images.few(cell.per_class, cell.seed), images)


def chosen_rate(folder: Path, method: str, per_class: int) -> float | None:
    """Return the best rate of seed 0 on held images; None where not all were tried."""
    scores = {}
    for rate in RATES:
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
    yield from readouts(methods, FEW[0])
    for per_class in FEW:
        for method in (each for each in STARTS if each in methods):
            yield from (Cell("training", method, per_class, rate, 0) for rate in RATES)
        for seed in range(1, SEEDS + 1):
            for method in (each for each in STARTS if each in methods):
                if rate := chosen_rate(folder, method, per_class):
                    yield Cell("training", method, per_class, rate, seed)
    yield from readouts(methods, 0)


def readouts(methods: tuple[str, ...], per_class: int) -> Iterator[Cell]:
    """Yield the readouts of one budget."""
    for seed in range(1, SEEDS + 1):
        yield from (Cell("readout", each, per_class, 0.0, seed) for each in READOUT if each in methods)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return means over seeds with intervals, and differences from PyTorch's default, seed by seed.

    Seed 0 chose the rates and is left out.
    """
    rows = []
    judged = table[table["seed"] > 0]
    for (part, per_class), alike in judged.groupby(["part", "per_class"]):
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
            for per_class, each in rows.groupby("per_class"):
                index = (FEW[0], 0, *FEW[1:]).index(per_class)
                x = [places[m] + 0.12 * (index - 0.5) for m in each["method"]]
                arms = [each["accuracy"] - each["low"], each["high"] - each["accuracy"]]
                style = {**series(index), "linestyle": "none"}
                label = f"{per_class} a class" if per_class else "450 a class"
                ax.errorbar(x, each["accuracy"], yerr=arms, label=label, capsize=2, **style)
            ax.axhline(1 / 40, color=GREY, linewidth=0.6)
            ax.set_xticks(list(places.values()), list(places), rotation=20)
            ax.set(title={"readout": "readout alone"}.get(part, part), ylabel="accuracy", ylim=(0, 0.38))
            ax.legend(loc="upper center", ncols=3)
    return figure


def missing(found: pd.DataFrame) -> list[str]:
    """Say in sentences what was not measured over all seeds."""
    have = {(row.part, row.method, row.per_class): row.seeds for row in found.itertuples()}
    wanted = [("readout", m, b) for m in READOUT for b in (50, 0)]
    wanted += [("training", m, b) for m in STARTS for b in FEW]
    counts = {each: have.get(each, 0) for each in wanted}
    return [
        f"{part} from {method}, {per_class or 'all'} a class: {count} of {SEEDS} seeds"
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
            "Rates, chosen on held images with seed 0 (where the best is the smallest, a smaller one may do better):",
            "",
        ]
        for (method, per_class), each in rates.groupby(["method", "per_class"]):
            tried = ", ".join(f"{r.rate:g}: {r.chosen_on:.3f}" for r in each.itertuples())
            lines.append(f"- {method}, {per_class} a class: {tried}")
        lines.append("")
    if absent := missing(found):
        lines += ["Not measured, or not over all seeds:", "", *(f"- {each}" for each in absent), ""]
    return "\n".join(lines)


def main() -> None:
    """Measure or report."""
    parser = cells.arguments(__doc__.split("\n")[0], "universal-transfer", RESULTS)
    parser.add_argument("--store", type=Path)
    parser.add_argument(
        "--members", nargs="+", default=[], help="keys of trainings on other data, one a seed"
    )
    parser.add_argument("--methods", nargs="+", default=[*dict.fromkeys((*READOUT, *STARTS))])
    given = parser.parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        sources = Sources(load_encoding(given.encoding), RunStore(given.store), tuple(given.members))
        images, asked = data(given.images), wanted(given.cells, tuple(given.methods))
        cells.measure(asked, given.cells, given.minutes, lambda cell: measured(cell, sources, images))
    else:
        table = cells.table_of(given.cells, ["part", "per_class", "method", "rate", "seed"])
        found = summary(table).reindex(columns=COLUMNS)
        cells.write(given.out, "transfer", table, found, draw(found), page(found, table))


if __name__ == "__main__":
    main()

"""How often does `lineage` find a relation that is there, and how often one that is not?

A family of small networks whose history is known, on the embedded photographs (four 3x3 convolutions of 16, 32,
32 and 48 channels with batch norm, and a readout; crops averaged to 16x16):

- independent: 26 seeds, half on each set of photographs, a readout of 5 classes each: 325 pairs;
- three bases, fine-tuned on the other set with a new readout for 10 to 3,000 steps, with and without frozen
  first two layers; pruned at 50 and 90 %; through int8; merged 50:50 with their own fine-tune; with a rank-2
  update of every layer; permuted and rescaled, alone and on top of fine-tunes;
- networks that start from the same untrained weights; distilled students; the same data in another
  architecture.

Every pair is judged from the two weight files alone. `--out` keeps the networks, so that an interrupted study
goes on; `--results` gets the tables and the figure.

    python benchmarks/study_lineage.py --out family --results docs/results/lineage
"""

import argparse
import copy
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file, save_file
from scipy.stats import binomtest
from torch import Tensor, nn

from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.normalization import Normalization
from covalign.data.pixels import box_average
from covalign.figures.style import GREY, MARKERS, PALETTE, journal
from covalign.studies.lineage.measure import lineage
from covalign.studies.lineage.record import Lineage
from covalign.studies.subjects import load_network

WIDTHS = (16, 32, 32, 48)
INDEPENDENT, BASES = 26, 3
STEPS = (10, 30, 100, 300, 1000, 3000)
PRETRAINING, BATCH, RATE = 300, 32, 0.05
FROZEN = 2
OTHER_WIDTHS = (12, 24, 24, 40, 40)


def network(classes: int = 5, seed: int = 0, widths: Sequence[int] = WIDTHS) -> nn.Sequential:
    torch.manual_seed(seed)
    parts: list[nn.Module] = []
    for index, (received, given) in enumerate(itertools.pairwise((3, *widths))):
        parts += [nn.Conv2d(received, given, 3, padding=1, bias=False), nn.BatchNorm2d(given), nn.ReLU()]
        parts += [nn.MaxPool2d(2)] if index in (1, 2) else []
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], classes))


def convolutions(model: nn.Module) -> list[nn.Conv2d]:
    return [part for part in model.modules() if isinstance(part, nn.Conv2d)]


def pixels(images: Images) -> Tensor:
    """Half the side, and about standardized."""
    return nn.functional.avg_pool2d(images.pixels.float() / 255, 2).sub(0.45).div(0.25)


def trained(
    model: nn.Module,
    images: Images,
    steps: int,
    seed: int,
    *,
    rate: float = RATE,
    teacher: nn.Module | None = None,
    after: Callable[[int], None] = lambda step: None,
) -> nn.Module:
    """Train with SGD; ``after`` is told the number of steps done."""
    generator = torch.Generator().manual_seed(seed)
    learned = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=rate, momentum=0.9, weight_decay=5e-4)
    inputs = pixels(images)
    for step in range(1, steps + 1):
        model.train()
        for part in model.modules():  # frozen layers keep their running averages as well
            if isinstance(part, nn.BatchNorm2d) and not part.weight.requires_grad:
                part.eval()
        chosen = torch.randint(len(inputs), (BATCH,), generator=generator)
        scores = model(inputs[chosen])
        if teacher is None:
            loss = nn.functional.cross_entropy(scores, images.labels[chosen])
        else:
            with torch.no_grad():
                wanted = teacher(inputs[chosen]).softmax(1)
            loss = nn.functional.cross_entropy(scores, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after(step)
    return model.eval()


class Family:
    """Trains what is not there yet, and keeps it by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images = {name: load_images(f"photos:{name}") for name in "ab"}
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """Return where a network is kept."""
        return self.folder / f"{name}.safetensors"

    def keep(self, name: str, model: nn.Module) -> None:
        """Write a network."""
        state = {key: value.contiguous() for key, value in model.state_dict().items()}
        save_file(state, self.path(name))

    def load(self, name: str, classes: int = 5) -> nn.Sequential:
        """Read a network."""
        model = network(classes)
        model.load_state_dict(load_file(self.path(name)))
        return model.eval()

    def make(self, name: str, build: Callable[[], nn.Module]) -> str:
        """Build and keep a network that is not there yet."""
        if not self.path(name).is_file():
            self.keep(name, build())
            print(name, flush=True)
        return name

    def build(self) -> None:
        """Make the whole family."""
        for seed in range(INDEPENDENT):
            data = "ab"[seed % 2]
            self.make(
                f"seed{seed}", lambda s=seed, d=data: trained(network(5, s), self.images[d], PRETRAINING, s)
            )
        for base in range(BASES):
            self.relatives(base)

    def relatives(self, base: int) -> None:
        """All that is made of one base (an even seed, trained on the first set)."""
        root, other = self.load(f"seed{2 * base}"), self.images["b"]
        name = f"base{base}"
        for frozen in (0, FROZEN):
            self.finetune(root, f"{name}-frozen{frozen}" if frozen else f"{name}-finetuned", base, frozen)
        for share in (0.5, 0.9):
            self.make(f"{name}-pruned{share:.0%}".rstrip("%"), lambda s=share: pruned(root, s))
            self.make(
                f"{name}-pruned{share:.0%}-retrained".replace("%", ""),
                lambda s=share: self.retrained(root, s),
            )
        self.make(f"{name}-int8", lambda: eight_bits(root))
        tuned = self.load(f"{name}-finetuned-300")
        self.make(f"{name}-merged", lambda: merged(root, tuned))
        self.make(f"{name}-merged-strangers", lambda: merged(root, self.load(f"seed{2 * base + 7}")))
        self.make(f"{name}-lora", lambda: self.low_rank(root, base))
        self.make(f"{name}-permuted", lambda: permuted(root, base))
        self.make(f"{name}-start", lambda: network(5, 2 * base))
        for steps in (100, 1000):
            tuned = self.load(f"{name}-finetuned-{steps}")
            self.make(f"{name}-permuted-finetuned-{steps}", lambda t=tuned: permuted(t, base))
        self.make(
            f"{name}-same-start",
            lambda: trained(network(5, 2 * base), other, PRETRAINING, 500 + base),
        )
        self.make(
            f"{name}-student",
            lambda: trained(network(5, 700 + base), self.images["a"], 600, 700 + base, teacher=root),
        )
        self.make(
            f"{name}-other-architecture",
            lambda: trained(network(5, 800 + base, OTHER_WIDTHS), self.images["a"], PRETRAINING, base),
        )

    def finetune(self, root: nn.Sequential, name: str, base: int, frozen: int) -> None:
        """Fine-tune with a new readout, and keep what there is after each of `STEPS`."""
        if self.path(f"{name}-{STEPS[-1]}").is_file():
            return
        model = copy.deepcopy(root)
        torch.manual_seed(900 + base)
        model[-1] = nn.Linear(WIDTHS[-1], 5)
        for part in list(model.children())[: 3 * frozen]:
            part.requires_grad_(False)

        def after(step: int) -> None:
            if step in STEPS:
                self.keep(f"{name}-{step}", model)
                print(f"{name}-{step}", flush=True)

        trained(model, self.images["b"], STEPS[-1], 900 + base, after=after)

    def retrained(self, root: nn.Module, share: float) -> nn.Module:
        """Pruned, then trained on with the zeros kept."""
        model = pruned(root, share)
        masks = [part.weight != 0 for part in convolutions(model)]

        @torch.no_grad()
        def after(step: int) -> None:
            for part, mask in zip(convolutions(model), masks, strict=True):
                part.weight.mul_(mask)

        return trained(model, self.images["a"], 100, 1, rate=RATE / 5, after=after)

    def low_rank(self, root: nn.Module, base: int) -> nn.Module:
        """Train an update of rank 2 for every convolution, alone."""
        model = copy.deepcopy(root).requires_grad_(False)
        for part in convolutions(model):
            torch.nn.utils.parametrize.register_parametrization(part, "weight", LowRank(part.weight, 2))
        trained(model, self.images["b"], 300, base, rate=RATE / 10)
        for part in convolutions(model):
            torch.nn.utils.parametrize.remove_parametrizations(part, "weight")
        return model


class LowRank(nn.Module):
    """W + U V."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        self.up = nn.Parameter(torch.zeros(rows, rank))
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return W + U V."""
        return weight + (self.up @ self.down).view_as(weight)


@torch.no_grad()
def pruned(root: nn.Module, share: float) -> nn.Module:
    model = copy.deepcopy(root)
    for part in convolutions(model):
        size = part.weight.abs()
        part.weight.mul_(size > size.flatten().kthvalue(round(share * size.numel())).values)
    return model


@torch.no_grad()
def eight_bits(root: nn.Module) -> nn.Module:
    model = copy.deepcopy(root)
    for part in convolutions(model):
        step = part.weight.abs().amax((1, 2, 3), keepdim=True) / 127
        part.weight.copy_((part.weight / step).round() * step)
    return model


@torch.no_grad()
def merged(one: nn.Module, two: nn.Module) -> nn.Module:
    model = copy.deepcopy(one)
    other = two.state_dict()
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_((value + other[name]) / 2)
    return model


@torch.no_grad()
def permuted(root: nn.Module, seed: int) -> nn.Module:
    """The same function: hidden channels in another order, and rescaled by factors of 1/2 to 2."""
    model = copy.deepcopy(root)
    generator = torch.Generator().manual_seed(seed)
    parts = [part for part in model if isinstance(part, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    for layer, norm, following in zip(parts[0::2], parts[1::2], parts[2::2], strict=False):
        order = torch.randperm(len(layer.weight), generator=generator)
        scale = 4 ** (torch.rand(len(order), generator=generator) - 0.5)
        layer.weight.copy_(layer.weight[order])
        for value in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            value.copy_(value[order])
        norm.weight.mul_(scale)
        norm.bias.mul_(scale)
        shape = (1, -1, *[1] * (following.weight.ndim - 2))
        following.weight.copy_(following.weight[:, order] / scale.view(shape))
    return model


def modules(family: Family) -> dict[str, nn.Module]:
    """What is judged with images, by name."""
    found: dict[str, nn.Module] = {}
    for base in range(BASES):
        found[f"base{base}"] = family.load(f"seed{2 * base}")
        found[f"base{base} same data"] = family.load(f"seed{2 * base + 8}")
        found[f"base{base} other data"] = family.load(f"seed{2 * base + 9}")
        found[f"base{base} untrained"] = network(5, 600 + base).eval()
        other = network(5, 0, OTHER_WIDTHS)
        other.load_state_dict(load_file(family.path(f"base{base}-other-architecture")))
        found[f"base{base} other architecture"] = other.eval()
    return found


def judged_with_images(family: Family) -> Iterator[dict[str, Any]]:
    """Judge networks with unrelated weights by what they learned."""
    images = family.images["a"]
    images = replace(images, pixels=box_average(images.pixels, 16))
    standard = Normalization("half side", (0.45,), (0.25,))
    networks = {
        name: load_network(model, name=name, normalization=standard)
        for name, model in modules(family).items()
    }
    for base, kind in itertools.product(
        range(BASES), ("same data", "other data", "other architecture", "untrained")
    ):
        found = lineage([networks[f"base{base}"], networks[f"base{base} {kind}"]], images, max_images=1000)
        yield row(f"independent, with images: {kind}", found)


def judged_relatives(family: Family) -> Iterator[dict[str, Any]]:
    """Judge every network with the one that it was made of, from their files alone."""
    for base in range(BASES):
        root, name = family.path(f"seed{2 * base}"), f"base{base}"
        for path in sorted(family.folder.glob(f"{name}-*.safetensors")):
            relation = path.stem.removeprefix(f"{name}-")
            yield row(relation, lineage([root, path]))
        start = family.path(f"{name}-start")
        yield row("same-start, with the start", lineage([root, family.path(f"{name}-same-start"), start]))
        tuned, pruned50 = (family.path(f"{name}-{kind}") for kind in ("finetuned-300", "pruned50"))
        yield row("siblings, with the parent", lineage([tuned, pruned50, root]))
        yield row("siblings", lineage([tuned, pruned50]))
        yield row("merge, with its parents", lineage([root, family.path(f"{name}-merged"), tuned]))


def judged_strangers(family: Family) -> Iterator[dict[str, Any]]:
    """Judge every two of the independent networks."""
    strangers = {seed: load_network(family.path(f"seed{seed}")) for seed in range(INDEPENDENT)}
    for one, two in itertools.combinations(range(INDEPENDENT), 2):
        yield row("independent", lineage([strangers[one], strangers[two]]))


def row(relation: str, found: Lineage) -> dict[str, Any]:
    """What is kept of a judgement: of the layers, those that count by themselves."""
    first = found.pairs.iloc[0]
    layers = found.layers[(found.layers["a"] == first["a"]) & (found.layers["b"] == first["b"])]
    hidden = layers[layers["telling"]]
    return {
        "relation": relation,
        "a": first["a"],
        "b": first["b"],
        "verdict": found.verdict,
        "p_value": found.p_value,
        "p_order": layers["p_order"].min(),
        "p_matched": layers["p_matched"].min(),
        "related": int(first["related"]),
        "tested": int(first["tested"]),
        "cosine": hidden["cosine"].mean(),
        "detectable": hidden["detectable"].min(),
        "how": first["how"],
        "ancestor": found.ancestor,
    }


def kept(path: Path, rows: Iterator[dict[str, Any]]) -> pd.DataFrame:
    """Return rows from a file, or make them and the file."""
    if not path.is_file():
        pd.DataFrame(list(rows)).to_csv(path, index=False)
    return pd.read_csv(path)


def summary(cells: pd.DataFrame) -> dict[str, Any]:
    """False relations with their exact binomial bound, and what was found of each relation."""
    strangers = cells[cells["relation"] == "independent"]
    false = int(strangers["verdict"].isin(["derived", "common_ancestor", "same_weights", "same_file"]).sum())
    bound = binomtest(false, len(strangers)).proportion_ci(0.9, "exact").high
    return {
        "independent pairs": len(strangers),
        "false relations": false,
        "rate at most, 95 % one-sided (Clopper and Pearson)": round(float(bound), 5),
        "expected at most at level 0.01": 0.01 * len(strangers),
        "verdicts": cells.groupby("relation")["verdict"]
        .value_counts()
        .unstack(fill_value=0)
        .to_dict("index"),
    }


def draw(cells: pd.DataFrame) -> Figure:
    """False relations by level, and what remains of a relation after fine-tuning."""
    figure = Figure(layout="constrained", figsize=(7.0, 2.7))
    left, right = figure.subplots(1, 2)
    strangers = cells[cells["relation"] == "independent"]
    for index, (name, label) in enumerate((("p_order", "files’ order"), ("p_matched", "matched"))):
        values = strangers[name].sort_values()
        shares = [(place + 1) / len(values) for place in range(len(values))]
        left.step(
            values, shares, where="post", color=PALETTE[index], label=f"smallest p of 5 layers, {label}"
        )
    values = strangers["p_value"].sort_values()
    left.step(
        values,
        [(place + 1) / len(values) for place in range(len(values))],
        where="post",
        color=PALETTE[2],
        label="corrected",
    )
    left.plot([1e-3, 1], [1e-3, 1], color=GREY, linewidth=0.8, label="uniform")
    left.set(
        xscale="log", yscale="log", xlim=(1e-3, 1), ylim=(1e-3, 1), xlabel="p", ylabel="share of pairs below"
    )
    left.legend(frameon=False, fontsize=6, loc="upper left")
    for index, (prefix, label) in enumerate((("finetuned", "all layers"), ("frozen2", "two layers frozen"))):
        rows = cells[cells["relation"].str.fullmatch(rf"{prefix}-\d+")]
        steps = rows["relation"].str.rpartition("-")[2].astype(int)
        mean = rows.groupby(steps)["cosine"].mean()
        right.plot(mean.index, mean, color=PALETTE[index], marker=MARKERS[index], label=label)
        right.scatter(steps, rows["cosine"], s=6, color=PALETTE[index])
    right.axhline(cells["detectable"].median(), color=GREY, linewidth=0.8, label="would have shown")
    right.set(xscale="log", ylim=(0, 1.03), xlabel="steps of fine-tuning", ylabel="mean cosine of neurons")
    right.legend(frameon=False, fontsize=6)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    family = Family(arguments.out)
    family.build()
    if arguments.results is None:
        return
    arguments.results.mkdir(parents=True, exist_ok=True)
    cells = pd.concat(
        [
            kept(arguments.out / "strangers.csv", judged_strangers(family)),
            kept(arguments.out / "relatives.csv", judged_relatives(family)),
            kept(arguments.out / "images.csv", judged_with_images(family)),
        ]
    )
    cells.to_csv(arguments.results / "cells.csv", index=False, float_format="%.5g")
    confusion = cells.groupby("relation")["verdict"].value_counts().unstack(fill_value=0)
    confusion.to_csv(arguments.results / "confusion.csv")
    (arguments.results / "verdict.json").write_text(json.dumps(summary(cells), indent=1) + "\n")
    with matplotlib.rc_context(journal(2.0)):
        figure = draw(cells)
        figure.savefig(arguments.results / "lineage.png")
        figure.savefig(arguments.results / "lineage.pdf")
    print(confusion.to_string())


if __name__ == "__main__":
    main()

"""Do networks share a subspace of weights, or only where they began?

    python benchmarks/study_subspace.py --conditions DATA DATA DATA DATA [--store build/subspace]

The Universal Weight Subspace Hypothesis (arXiv 2512.05117) takes leading singular directions of the weights of many
networks, mode by mode and in the coordinates in which they are stored, and finds that few hold most of them. What
would that look like where nothing is shared? The same recipe is trained on four data sets, once with four seeds
and once from one and the same start, and a direction's share is taken of the network that had no part in it:

    share(16) = mean_i sum_{r<=16} u_r^(-i) . S_i u_r^(-i),   S_i = mean of w w^T over neurons of unit length,

u^(-i) the leading eigenvectors of the mean of S_j over the other networks (mode of the inputs), or, for the mode of
the outputs, the same of the transposed matrices. Chance is 16/d. Beside it the share with the network's own weights
among those that the directions are taken from, as published figures are. Rows:

- *own starts*: the networks as they are stored; *turned*: the channels of each turned by a Haar rotation;
  *untrained*: their weights before training;
- *one start*: networks that began with the same weights; *one start, what was learned*: less these weights;
- *own starts, aligned*: in common coordinates that are found on layer inputs, never on weights.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure
from study_recipes import BASE
from torch import Tensor

from covalign import RunStore, load_images, train
from covalign.data.mixture import mixture
from covalign.encoding.universal.sharing import leading_directions, turned_at_random
from covalign.figures.saving import save_figure
from covalign.figures.style import GREY, journal, series
from covalign.progress import untold
from covalign.storage.provenance import environment
from covalign.storage.streams import stream
from covalign.studies.subjects import subjects
from covalign.studies.universal.members import Population, bases, population

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "universal" / "subspace"
DIRECTIONS = 16
ALIGNED_ON = 500


@dataclass(frozen=True, eq=False)
class Networks:
    """Trainings of one kind of start, and their layers as matrices ``[n, d]``, before training and after."""

    found: Population
    after: list[list[Tensor]]
    before: list[list[Tensor]]

    @classmethod
    def of(cls, conditions: Sequence[str], store: RunStore, *, one_start: bool) -> "Networks":
        """Train what is missing."""
        runs = {}
        for place, images in enumerate(conditions):
            spec = replace(BASE, images=images, seed=500 if one_start else 600 + place)
            runs[Path(images).name] = train(spec, store, progress=False)
        found = population(subjects(runs), {name: name for name in runs})
        after = [[layer.matrix for layer in layers] for layers in found.layers]
        before = [[_initial(layer.initial) for layer in layers] for layers in found.layers]
        return cls(found, after, before)


def _initial(weight: Tensor | None) -> Tensor:
    if weight is None:
        raise SystemExit("a training without its start: train it again")
    return weight.detach().double().flatten(1)


def unit(rows: Tensor) -> Tensor:
    """Rows of unit length; those that are zero are dropped."""
    norms = rows.norm(dim=1, keepdim=True)
    return (rows / norms)[norms[:, 0] > 0]


def shares(layer: Sequence[Tensor]) -> tuple[float, float]:
    """Return the share along the others' leading directions, and along those of all."""
    rows = [unit(each) for each in layer]
    together = leading_directions(rows, DIRECTIONS)[1]
    apart = []
    for i, own in enumerate(rows):
        others = leading_directions([each for j, each in enumerate(rows) if j != i], DIRECTIONS)[1]
        apart.append(float((own @ others).square().sum(1).mean()))
    along = [float((own @ together).square().sum(1).mean()) for own in rows]
    return sum(apart) / len(apart), sum(along) / len(along)


def turned(layer: Sequence[Tensor], index: int) -> list[Tensor]:
    """Turn the inputs of every network at random."""
    return [turned_at_random(each, 1, stream(0, "turned", index, i)) for i, each in enumerate(layer)]


def aligned(networks: Networks, images: Sequence[str]) -> list[list[Tensor]]:
    """Carry rows into common coordinates."""
    sample = mixture([load_images(each, "train", resolution=32) for each in images], max_images=ALIGNED_ON)
    common = bases(networks.found, sample, untold)
    return [
        [each.matrix @ rotation.T for each, rotation in zip(layers, basis.rotations, strict=True)]
        for layers, basis in zip(networks.found.layers, common, strict=True)
    ]


def kinds(own: Networks, one: Networks, images: Sequence[str]) -> Iterator[tuple[str, list[list[Tensor]]]]:
    """Yield what is looked at: layers of networks."""
    yield "own starts", own.after
    yield "own starts, turned", [turned(layer, index) for index, layer in enumerate(own.after)]
    yield "own starts, untrained", own.before
    yield "one start", one.after
    learned = [
        [w - v for w, v in zip(now, then, strict=True)]
        for now, then in zip(one.after, one.before, strict=True)
    ]
    yield "one start, what was learned", learned
    yield "own starts, aligned", aligned(own, images)


def measured(own: Networks, one: Networks, images: Sequence[str]) -> pd.DataFrame:
    """Return a row a kind, mode and layer."""
    rows = []
    for kind, layers in kinds(own, one, images):
        for depth, layer in enumerate(layers):
            modes = (
                {"inputs": layer} if "aligned" in kind else {"inputs": layer, "outputs": [w.T for w in layer]}
            )
            for mode, matrices in modes.items():
                d = matrices[0].shape[1]
                apart, together = shares(matrices)
                rows.append((kind, mode, depth, d, min(1.0, DIRECTIONS / d), apart, together))
    names = ["kind", "mode", "depth", "d", "chance", "share", "share_with_own"]
    return pd.DataFrame(rows, columns=names)


def draw(table: pd.DataFrame) -> Figure:
    """Share along the others' directions, layer by layer."""
    with matplotlib.rc_context(journal(2.0, 0.5)):
        figure = Figure(layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for ax, mode in zip(axes, ("inputs", "outputs"), strict=True):
            rows = table[table["mode"] == mode]
            for index, (kind, each) in enumerate(rows.groupby("kind", sort=False)):
                ax.plot(each["depth"] + 1, each["share"], label=kind, **series(index))
            chance = rows.drop_duplicates("depth")
            ax.plot(chance["depth"] + 1, chance["chance"], color=GREY, linestyle=":", label="chance, 16/d")
            ax.set(xlabel="layer", title=f"mode of the {mode}", ylim=(0, 1.05))
        axes[0].set_ylabel("share along the others'\n16 leading directions")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def page(table: pd.DataFrame, images: Sequence[str]) -> str:
    """Return the page."""
    deep = table[table["depth"] > 0].groupby(["kind", "mode"], sort=False)
    names = ", ".join(f"`{Path(each).name}`" for each in images)
    lines = [
        "# Is there a universal subspace of weights without alignment?",
        "",
        f"Made by `benchmarks/study_subspace.py`, whose head says how; four trainings a start on {names}. Means over "
        "all layers but the first, whose coordinates are those of the images.",
        "",
        "| networks | mode | along the others' 16 directions | with its own among them | chance |",
        "|---|---|---|---|---|",
    ]
    for (kind, mode), rows in deep:
        values = " | ".join(f"{rows[name].mean():.3f}" for name in ("share", "share_with_own", "chance"))
        lines.append(f"| {kind} | {mode} | {values} |")
    return "\n".join([*lines, "", "![Shares by layer](subspace.png)", ""])


def main() -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--conditions", nargs="+", required=True, help="data sets, one a network")
    parser.add_argument("--store", type=Path, default=Path("build") / "universal-subspace")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    store = RunStore(given.store)
    own, one = (Networks.of(given.conditions, store, one_start=each) for each in (False, True))
    table = measured(own, one, given.conditions)
    given.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.out / "table.csv", index=False, float_format="%.4f", lineterminator="\n")
    text = page(table, given.conditions)
    (given.out / "README.md").write_text(text, encoding="utf-8")
    save_figure(draw(table), given.out / "subspace", {"networks": 8, "environment": environment()})
    print(text)


if __name__ == "__main__":
    main()

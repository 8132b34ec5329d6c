"""What happens to spectra and encodings where networks become wide enough to interpolate?

    python benchmarks/study_width.py run --images DATA [--minutes 60]
    python benchmarks/study_width.py report

Guth and Menard announce a study of scale-free spectra at the interpolation threshold. Here the same few images, with
their labels or with random ones, are learned by networks of growing width, without augmentation, until the narrowest
no longer can. For every width: accuracy on training images, as the last epoch saw them, and on others; the debiased
similarity R of networks of different seeds, a mean over pairs and over the layers beyond the first where it is not
withheld; and how near the eigenvalues of the weight covariances are to a power law lambda_k ~ k^-alpha: alpha by
least squares in logarithms over ranks 2 to n/2, n the number of neurons, and the root mean square distance from the
line in decades, both also of the untrained weights. Means over layers of at least `FEWEST` neurons.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cells
import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from covalign import RunStore, TrainingSpec, compare, load_images, train
from covalign.figures.style import journal, series
from covalign.kernels.thin import squared_values
from covalign.networks.network import Layer
from covalign.studies.structure import hidden_layers
from covalign.studies.subjects import subjects

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "universal" / "width"
WIDTHS = (0.03125, 0.046875, 0.0625, 0.09375, 0.125)
SEEDS = 2
FEWEST = 16
ALIGNED_ON = 500
BASE = TrainingSpec(
    max_images=2000,
    resolution=32,
    epochs=20,
    batch_size=50,
    learning_rate=0.02,
    schedule="one-cycle",
    flip=False,
    crop_padding=0,
    precision="float32",
)
LABELS = ("uniform", "true")


@dataclass(frozen=True, order=True)
class Cell:
    """Networks of one width and kind of labels; all seeds see the same images with the same labels."""

    labels: str
    width: float


def power_law(weight: Tensor) -> tuple[float, float]:
    """Return the exponent of a layer's eigenvalues over ranks 2 to n/2, and the distance from it in decades."""
    values = squared_values(weight.detach().double().flatten(1))[1 : len(weight) // 2].numpy()
    x, y = np.log10(np.arange(2, len(values) + 2)), np.log10(values)
    slope, start = np.polyfit(x, y, 1)
    return -float(slope), float(np.sqrt(np.mean((y - start - slope * x) ** 2)))


def spectra(layers: list[Layer]) -> dict[str, float]:
    """Return means over layers."""
    after = [power_law(each.matrix) for each in layers if len(each.matrix) >= FEWEST]
    before = [
        power_law(each.initial) for each in layers if len(each.matrix) >= FEWEST and each.initial is not None
    ]
    names = ("alpha", "decades", "alpha_untrained", "decades_untrained")
    return dict(zip(names, [*map(float, np.mean(after, 0)), *map(float, np.mean(before, 0))], strict=True))


def measure(cell: Cell, images: str, store: RunStore) -> dict[str, Any]:
    """Train all seeds of a width, and compare them."""
    spec = replace(BASE, images=images, labels=cell.labels, width=cell.width)
    runs = {str(seed): train(replace(spec, seed=seed), store, progress=False) for seed in range(SEEDS)}
    sample = load_images(images, "train", resolution=32).sample(ALIGNED_ON, seed=1)
    found = compare(runs, sample, controls=False, calibrate=False, curves=False, layer_map=False).table
    deep = found[found["depth"] > found["depth"].min()]["debiased"]
    opened = subjects(runs)
    shapes = pd.DataFrame([spectra(list(hidden_layers(each.network))[1:]) for each in opened]).mean()
    last = [each.history[-1] for each in runs.values()]
    return {
        "parameters": sum(p.numel() for p in runs["0"].module().parameters() if p.requires_grad),
        "train": [each.train_accuracy for each in last],
        "loss": [each.train_loss for each in last],
        "test": [each.test_accuracy for each in last],
        "r": float(deep.mean()),
        "r_known": int(deep.notna().sum()),
        "r_wanted": len(deep),
        **shapes.to_dict(),
    }


def wanted() -> Iterator[Cell]:
    """Yield all cells."""
    for labels, width in itertools.product(LABELS, WIDTHS):
        yield Cell(labels, width)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row a cell, seeds averaged."""
    found = table.sort_values(["labels", "width"], ignore_index=True)
    for name in ("train", "loss", "test"):
        found[name] = found[name].map(np.mean)
    return found.drop(columns=["seconds", "torch"])


def draw(found: pd.DataFrame) -> Figure:
    """Accuracies, similarity, exponent and distance from a power law against width."""
    with matplotlib.rc_context(journal(2.0, 0.62)):
        figure = Figure(layout="constrained")
        axes = figure.subplots(2, 2, sharex=True).flat
        panels = {"train": "accuracy, training images", "r": "R of different seeds"}
        panels |= {"alpha": "exponent of the spectra", "decades": "decades from a power law"}
        for ax, (name, label) in zip(axes, panels.items(), strict=True):
            for index, (labels, rows) in enumerate(found.groupby("labels")):
                shown = "random labels" if labels == "uniform" else "true labels"
                ax.plot(rows["width"], rows[name], label=shown, **series(index))
            if f"{name}_untrained" in found:  # the same whatever the labels
                before = found.sort_values("width").drop_duplicates("width")
                ax.plot(before["width"], before[f"{name}_untrained"], label="untrained", **series(2))
            ax.set(ylabel=label, xscale="log")
            ax.set_ylim(0, None)
            ax.set_xticks(WIDTHS, [f"{each:.3f}"[1:] for each in WIDTHS])
            ax.minorticks_off()
            if name in ("alpha", "decades"):
                ax.set_xlabel("width")
        axes[2].legend()
    return figure


def page(found: pd.DataFrame) -> str:
    """Return the page."""
    lines = [
        "# Width, through the threshold of interpolation",
        "",
        "Made by `benchmarks/study_width.py`, whose head says how: 2,000 images of CIFAR-10 at 32 x 32, 20 epochs, "
        "two seeds a row.",
        "",
        "| labels | width | learned numbers | train | loss | test | R (rows known) | exponent, untrained "
        "| decades from a power law, untrained |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found.itertuples():
        similarity = "withheld" if pd.isna(row.r) else f"{row.r:.2f}"
        lines.append(
            f"| {'random' if row.labels == 'uniform' else row.labels} | {row.width:g} | {row.parameters:,} "
            f"| {row.train:.3f} | {row.loss:.3f} | {row.test:.3f} | {similarity} ({row.r_known} of {row.r_wanted}) "
            f"| {row.alpha:.2f}, {row.alpha_untrained:.2f} | {row.decades:.3f}, {row.decades_untrained:.3f} |"
        )
    return "\n".join([*lines, "", "![By width](width.png)", ""])


def main() -> None:
    """Measure or report."""
    given = cells.arguments(__doc__.split("\n")[0], "universal-width", RESULTS).parse_args()
    if given.what == "run":
        torch.set_num_threads(1)
        store = RunStore(given.cells / "store")
        cells.measure(wanted(), given.cells, given.minutes, lambda cell: measure(cell, given.images, store))
    else:
        table = cells.table_of(given.cells, ["labels", "width"])
        found = summary(table)
        cells.write(given.out, "width", table, found, draw(found), page(found))


if __name__ == "__main__":
    main()

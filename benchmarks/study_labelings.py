"""When do labels matter to the first layer, and can that be told from images and labels before training?

    python benchmarks/study_labelings.py --images CIFAR10 --store STORE --out docs/results/first-layer

For every labeling a network, and one of permuted labels on the same images: how far do their energy profiles agree?
What was fixed before any result was seen: the recipe (that of Chowers & Weiss 2023 at half the width, five epochs),
the list of labelings, and two predictors of the agreement (`predictors`). Trainings are kept in the store. Writes
``labelings.csv`` and a figure, and prints rank correlations.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from covalign.data.images import Images
from covalign.data.labels import select_classes
from covalign.data.loading import load_images
from covalign.data.normalization import NORMALIZATIONS
from covalign.figures.saving import save_figure
from covalign.figures.style import journal
from covalign.first_layer.dependence import label_dependence, predicted_agreement
from covalign.first_layer.energy import (
    EnergyProfile,
    correlation,
    energy_profile,
    profile_correlation,
    sampling_limit,
)
from covalign.first_layer.labelings import mean_patch_labels
from covalign.first_layer.patches import PatchCovariance, patch_covariance
from covalign.first_layer.prediction import fit_energy, linear_cnn_energy, linear_cnn_tau
from covalign.papers.first_layer.population import first_weight
from covalign.training.loop import train
from covalign.training.presets import preset
from covalign.training.run import Run
from covalign.training.store import RunStore

CIFAR = NORMALIZATIONS["cifar"]
EPOCHS, SUBSET = 5, 10_000
CLASSES = (("cat", "dog"), ("automobile", "truck"), ("airplane", "bird"))
PLANTED = ((0, 1.0), (5, 1.0), (12, 1.0), (5, 0.3))
RECIPE = replace(preset("first-layer-laptop"), epochs=EPOCHS)
PREDICTORS = ("exact", "signal", "exact, post hoc", "signal, post hoc")


@dataclass(frozen=True, eq=False)
class Labeling:
    """Training and test images with labels, and with which network of permuted labels it is compared."""

    name: str
    images: tuple[Images, Images]
    control: str


def labelings(images: tuple[Images, Images]) -> Iterator[Labeling]:
    """All labelings: true labels, pairs of classes, and labels planted in the average patch."""
    base = (images[0].sample(SUBSET, seed=0), images[1].sample(1000, seed=0))
    patches = patch_covariance(base[0], 3, normalization=CIFAR)
    yield Labeling("true", base, "true")
    for pair in CLASSES:
        chosen = (select_classes(images[0], pair), select_classes(base[1], pair))
        yield Labeling("/".join(pair), chosen, "/".join(pair))
    for component, strength in PLANTED:
        train_images, test_images = (
            mean_patch_labels(part, patches, component, strength, CIFAR, bins=10) for part in base
        )
        name = f"planted {component + 1}, strength {strength:g}"
        yield Labeling(name, (train_images, test_images), "true")


def learned(run: Run, patches: PatchCovariance) -> EnergyProfile:
    """The profile of what a run learned: final less initial weights."""
    return energy_profile(first_weight(run), patches, first_weight(run, 0))


def predictors(images: Images, patches: PatchCovariance, tau: float) -> dict[str, float]:
    """Two predictors of the agreement of true- and random-label profiles, fixed before any result was seen.

    "exact": the exact linear CNN with these labels and with random ones. "signal": f_i = (1 - exp(-tau a_i)) /
    sqrt(a_i) against f_i times the label signal.
    """
    dependence = label_dependence(images, patches, CIFAR)
    form = linear_cnn_energy(patches, tau, diagonal=True).energy
    exact, _ = predicted_agreement(dependence, patches, tau)
    return {"exact": exact, "signal": correlation(form * dependence.signal, form)}


def row(labeling: Labeling, own: Run, control: Run) -> dict[str, Any]:
    """Predicted beside measured agreement of one labeling.

    The predictors stand at the linear-CNN time that rate, width and steps imply; "post hoc" ones, added after
    the first results, at the time that fits the random-label profile.
    """
    images = labeling.images[0]
    patches = patch_covariance(images, 3, normalization=CIFAR)
    profiles = [learned(run, patches) for run in (own, control)]
    steps = EPOCHS * (len(images) // own.spec.batch_size)
    tau = linear_cnn_tau(own.spec.learning_rate, profiles[0].filters or 0, steps)
    fitted = fit_energy(profiles[1], patches, draws=1).tau
    post_hoc = predictors(images, patches, fitted * patches.positions)
    return {
        "labeling": labeling.name,
        "images": len(images),
        "classes": len(images.classes),
        "train_accuracy": own.history[-1].train_accuracy,
        "measured": profile_correlation(*profiles),
        "limit": sampling_limit(*profiles),
        **predictors(images, patches, tau),
        **{f"{key}, post hoc": value for key, value in post_hoc.items()},
        "fitted_time": fitted * float(patches.standard_deviations[0]) ** 2,
    }


def drawn(table: pd.DataFrame) -> Figure:
    """Draw measured against predicted agreement, a panel a predictor."""
    figure = Figure(layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, key in zip(axes, PREDICTORS, strict=False):
        for found in table.to_dict("records"):
            ax.plot(found[key], found["measured"], "o", label=found["labeling"])
        ax.set(xlabel=f"predicted agreement ({key})", ylabel="measured agreement")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = RunStore(options.store)
    images = (
        load_images(options.images, "train", resolution=32),
        load_images(options.images, "test", resolution=32),
    )
    every = list(labelings(images))
    own, controls = (
        {
            each.name: train(replace(RECIPE, labels=labels), store, images=each.images, progress=False)
            for each in every
            if labels == "true" or each.control == each.name
        }
        for labels in ("true", "permuted")
    )
    table = pd.DataFrame([row(each, own[each.name], controls[each.control]) for each in every])
    table.to_csv(options.out / "labelings.csv", index=False)
    with matplotlib.rc_context(journal(columns=2.0, ratio=0.48)):
        provenance = {"script": "benchmarks/study_labelings.py"}
        save_figure(drawn(table), options.out / "labelings", provenance)
    for key in PREDICTORS:
        rank, p_value = spearmanr(table[key], table["measured"])
        print(f"{key}: rank correlation {rank:.2f}, p = {p_value:.3f}, n = {len(table)}")


if __name__ == "__main__":
    main()

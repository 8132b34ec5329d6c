"""Do networks learn in their first layer what a linear CNN would, trained on the same images and labels?

    python benchmarks/study_linear_cnn.py --images CIFAR10 --store STORE

VGG-11 by the recipe of Chowers & Weiss (2023) at half the width, five epochs on all images, three seeds with true and
with permuted labels; beside each a linear CNN by the same recipe, one as the paper's model has it, and the exact
expectation over random labels at its best time. Trainings are kept in the store. Prints a Markdown table of the
correlation of energy profiles, mean and standard deviation over seeds.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from covalign.data.images import Images
from covalign.data.labels import random_labels
from covalign.data.loading import load_images
from covalign.data.normalization import NORMALIZATIONS
from covalign.first_layer.energy import EnergyProfile, energy_profile, profile_correlation
from covalign.first_layer.linear_cnn import one_hot, train_linear_cnn
from covalign.first_layer.patches import PatchCovariance, average_patches, patch_covariance
from covalign.first_layer.prediction import linear_cnn_energy
from covalign.papers.first_layer.population import first_weight
from covalign.training.loop import train
from covalign.training.presets import preset
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore

CIFAR = NORMALIZATIONS["cifar"]
SEEDS, EPOCHS = (0, 1, 2), 5


def recipe(labels: str, seed: int) -> TrainingSpec:
    """The recipe of one network; those of seed 0 train for ten epochs, of which five are taken."""
    epochs, kept = (10, (1, 2, 3, 5)) if seed == 0 else (EPOCHS, (1, 2, 3))
    return replace(
        preset("first-layer-laptop"),
        labels=labels,
        label_realization=seed if labels == "permuted" else 0,
        seed=seed,
        epochs=epochs,
        checkpoint_epochs=kept,
    )


def same_recipe(averages: Tensor, images: Images, spec: TrainingSpec, filters: int) -> tuple[Tensor, Tensor]:
    """Initial and final filters of a linear CNN, trained as the networks are.

    Convolution without bias, mean over positions, linear readout: the same initialization, steps, rate and
    loss, on average patches (all windows inside the image), which are all that such a network sees.
    """
    averages = averages.float()
    generator = torch.Generator().manual_seed(spec.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        convolution = nn.Linear(averages.shape[1], filters, bias=False)
        model = nn.Sequential(convolution, nn.Linear(filters, len(images.classes)))
    start = convolution.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=spec.learning_rate)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images), generator=generator).split(spec.batch_size):
            if len(batch) < spec.batch_size:
                continue
            loss = nn.functional.cross_entropy(model(averages[batch]), images.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return start, convolution.weight.detach().clone()


def fixed_readout(averages: Tensor, images: Images, spec: TrainingSpec, filters: int) -> Tensor:
    """Final filters of the paper's model: squared error, fixed readout, full batches.

    Each output has its own block of filters; the rate is a twentieth of the recipe's, which would diverge with full
    batches, and the steps are twenty times as many.
    """
    steps = 20 * EPOCHS * (len(images) // spec.batch_size)
    zero = torch.zeros(len(images.classes) * filters, averages.shape[1], dtype=torch.float64)
    targets = one_hot(images.labels, len(images.classes))
    return train_linear_cnn(averages, targets, zero, spec.learning_rate / 20, steps).weight


def best_time(profile: EnergyProfile, patches: PatchCovariance) -> float:
    """Best correlation with the exact linear CNN, in expectation over random labels, over all times."""
    times = torch.logspace(-3, 5, 65, dtype=torch.float64) / patches.average_variances.max()
    return max(profile_correlation(profile, linear_cnn_energy(patches, float(time))) for time in times)


def row(run: Run, images: Images, averages: Tensor, patches: PatchCovariance) -> dict[str, float]:
    """Correlation of a network's profile with those of the linear models."""
    if run.spec.labels != "true":
        images = random_labels(images, run.spec.label_realization, run.spec.labels)
    before = first_weight(run, 0)
    profile = energy_profile(first_weight(run, EPOCHS), patches, before)

    def agreement(weight: Tensor, start: Tensor | None = None) -> float:
        first = None if start is None else start.reshape(-1, *before.shape[1:])
        return profile_correlation(
            profile, energy_profile(weight.reshape(-1, *before.shape[1:]), patches, first)
        )

    start, end = same_recipe(averages, images, run.spec, len(before))
    return {
        "same recipe": agreement(end, start),
        "fixed readout, full batches": agreement(fixed_readout(averages, images, run.spec, len(before))),
        "exact expectation over random labels, best time": best_time(profile, patches),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True)
    parser.add_argument("--store", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = (
        load_images(options.images, "train", resolution=32),
        load_images(options.images, "test", resolution=32),
    )
    patches = patch_covariance(images[0], 3, normalization=CIFAR)
    averages = average_patches(images[0], 3, normalization=CIFAR)
    print("| labels | model | correlation |\n|-|-|-|")
    for labels in ("true", "permuted"):
        runs = [
            train(recipe(labels, seed), RunStore(options.store), images=images, progress=False)
            for seed in SEEDS
        ]
        table = pd.DataFrame([row(run, images[0], averages, patches) for run in runs])
        for model in table:
            mean, spread = table[model].mean(), table[model].std()
            print(f"| {labels} | {model} | {mean:.2f} ± {spread:.2f} |", flush=True)


if __name__ == "__main__":
    main()

"""What do trained first layers learn? Measured, predicted, and beside the numbers of Chowers & Weiss (2023).

    python benchmarks/first_layer_evidence.py --images FOLDER --resnets FOLDER --store STORE --out FOLDER

Trainings are kept in the store: what is there is read, what is missing is trained, what was interrupted is
finished. ``--only seeds|labelings|architectures`` trains one part and stops; ``--no-training`` reads what the
store has, however far it came. Writes ``results.json``, ``table.csv`` and figures.

What was fixed before any result was seen: the recipes, the list of labelings, and two predictors of the
agreement of true-label and random-label profiles (`predictors`).
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr
from torch import Tensor, nn

from covalign.data.images import Images
from covalign.data.labels import random_labels, select_classes
from covalign.data.loading import load_images
from covalign.data.normalization import NORMALIZATIONS
from covalign.errors import InputError
from covalign.figures import first_layer as panels
from covalign.figures.saving import save_figure
from covalign.figures.style import journal
from covalign.first_layer.dependence import label_dependence, predicted_agreement
from covalign.first_layer.energy import (
    EnergyProfile,
    consistency_table,
    correlation,
    energy_profile,
    profile_correlation,
    sampling_limit,
)
from covalign.first_layer.labelings import mean_patch_labels
from covalign.first_layer.linear_cnn import one_hot, train_linear_cnn
from covalign.first_layer.patches import PatchCovariance, average_patches, patch_covariance
from covalign.first_layer.prediction import PAPER_SEARCH, fit_energy, linear_cnn_energy, linear_cnn_tau
from covalign.report.rendering import json_bytes
from covalign.storage.provenance import environment
from covalign.studies.subjects import load_network
from covalign.training.loop import train
from covalign.training.machine import resolve
from covalign.training.presets import preset
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore, identity

CIFAR = NORMALIZATIONS["cifar"]
SEEDS = (0, 1, 2)
EPOCHS, KEPT = 5, (1, 2, 3)
LONG_EPOCHS, LONG_KEPT = 10, (1, 2, 3, 5)
ARCHITECTURES = ("vgg13", "vgg16", "resnet20")
SUBSET = 10_000
PAIRS = (("cat", "dog"), ("automobile", "truck"), ("airplane", "bird"))
PLANTED = ((0, 1.0), (5, 1.0), (12, 1.0), (5, 0.3))
PAPER = {"seeds": 0.99, "true vs random labels": 0.90, "trained vs initial": -0.13, "fit": 0.94}
TARGETS = {"seeds": 0.95, "true vs random labels": 0.85, "trained vs initial": 0.3, "fit": 0.9}


@dataclass(frozen=True, eq=False)
class Job:
    """A training: what it is called, its recipe, and its training and test images with true labels."""

    name: str
    spec: TrainingSpec
    images: tuple[Images, Images]


def recipe(**changes: Any) -> TrainingSpec:
    """The first-layer recipe at half the published width."""
    return replace(preset("first-layer-laptop"), **changes)


def seed_jobs(images: tuple[Images, Images]) -> Iterator[Job]:
    """Three seeds with true and with permuted labels; the first seed is trained for longer."""
    for seed in SEEDS:
        epochs, kept = (LONG_EPOCHS, LONG_KEPT) if seed == 0 else (EPOCHS, KEPT)
        for labels in ("true", "permuted"):
            realization = seed if labels == "permuted" else 0
            spec = recipe(
                epochs=epochs, seed=seed, labels=labels, label_realization=realization, checkpoint_epochs=kept
            )
            yield Job(f"{labels} {seed}", spec, images)


def architecture_jobs(base: tuple[Images, Images]) -> Iterator[Job]:
    """Deeper networks and a residual one, one seed each, on the images of the labelings."""
    for name in ARCHITECTURES:
        width = 1.0 if name == "resnet20" else 0.5
        yield Job(name, recipe(architecture=name, width=width, labels="true", epochs=EPOCHS), base)


def labelled_sets(images: tuple[Images, Images]) -> dict[str, tuple[Images, Images]]:
    """All labelings: true labels, pairs of classes, and labels planted in the average patch."""
    base = (images[0].sample(SUBSET, 0), images[1].sample(1000, 0))
    patches = patch_covariance(base[0], 3, normalization=CIFAR)
    sets = {"true": base}
    for pair in PAIRS:
        sets["/".join(pair)] = tuple(select_classes(part, pair) for part in (images[0], base[1]))
    for component, strength in PLANTED:
        sets[f"planted {component + 1}, strength {strength:g}"] = tuple(
            mean_patch_labels(part, patches, component, strength, CIFAR, bins=10) for part in base
        )
    return sets


def labeling_jobs(sets: dict[str, tuple[Images, Images]]) -> Iterator[Job]:
    """A network for each labeling, and one for permuted labels of each set of images and class counts."""
    for name, images in sets.items():
        yield Job(name, recipe(labels="true", epochs=EPOCHS), images)
        if not name.startswith("planted"):
            yield Job(f"{name}, permuted", recipe(labels="permuted", epochs=EPOCHS), images)


def trained(job: Job, store: RunStore, training: bool) -> Run:
    """The job's run: trained or finished first where ``training`` is set, else as far as it came.

    Raises:
        InputError: without training, a run that is not there or did not come to the epoch that is compared.
    """
    if training:
        return train(job.spec, store, images=job.images, progress=False)
    part = job.images[0]
    if job.spec.labels != "true":
        part = random_labels(part, job.spec.label_realization, job.spec.labels)
    key = identity(resolve(job.spec), part, job.images[1])["key"]
    run = Run.open(store.folder(key))
    run.weights(EPOCHS)
    return run


def first_weight(weights: dict[str, Tensor]) -> Tensor:
    """The filters that read the pixels."""
    return next(value for value in weights.values() if value.ndim == 4 and value.shape[1] == 3).double()


def learned(run: Run, patches: PatchCovariance, epochs: int) -> EnergyProfile:
    """The profile of what a run learned: final less initial weights."""
    return energy_profile(first_weight(run.weights(epochs)), patches, first_weight(run.initial))


def initial(run: Run, patches: PatchCovariance) -> EnergyProfile:
    """The profile of a run's initial weights."""
    return energy_profile(first_weight(run.initial), patches)


def moments(values: list[float]) -> dict[str, Any]:
    """Mean and spread of a few figures, and themselves."""
    numbers = torch.tensor(values, dtype=torch.float64)
    spread = float(numbers.std()) if len(values) > 1 else float("nan")
    return {"mean": float(numbers.mean()), "spread": spread, "values": values}


def fit_numbers(profile: EnergyProfile, patches: PatchCovariance) -> dict[str, float]:
    """The fit, its baseline, the same within the authors' range of times, and the sampling limit."""
    fit = fit_energy(profile, patches)
    leading = float(patches.standard_deviations[0]) ** 2
    return {
        "correlation": fit.correlation,
        "scaled_time": fit.tau * leading,
        "in_authors_range": fit_energy(profile, patches, search=PAPER_SEARCH).correlation,
        "baseline_mean": fit.baseline.mean,
        "baseline_spread": fit.baseline.spread,
        "baseline_largest": float(fit.baseline.correlations.max()),
        "p_value": fit.p_value,
        "sampling_limit": sampling_limit(profile, fit.predicted),
    }


def seed_study(
    runs: dict[str, Run], patches: PatchCovariance, epochs: int
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, EnergyProfile]]:
    """Agreement over seeds and labels, and the fit, after the same number of epochs.

    Returns:
        Figures; a row per epoch and quantity; the profiles.
    """
    profiles = {name: learned(run, patches, epochs) for name, run in runs.items()}
    before = {name: initial(run, patches) for name, run in runs.items()}
    rows = [
        {"epoch": epoch, **row}
        for epoch in (*KEPT, EPOCHS)
        for row in seed_rows(
            {name: learned(run, patches, epoch) for name, run in runs.items()}, before, patches
        )
    ]
    last = pd.DataFrame([row for row in rows if row["epoch"] == epochs])
    figures = {
        quantity: moments(part["value"].tolist()) for quantity, part in last.groupby("quantity", sort=False)
    }
    for labels in ("true", "permuted"):
        fits = [fit_numbers(profiles[f"{labels} {seed}"], patches) for seed in SEEDS]
        figures[f"fit, {labels} labels"] |= {"details": fits}
    pair = (profiles["true 0"], profiles["true 1"])
    figures["sampling limit of two networks"] = sampling_limit(*pair)
    initials = [
        profile_correlation(before[f"true {a}"], before[f"true {b}"]) for a, b in combinations(SEEDS, 2)
    ]
    figures["baseline: initial weights of two seeds"] = moments(initials)
    for epoch in KEPT:
        earlier = [learned(runs[f"true {seed}"], patches, epoch) for seed in SEEDS]
        values = [profile_correlation(a, profiles[f"permuted {seed}"]) for a in earlier for seed in SEEDS]
        figures[f"true labels after {epoch} epochs vs random labels after {epochs}, post hoc"] = moments(
            values
        )
    return figures, rows, profiles


def seed_rows(
    profiles: dict[str, EnergyProfile], before: dict[str, EnergyProfile], patches: PatchCovariance
) -> Iterator[dict[str, Any]]:
    """One row per quantity and seed or pair of seeds."""

    def row(quantity: str, which: str, value: float) -> dict[str, Any]:
        return {"quantity": quantity, "which": which, "value": value}

    for labels in ("true", "permuted"):
        for a, b in combinations(SEEDS, 2):
            value = profile_correlation(profiles[f"{labels} {a}"], profiles[f"{labels} {b}"])
            yield row(f"seeds, {labels} labels", f"{a}, {b}", value)
        for seed in SEEDS:
            name = f"{labels} {seed}"
            trained_initial = profile_correlation(profiles[name], before[name])
            yield row(f"trained vs initial, {labels} labels", str(seed), trained_initial)
            fit = fit_energy(profiles[name], patches, draws=1)
            yield row(f"fit, {labels} labels", str(seed), fit.correlation)
    for a in SEEDS:
        for b in SEEDS:
            value = profile_correlation(profiles[f"true {a}"], profiles[f"permuted {b}"])
            yield row("true vs random labels", f"{a}, {b}", value)


def predictors(images: Images, patches: PatchCovariance, tau: float) -> dict[str, float]:
    """Two predictors of the agreement of true- and random-label profiles, fixed before any result was seen.

    "exact": the exact linear CNN with these labels and with random ones. "signal": f_i = (1 - exp(-tau a_i)) /
    sqrt(a_i) against f_i times the label signal.
    """
    dependence = label_dependence(images, patches, CIFAR)
    form = linear_cnn_energy(patches, tau, diagonal=True).energy
    exact, _ = predicted_agreement(dependence, patches, tau)
    return {"exact": exact, "signal": correlation(form * dependence.signal, form)}


def labeling_study(
    sets: dict[str, tuple[Images, Images]], runs: dict[str, Run]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Predicted against measured agreement of true-label and random-label profiles.

    The predictors stand at the linear-CNN time that rate, width and steps imply; "post hoc" ones, added after
    the first results, at the time that fits the random-label profile.
    """
    rows = []
    for name, (images, _) in sets.items():
        control = f"{'true' if name.startswith('planted') else name}, permuted"
        if name not in runs or control not in runs:
            continue
        patches = patch_covariance(images, 3, normalization=CIFAR)
        profiles = [learned(runs[key], patches, EPOCHS) for key in (name, control)]
        steps = EPOCHS * (len(images) // runs[name].spec.batch_size)
        tau = linear_cnn_tau(runs[name].spec.learning_rate, profiles[0].filters or 0, steps)
        leading = float(patches.standard_deviations[0]) ** 2
        early = fit_energy(profiles[1], patches, draws=1).tau * patches.positions
        post_hoc = predictors(images, patches, early)
        rows.append(
            {
                "labeling": name,
                "images": len(images),
                "classes": len(images.classes),
                "train_accuracy": runs[name].history[-1].train_accuracy,
                "measured": profile_correlation(*profiles),
                "limit": sampling_limit(*profiles),
                **predictors(images, patches, tau),
                **{f"{key}, post hoc": value for key, value in post_hoc.items()},
                "fitted_time": early * leading / patches.positions,
            }
        )
    table = pd.DataFrame(rows)
    ranks = {}
    for key in ("exact", "signal", "exact, post hoc", "signal, post hoc"):
        rank_correlation, p_value = spearmanr(table[key], table["measured"])
        ranks[key] = {"rank_correlation": float(rank_correlation), "p_value": float(p_value)}
    return {"n": len(rows), "tau_average": tau, **ranks}, rows


def linear_network(
    averages: Tensor, images: Images, spec: TrainingSpec, epochs: int, filters: int
) -> tuple[Tensor, Tensor]:
    """Initial and final filters of a linear CNN, trained as the networks are.

    Convolution without bias, mean over positions, linear readout: the same initialization, steps, rate and
    loss, on average patches (all windows inside the image), which are all that such a network sees.
    """
    averages = averages.float()
    generator = torch.Generator().manual_seed(spec.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        model = nn.Sequential(
            nn.Linear(averages.shape[1], filters, bias=False), nn.Linear(filters, len(images.classes))
        )
    start = model[0].weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=spec.learning_rate)
    for _ in range(epochs):
        for batch in torch.randperm(len(images), generator=generator).split(spec.batch_size):
            if len(batch) < spec.batch_size:
                continue
            loss = nn.functional.cross_entropy(model(averages[batch]), images.labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return start, model[0].weight.detach().clone()


def linear_study(
    images: Images, patches: PatchCovariance, profiles: dict[str, EnergyProfile], runs: dict[str, Run]
) -> dict[str, Any]:
    """The networks' profiles against linear CNNs trained on the same images and labels."""
    filters = profiles["true 0"].filters or 0
    shape = (filters, 3, 3, 3)
    spec = runs["true 0"].spec
    steps = EPOCHS * (len(images) // spec.batch_size)
    averages = average_patches(images, 3, normalization=CIFAR)
    result: dict[str, Any] = {"steps": steps, "filters": filters}
    for labels in ("true", "permuted"):
        descended, fixed = [], []
        for seed in SEEDS:
            run = runs[f"{labels} {seed}"]
            data = (
                images if labels == "true" else random_labels(images, run.spec.label_realization, "permuted")
            )
            start, end = linear_network(averages, data, run.spec, EPOCHS, filters)
            descended.append(energy_profile(end.reshape(shape), patches, start.reshape(shape)))
            targets = one_hot(data.labels, len(data.classes))
            # Each output has its own block of filters, as the model has it; the rate is a twentieth of the
            # recipe's, which would diverge with full batches, and the steps are twenty times as many.
            zero = torch.zeros(len(data.classes) * filters, 27, dtype=torch.float64)
            network = train_linear_cnn(averages, targets, zero, spec.learning_rate / 20, 20 * steps)
            fixed.append(energy_profile(network.weight.reshape(-1, 3, 3, 3), patches))
        for kind, linear in (("same recipe", descended), ("fixed readout, full batches", fixed)):
            values = [
                profile_correlation(profiles[f"{labels} {seed}"], profile)
                for seed, profile in zip(SEEDS, linear, strict=True)
            ]
            result[f"{labels} labels, {kind}"] = moments(values)
        result[f"{labels} labels, expectation over random labels at its best time, post hoc"] = moments(
            [best_time(profiles[f"{labels} {seed}"], patches) for seed in SEEDS]
        )
    return result


def best_time(profile: EnergyProfile, patches: PatchCovariance) -> float:
    """Best correlation with the exact linear CNN, in expectation over random labels, over all times."""
    times = torch.logspace(-3, 5, 65, dtype=torch.float64) / patches.average_variances.max()
    return max(profile_correlation(profile, linear_cnn_energy(patches, float(time))) for time in times)


def published_study(folder: Path, patches: PatchCovariance) -> dict[str, Any]:
    """Published ResNets from their files alone; their initial weights are not known."""
    profiles = {
        name: energy_profile(load_network(folder / f"{name}.safetensors").layers[0].weight, patches)
        for name in ("resnet20", "resnet56")
    }
    pair = (profiles["resnet20"], profiles["resnet56"])
    return {
        "agreement": profile_correlation(*pair),
        "sampling_limit": sampling_limit(*pair),
        "fit": {name: fit_numbers(profile, patches) for name, profile in profiles.items()},
        "profiles": {name: profile.energy.tolist() for name, profile in profiles.items()},
    }


def figures(
    out: Path,
    profiles: dict[str, EnergyProfile],
    patches: PatchCovariance,
    rows: list[dict[str, Any]],
    labelings: list[dict[str, Any]],
    runs: dict[str, Run],
    provenance: dict[str, Any],
) -> None:
    """Draw profiles, trajectory, labelings and filters; each as PNG and PDF."""
    fit = fit_energy(profiles["true 0"], patches)
    with plt.rc_context(journal(columns=2.0, ratio=0.48)):
        figure, axes = plt.subplots(1, 2, layout="constrained", sharey=True)
        for ax, labels in zip(axes, ("true", "permuted"), strict=True):
            chosen = {f"seed {seed}": profiles[f"{labels} {seed}"] for seed in SEEDS}
            chosen["formula, fitted to seed 0"] = fit_energy(
                profiles[f"{labels} 0"], patches, draws=1
            ).predicted
            chosen["before training, seed 0"] = initial(runs[f"{labels} 0"], patches)
            panels.energy_profiles(chosen, ax)
            ax.set_title(f"{labels} labels, {EPOCHS} epochs")
        shared_legend(figure, axes)
        save_figure(figure, out / "profiles", provenance)
        plt.close(figure)
    with plt.rc_context(journal(columns=2.0, ratio=0.48)):
        figure, axes = plt.subplots(1, 2, layout="constrained")
        for quantity, part in pd.DataFrame(rows).groupby("quantity", sort=False):
            means = part.groupby("epoch")["value"].mean()
            axes[0].plot(means.index, means, "o-", markersize=3, label=quantity)
        axes[0].axhline(0, color="grey", linewidth=0.5)
        axes[0].set(xlabel="epoch", ylabel="correlation", xticks=sorted({row["epoch"] for row in rows}))
        shared_legend(figure, axes)
        panels.fit_baseline(fit, axes[1])
        save_figure(figure, out / "trajectory", provenance)
        plt.close(figure)
    with plt.rc_context(journal(columns=2.0, ratio=0.48)):
        figure, axes = plt.subplots(1, 2, layout="constrained", sharey=True)
        for ax, key in zip(axes, ("exact", "signal"), strict=True):
            for row in labelings:
                ax.plot(row[key], row["measured"], "o", label=row["labeling"])
            ax.set(xlabel=f"predicted agreement ({key})", ylabel="measured agreement")
        shared_legend(figure, axes)
        save_figure(figure, out / "labelings", provenance)
        plt.close(figure)
    with plt.rc_context(journal(columns=2.0, ratio=0.35)):
        figure, axes = plt.subplots(1, 2, layout="constrained")
        panels.filter_mosaic(first_weight(runs["true 0"].weights(EPOCHS)), axes[0])
        axes[0].set_title("filters, true labels, seed 0")
        panels.patch_components(patches, axes[1])
        axes[1].set_title("patch components")
        save_figure(figure, out / "pictures", provenance)
        plt.close(figure)


def shared_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Put the first panel's legend under the figure, where it hides no curve."""
    for ax in axes:
        if ax.get_legend() is not None:
            ax.get_legend().remove()
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True)
    parser.add_argument("--resnets", type=Path, required=True)
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=("seeds", "labelings", "architectures"))
    parser.add_argument("--no-training", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, store = time.monotonic(), RunStore(options.store)
    images = tuple(load_images(options.images, split, resolution=32) for split in ("train", "test"))
    sets = labelled_sets(images)
    plan: dict[str, Callable[[], Iterator[Job]]] = {
        "seeds": lambda: seed_jobs(images),
        "labelings": lambda: labeling_jobs(sets),
        "architectures": lambda: architecture_jobs(sets["true"]),
    }
    runs: dict[str, dict[str, Run]] = {}
    for part in [options.only] if options.only else plan:
        runs[part] = {}
        for job in plan[part]():
            try:
                runs[part][job.name] = trained(job, store, not options.no_training)
            except (InputError, KeyError, OSError) as error:
                print(f"left out: {part}, {job.name}: {error}", flush=True)
    if not options.only:
        results = study(images, sets, runs, options.resnets, options.out)
        results["seconds"] = round(time.monotonic() - started)
        (options.out / "results.json").write_bytes(json_bytes(results) + b"\n")


def study(
    images: tuple[Images, Images],
    sets: dict[str, tuple[Images, Images]],
    runs: dict[str, dict[str, Run]],
    resnets: Path,
    out: Path,
) -> dict[str, Any]:
    """Compute every figure, draw, and write the tables."""
    out.mkdir(parents=True, exist_ok=True)
    patches = patch_covariance(images[0], 3, normalization=CIFAR)
    base = patch_covariance(sets["true"][0], 3, normalization=CIFAR)
    seeds, rows, profiles = seed_study(runs["seeds"], patches, EPOCHS)
    labelings, labeling_rows = labeling_study(sets, runs["labelings"])
    depth = {
        name: learned(run, base, EPOCHS)
        for name, run in {"vgg11": runs["labelings"]["true"], **runs["architectures"]}.items()
    }
    attributes = {name: {"architecture": name} for name in depth}
    architectures = consistency_table(depth, attributes) if len(depth) > 1 else pd.DataFrame()
    results = {
        "environment": environment(),
        "images": {"name": "CIFAR-10, JPEG-recompressed at quality 75", "train": len(images[0])},
        "paper": PAPER,
        "targets": TARGETS,
        "seeds": seeds,
        "longer": longer(runs["seeds"]["true 0"], patches),
        "labelings": labelings | {"table": labeling_rows},
        "linear": linear_study(images[0], patches, profiles, runs["seeds"]),
        "architectures": architectures.to_dict("records"),
        "architecture_fits": {name: fit_numbers(profile, base) for name, profile in depth.items()},
        "published": published_study(resnets, patches),
        "profiles": {name: profile.energy.tolist() for name, profile in profiles.items()},
        "standard_deviations": patches.standard_deviations.tolist(),
        "training_seconds": {
            part: {name: round(sum(epoch.seconds for epoch in run.history)) for name, run in group.items()}
            for part, group in runs.items()
        },
        "accuracies": {name: asdict(run.history[EPOCHS - 1]) for name, run in runs["seeds"].items()},
    }
    pd.DataFrame(rows).to_csv(out / "table.csv", index=False)
    pd.DataFrame(labeling_rows).to_csv(out / "labelings.csv", index=False)
    provenance = {"script": "benchmarks/first_layer_evidence.py", "environment": environment()}
    figures(out, profiles, patches, rows, labeling_rows, runs["seeds"], provenance)
    return results


def longer(run: Run, patches: PatchCovariance) -> dict[str, Any]:
    """The fit of the first seed as far as its training came."""
    fits = {}
    for epoch in sorted({*LONG_KEPT, LONG_EPOCHS}):
        try:
            fits[epoch] = fit_numbers(learned(run, patches, epoch), patches)
        except InputError:
            continue
    return fits


if __name__ == "__main__":
    main()

"""`covalign train` and `covalign demo`: train one network, or four and compare them."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from covalign.cli import options, places, plans, saying, sharing, speaking
from covalign.data.loading import load_images
from covalign.data.mixture import mixture
from covalign.errors import InputError, unknown
from covalign.report.words import count
from covalign.studies.comparison.measure import compare
from covalign.training.grid import Trained
from covalign.training.loop import train as train_network
from covalign.training.many import train_population
from covalign.training.plan import Plan, State, plan
from covalign.training.population import Population, is_population, population_of
from covalign.training.presets import PRESETS, preset, spec_of
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore
from covalign.training.toml import from_toml

ABOUT = (
    "Four small networks learned to tell from which photograph a small crop was cut. Two of them, with different "
    "seeds, learned on the photographs of set a, two on those of set b. Do networks that saw the same photographs "
    "learn more alike than networks that saw different ones?"
)
"""What the demo is about, for its report."""


def train(
    spec: str,
    /,
    *,
    images: str | None = None,
    seed: int | None = None,
    epochs: int | None = None,
    labels: str | None = None,
    width: float | None = None,
    max_images: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    scheduler: sharing.Scheduler = None,
    dry_run: options.DryRun = False,
    store: places.Store = places.STORE,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Train one network, or all networks of a population; finish what was begun, find what is finished.

    A training that was interrupted resumes from its last checkpoint and ends as if it had never stopped. The same
    command after any interruption trains what is missing, and nothing twice.

    Args:
        spec: a TOML file of settings, or the name of a preset: encodings, encodings-random, first-layer,
            first-layer-laptop, laptop, demo. A TOML file may say `preset = "laptop"` and change it. With a table
            [grid] it names a population: every combination of the values there is a condition, [recipe] is what all
            share, seeds = 5 is how many networks a condition has, [[exclude]] leaves conditions out.
        images: DATA to train on, instead of the spec's.
        seed: of initialization, order and augmentation, instead of the spec's.
        epochs: passes over the images, instead of the spec's.
        labels: true, uniform or permuted, instead of the spec's.
        width: multiplier of the number of channels, instead of the spec's.
        max_images: largest number of training images, instead of the spec's.
        device: cpu, cuda or mps, instead of the spec's.
        threads: of the tensor library, instead of the spec's (they decide the last bits of a training).
        workers: trainings of a population side by side; as many as there are cores by default.
    """
    stated = {
        "images": images,
        "seed": seed,
        "epochs": epochs,
        "labels": labels,
        "width": width,
        "max_images": max_images,
        "device": device,
        "threads": threads,
    }
    changes: dict[str, Any] = {name: value for name, value in stated.items() if value is not None}
    found = _named(spec)
    if isinstance(found, Population):
        _train_all(spec, found, changes, RunStore(store), workers, scheduler, dry_run, manner)
        return
    one = replace(found, **changes)
    if workers is not None or scheduler is not None:
        manner.hint("--workers and --scheduler share out populations; this is one training")
    if dry_run:
        plans.show_plan(plan([Trained(spec, spec, one)], RunStore(store)), manner)
        return
    with manner.progress() as told:
        _say(train_network(one, RunStore(store), progress=told), manner)


def _named(named: str) -> TrainingSpec | Population:
    """Return a preset by its name, or what a file names: one training, or a population.

    Raises:
        InputError: neither.
    """
    if named in PRESETS:
        return preset(named)
    if not Path(named).exists() and Path(named).suffix != ".toml":
        raise unknown("train", named, PRESETS, ", or a TOML file")
    return from_toml(
        named, lambda values: population_of(values) if is_population(values) else spec_of(values)
    )


EVERYWHERE = ("device", "threads")
"""Options that mean the same for every network of a population."""


def _train_all(
    file: str,
    population: Population,
    changes: dict[str, Any],
    store: RunStore,
    workers: int | None,
    scheduler: str | None,
    dry_run: bool,
    manner: saying.Manner,
) -> None:
    """Train what is missing of a population, or say what that is."""
    if other := [name for name in changes if name not in EVERYWHERE]:
        raise InputError(
            f"--{other[0].replace('_', '-')}: changes a single training, but {file} names a population; write it "
            f"into its [recipe] or [grid]: {other[0]} = ..."
        )
    networks = [replace(each, spec=replace(each.spec, **changes)) for each in population.trained]
    found = plan(networks, store)
    command = ["covalign", "atlas", str(file), "--store", str(store.root), "--out", "atlas"]
    following = f"next: {shlex.join(command)}"
    if dry_run:
        pairs = plans.comparisons(len(population.conditions))
        plans.show_plan(found, manner, len(population.foreign), [pairs, following])
        return
    specs = [each.spec for each in networks]
    with manner.progress() as told:
        runs = train_population(specs, store, workers=workers, scheduler=scheduler, progress=told)
    _say_all(found, runs, store, following, manner)


def _say_all(found: Plan, runs: list[Run], store: RunStore, following: str, manner: saying.Manner) -> None:
    stored = found.count(State.FINISHED)
    said = f"{count(len(runs), 'network')}: {stored} found in the store, {len(runs) - stored} finished since"
    keys = {each.network.name: run.key for each, run in zip(found.networks, runs, strict=True)}
    manner.say(store.root, [said, following], networks=keys)


def demo(
    *,
    out: Path = Path("covalign-demo"),
    seed: int = 0,
    workers: int | None = None,
    machine: options.Machine = options.HERE,
    writing: speaking.Writing = speaking.NEW,
    manner: saying.Manner = saying.PLAIN,
) -> None:
    """Train four small networks on embedded photographs, compare them, and write a report.

    Two sets of photographs, two seeds each. The task is which photograph a 32x32 crop is from; training and
    test crops come from different regions. Trainings are kept under OUT/runs and resume.

    Args:
        out: folder for the report, tables and trainings.
        seed: of the first network; the others have the next ones.
        workers: trainings side by side; as many as there are cores by default.
    """
    machine.ready()
    sets = ("photos:a", "photos:b")
    base = replace(preset("demo"), device=machine.device or "cpu")
    # Four different seeds: networks of equal seed share their initial weights, and look alike for that reason.
    specs = [replace(base, images=name, seed=seed + i) for i, name in enumerate(sets * 2)]
    origin = options.provenance() | {"about": ABOUT}
    with speaking.place(out, writing, manner) as folder, manner.progress() as told:
        trained = train_population(specs, RunStore(folder / "runs"), workers=workers, progress=told)
        images = mixture([load_images(name) for name in sets], max_images=1500, seed=seed)
        comparison = compare(trained, images, by="training", seed=seed, provenance=origin, progress=told)
        speaking.write(comparison, folder, manner, writing, told, runs=[str(run.path) for run in trained])


def _say(run: Run, manner: saying.Manner) -> None:
    """Say where a training is, how well it went, and what to do with it."""
    findings = []
    last = run.history[-1] if run.history else None
    if last is not None:
        test = "" if last.test_accuracy is None else f", test {last.test_accuracy:.1%}"
        findings.append(f"train {last.train_accuracy:.1%}{test} after {last.epoch} epochs")
    command = [
        "covalign",
        "compare",
        run.key[:12],
        "ANOTHER",
        "--images",
        run.spec.images,
        "--out",
        "comparison",
    ]
    following = f"next: {shlex.join(command)}"
    accuracies = (
        {} if last is None else {"train_accuracy": last.train_accuracy, "test_accuracy": last.test_accuracy}
    )
    manner.say(run.path or Path(), [*findings, following], key=run.key, epochs=len(run.history), **accuracies)

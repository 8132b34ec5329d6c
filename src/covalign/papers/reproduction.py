"""How is an exhibit reproduced, from nothing to its claims?

Plan, train what is missing, measure, keep, draw. The trainings of all exhibits that are asked for go through the
store together, side by side, each once. What is measured is kept as small tables and tensors with the figure, from
which `redraw` draws and judges again without any weights.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import safetensors.torch
from matplotlib.figure import Figure

from covalign.errors import InputError, unknown
from covalign.figures.saving import drawn
from covalign.papers.bench import Bench
from covalign.papers.catalogue import exhibit
from covalign.papers.differences import differences
from covalign.papers.exhibit import Claim, Exhibit, Measurements
from covalign.papers.label import Label, completed
from covalign.papers.scales.named import scale
from covalign.papers.scales.scale import DataSet, Scale
from covalign.papers.verdicts import write_summary
from covalign.progress import Told, untold
from covalign.storage.folder import Folder
from covalign.storage.plain import json_bytes
from covalign.storage.provenance import environment
from covalign.storage.results import DOCUMENT, SCHEMA_VERSION, TENSORS, parsed
from covalign.training.cost import Cost, training_cost
from covalign.training.many import train_population
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore, recipe_versions
from covalign.version import __version__

CLASSES = 10
"""Assumed in estimates where a data set keeps all its classes; the last layer hardly counts."""


@dataclass(frozen=True)
class Reproduction:
    """What came of one exhibit: where it is, and its claims."""

    name: str
    folder: Path
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Plan:
    """What exhibits will take: their trainings, each once, with the costs; those in the store cost nothing more."""

    networks: int
    stored: int
    cost: Cost


def plan(names: Sequence[str], size: Scale, sources: Mapping[str, str], store: RunStore) -> Plan:
    """Estimate exhibits before anything starts: seconds of one process, the largest memory, and disk.

    Images of a data set are counted as the scale states them, not read; those that are made of others count on disk,
    but for their test images.
    """
    bench = Bench(size, sources, store)
    needed = {
        bench.read_from(training.spec, training.data): size.data[training.data]
        for name in names
        for training in exhibit(name).trainings(size).values()
    }
    done = {_without_precision(run.spec) for run in store.runs() if _is_current(run)}
    made = {
        spec.images: data
        for spec, data in needed.items()
        if data.transform is not None and not Path(spec.images).exists()
    }
    costs = []
    for spec, data in needed.items():
        if _without_precision(spec) not in done:
            kept = data.drawn or data.classes or CLASSES
            classes = kept if isinstance(kept, int) else len(kept)
            costs.append(training_cost(spec, data.count, classes, _side(data)))
    total = Cost(
        sum((cost.seconds for cost in costs), 0.0),
        max((cost.memory for cost in costs), default=0),
        sum(cost.disk for cost in costs) + sum(3 * data.count * _side(data) ** 2 for data in made.values()),
    )
    return Plan(len(needed), len(needed) - len(costs), total)


def reproduce(
    names: Sequence[str],
    size: str | Scale,
    sources: Mapping[str, str],
    store: RunStore,
    out: Path,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    seed: int = 0,
    command: str = "",
    device: str | None = None,
    progress: Told = untold,
) -> list[Reproduction]:
    """Reproduce exhibits: train what is missing, measure, draw, and judge their claims.

    Args:
        names: of exhibits.
        size: a scale or its name.
        sources: DATA by role, instead of the scale's own.
        store: of trainings and costly measurements.
        out: each exhibit gets a folder in it: figures, ``results.json``, tables (CSV) and tensors (safetensors);
            ``README.md`` shows them all.
        workers: trainings side by side.
        scheduler: address of a Dask scheduler; see `covalign.training.many.train_population`.
        seed: of the measurements.
        command: what was typed, for ``results.json``.
        device: where networks are trained and run; None takes the CPU.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: unknown names or roles, images that are missing, and what training raises.
    """
    chosen = scale(size) if isinstance(size, str) else size
    exhibits = [exhibit(name) for name in names]
    if strange := set(sources) - {data.role for data in chosen.data.values()}:
        raise unknown(
            "--images: role", sorted(strange)[0], dict.fromkeys(d.role for d in chosen.data.values())
        )
    bench = Bench(chosen, sources, store, seed=seed, progress=progress)
    started = time.monotonic()
    for data in dict.fromkeys(needed.data for each in exhibits for needed in each.trainings(chosen).values()):
        bench.prepare(data)
    specs = [_specs(each, bench, device) for each in exhibits]
    runs = _trained(specs, store, workers, scheduler, progress)
    training_seconds = time.monotonic() - started
    found = []
    for each, wanted in zip(exhibits, specs, strict=True):
        begun = time.monotonic()
        own = {label: runs[spec] for label, spec in wanted.items()}
        measured = each.measure(Bench(chosen, sources, store, own, seed, progress, bench.loaded))
        provenance = {
            "command": command,
            "covalign": __version__,
            "environment": environment(),
            "seed": seed,
            "training_seconds": round(sum(epoch.seconds for run in own.values() for epoch in run.history), 1),
            "training_wall_seconds": round(training_seconds, 1),
            "measuring_seconds": round(time.monotonic() - begun, 1),
            "differences": differences(each, chosen),
            "networks": {str(label): _run_facts(run) for label, run in own.items()},
        }
        # What is drawn now is what can be drawn later: the numbers as they were written.
        numbers = packed(measured)
        kept = unpacked(out / each.name, numbers)
        found.append(_drawn(each, chosen, kept, numbers, provenance, out / each.name))
        write_summary(out)
    return found


def redraw(name: str, out: Path) -> Reproduction:
    """Draw a kept exhibit again, and judge its claims again, from its numbers alone.

    Raises:
        InputError: the folder does not hold that exhibit, or not all numbers that are drawn now.
    """
    folder = out / name
    if not (folder / DOCUMENT).is_file():
        raise InputError(f"{folder}: holds no reproduction; run `covalign reproduce {name}` first")
    content = Folder(folder).contents(DOCUMENT)
    document = parsed(folder / DOCUMENT, content.pop(DOCUMENT), json.loads)
    try:
        size, provenance = scale(document["scale"]), document["provenance"]
    except (KeyError, TypeError) as error:
        raise InputError(f"{folder}: holds no reproduction ({error!r}); it holds other results") from error
    each = exhibit(name)
    numbers = {file: part for file, part in content.items() if file.endswith((".csv", ".safetensors"))}
    kept = unpacked(folder, numbers)
    tables = completed(kept.tables, each.trainings(size), size.data)
    try:
        found = _drawn(each, size, replace(kept, tables=tables), numbers, provenance, folder)
    except KeyError as error:
        raise InputError(
            f"{folder}: measured by covalign {provenance.get('covalign', '?')}, without {error}, which is drawn now; "
            f"run `covalign reproduce {name}` again"
        ) from error
    write_summary(out)
    return found


def packed(measured: Measurements) -> dict[str, bytes]:
    """Return tables as CSV and tensors as one safetensors file, by name."""
    files = {
        f"{name}.csv": table.to_csv(index=False, float_format="%.8g").encode()
        for name, table in measured.tables.items()
    }
    if measured.tensors:
        tensors = {name: tensor.contiguous() for name, tensor in measured.tensors.items()}
        files[TENSORS] = safetensors.torch.save(tensors)
    return files


def unpacked(folder: Path, files: Mapping[str, bytes]) -> Measurements:
    """Read what `packed` returned; ``folder`` is where it lies.

    Raises:
        InputError: a file cannot be read.
    """
    tables = {
        Path(name).stem: parsed(folder / name, content, lambda part: pd.read_csv(BytesIO(part)))
        for name, content in sorted(files.items())
        if name.endswith(".csv")
    }
    tensors = parsed(folder / TENSORS, files[TENSORS], safetensors.torch.load) if TENSORS in files else {}
    return Measurements(tables, tensors)


def _specs(found: Exhibit, bench: Bench, device: str | None) -> dict[Label, TrainingSpec]:
    elsewhere: dict[str, Any] = {"device": device} if device else {}
    return {
        label: replace(bench.read_from(each.spec, each.data), **elsewhere)
        for label, each in found.trainings(bench.scale).items()
    }


def _trained(
    needed: Sequence[Mapping[Label, TrainingSpec]],
    store: RunStore,
    workers: int | None,
    scheduler: str | None,
    progress: Told,
) -> dict[TrainingSpec, Run]:
    specs = list(dict.fromkeys(spec for each in needed for spec in each.values()))
    runs = train_population(specs, store, workers=workers, scheduler=scheduler, progress=progress)
    return dict(zip(specs, runs, strict=True))


def _drawn(
    found: Exhibit,
    size: Scale,
    measured: Measurements,
    numbers: Mapping[str, bytes],
    provenance: dict[str, Any],
    folder: Path,
) -> Reproduction:
    """Draw and judge what was measured, and replace the folder; ``numbers`` are its files."""
    claims = tuple(_at_scale(claim, size) for claim in found.claims(measured))
    figures = found.draw(measured)
    pictures: dict[str, bytes] = {}
    for name, figure in figures.items():
        pictures |= _pictures(name, figure, {"exhibit": found.name, "scale": size.name})
    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": "reproduction",
        "exhibit": found.name,
        "title": found.title,
        "source": found.source,
        "scale": size.name,
        "figures": list(figures),
        "claims": [asdict(claim) for claim in claims],
        "provenance": provenance,
    }
    Folder(folder).replace({**numbers, **pictures, DOCUMENT: json_bytes(document)})
    return Reproduction(found.name, folder, claims)


def _pictures(name: str, figure: Figure, provenance: dict[str, Any]) -> dict[str, bytes]:
    files = {f"{name}.{kind}": content for kind, content in drawn(figure, provenance).items()}
    plt.close(figure)
    return files


def _at_scale(claim: Claim, size: Scale) -> Claim:
    """Withhold the verdict at a scale whose networks are too small and too briefly trained to give one."""
    if size.conclusive or claim.verdict == "not testable":
        return claim
    said = f"the {size.name} scale only shows that everything runs (its numbers would say: {claim.verdict})"
    return replace(claim, verdict="not testable", why=f"{said}; {claim.why}")


def _run_facts(run: Run) -> dict[str, Any]:
    last, facts = run.history[-1], run.facts
    return {
        "run": run.key[:16],
        "images": facts.images,
        "classes": len(facts.classes),
        "training_images": facts.training_images,
        "fingerprint": facts.fingerprint,
        "seed": run.spec.seed,
        "epochs": run.spec.epochs,
        "precision": run.spec.precision,
        "train_accuracy": last.train_accuracy,
        "test_accuracy": last.test_accuracy,
    }


def _side(data: DataSet) -> int:
    return data.resolution * data.enlarged


def _is_current(run: Run) -> bool:
    """Say whether a stored run would not be trained again."""
    return run.facts.recipe_version in recipe_versions(run.spec, run.facts.resolution)


def _without_precision(spec: TrainingSpec) -> TrainingSpec:
    return replace(spec, precision="auto")

"""The command line: parse, call the library, print where the result is.

Every command is one library call that a notebook could make. Heavy imports happen inside the commands, so that
``covalign --help`` answers at once. Bad input ends in one line on standard error and exit status 2.
"""

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter

import covalign
from covalign.errors import InputError, UncheckedWarning

if TYPE_CHECKING:
    pass

app = App(
    name="covalign",
    version=covalign.__version__,
    default_parameter=Parameter(negative_iterable=()),
    help="Do two neural networks learn the same thing? Compare their learned weights, layer by layer.\n\n"
    "Start with `covalign demo`: it trains four small networks on embedded photographs, compares them, and "
    "writes a report, in a few minutes and without any data.",
    help_epilogue="MODEL is a run of the store (folder or first digits of its key), a weight file (.safetensors, "
    ".pt, .pth, .onnx), timm:NAME, torchvision:NAME, or module.path:factory. DATA is a hub data set "
    "(uoft-cs/cifar10), a folder of parquet files, an image folder, an .npz file, or photos.",
)
runs = App(name="runs", help="List, show and clean up stored trainings.")
app.command(runs)

Threads = Annotated[int | None, Parameter(help="Threads of the tensor library; its own choice by default.")]
Store = Annotated[
    Path, Parameter(help="Folder of stored trainings.", env_var="COVALIGN_STORE", show_env_var=True)
]
STORE = Path("covalign-runs")


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            warnings.simplefilter("always", UncheckedWarning)
            app(sys.argv[1:], exit_on_error=False, print_error=False)
    except (InputError, CycloptsError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("covalign: interrupted; trainings resume when the same command is run again", file=sys.stderr)
        sys.exit(130)


def _warn(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Print what covalign warns of in one line, and any other warning as it is."""
    own = issubclass(category, UncheckedWarning)
    text = f"covalign: {message}\n" if own else warnings.formatwarning(message, category, *place[:2])
    print(text, end="", file=sys.stderr)


def _fail(message: str) -> None:
    print(f"covalign: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


@app.command
def demo(*, out: Path = Path("covalign-demo"), seed: int = 0, workers: int | None = None) -> None:
    """Train four small networks on embedded photographs, compare them, and write a report.

    Two sets of photographs, two seeds each. The task is which photograph a 32x32 crop is from; training and
    test crops come from different regions. Trainings are kept under OUT/runs and resume.

    Args:
        out: folder for the report, tables and trainings.
        seed: of the first network; the others have the next ones.
        workers: trainings side by side; as many as there are cores by default.
    """
    from dataclasses import replace

    from covalign.data.loading import load_images
    from covalign.data.mixture import mixture
    from covalign.studies.comparison.measure import compare as compare_networks
    from covalign.training.many import train_population
    from covalign.training.presets import preset
    from covalign.training.store import RunStore

    sets = ("photos:a", "photos:b")
    # Four different seeds: networks of equal seed share their initial weights, and look alike for that reason.
    specs = [replace(preset("demo"), images=name, seed=seed + i) for i, name in enumerate(sets * 2)]
    trained = train_population(specs, RunStore(out / "runs"), workers=workers)
    images = mixture([load_images(name) for name in sets], max_images=1500, seed=seed)
    with _progress() as progress:
        comparison = compare_networks(trained, images, seed=seed, provenance=_provenance(), progress=progress)
    _write(comparison, out)


@app.command
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
    store: Store = STORE,
) -> None:
    """Train one network, or finish it, or find it finished.

    A training that was interrupted resumes from its last checkpoint and ends as if it had never stopped.

    Args:
        spec: a TOML file of settings, or the name of a preset: encodings, encodings-random, first-layer,
            first-layer-laptop, laptop, demo. A TOML file may say `preset = "laptop"` and change it.
        images: DATA to train on, instead of the spec's.
        seed: of initialization, order and augmentation, instead of the spec's.
        epochs: passes over the images, instead of the spec's.
        labels: true, uniform or permuted, instead of the spec's.
        width: multiplier of the number of channels, instead of the spec's.
        max_images: largest number of training images, instead of the spec's.
        device: cpu or cuda, instead of the spec's.
        threads: of the tensor library, instead of the spec's (they decide the last bits of a training).
    """
    from dataclasses import replace

    from covalign.training.loop import train as train_network
    from covalign.training.presets import PRESETS, preset, spec_from_toml
    from covalign.training.store import RunStore

    base = preset(spec) if spec in PRESETS else spec_from_toml(spec)
    options = {
        "images": images,
        "seed": seed,
        "epochs": epochs,
        "labels": labels,
        "width": width,
        "max_images": max_images,
        "device": device,
        "threads": threads,
    }
    changes: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    run = train_network(replace(base, **changes), RunStore(store))
    print(run.path)
    if run.history:
        last = run.history[-1]
        test = "" if last.test_accuracy is None else f", test {last.test_accuracy:.1%}"
        print(f"train {last.train_accuracy:.1%}{test} after {last.epoch} epochs")
    print(f"next: covalign compare {run.key[:12]} ANOTHER --images {run.spec.images} --out comparison")


@app.command
def compare(
    *models: str,
    out: Path,
    images: list[str] | None = None,
    layers: list[str] | None = None,
    architecture: list[str] | None = None,
    normalization: str | None = None,
    split: str = "train",
    label_column: str | None = None,
    resolution: int | None = None,
    max_images: int = 10_000,
    controls: bool = True,
    calibrate: bool = True,
    threads: Threads = None,
    seed: int = 0,
    store: Store = STORE,
) -> None:
    """Compare networks layer by layer: did they learn the same thing?

    Hidden representations are aligned by a rotation, fitted to the images; then the covariances of the learned
    weights are compared between a chance level and a ceiling. Without images, only what needs no alignment is
    compared: spectra, spatial patterns, first layers.

    Args:
        models: two or more MODELs.
        out: folder for report.html, results.json and the tables.
        images: DATA that alignments are fitted to; repeated sets are mixed in equal parts.
        layers: names of layers; all by default.
        architecture: module.path:factory that a weight file belongs to; one for all, or one per model in order.
        normalization: imagenet, cifar, none, or MEAN/STD (0.5/0.25; 0.5,0.4,0.4/0.2,0.2,0.3), for models that do not
            say how their pixels are normalized.
        split: which images to use.
        label_column: which label column to read, where a set has several.
        resolution: side in pixels to which images are brought; the networks' own by default.
        max_images: at most this many images, drawn at random.
        controls: also compare with alignments fitted to shuffled images.
        calibrate: also estimate the calibrated similarity with its interval.
        seed: of everything random.
    """
    from covalign.data.loading import load_images
    from covalign.data.mixture import mixture
    from covalign.studies.comparison.measure import compare as compare_networks
    from covalign.studies.subjects import open_subject
    from covalign.training.store import RunStore

    _set_threads(threads)
    factories = _one_each(architecture, len(models))
    opened = [
        open_subject(model, factory, normalization=normalization, store=RunStore(store))
        for model, factory in zip(models, factories, strict=True)
    ]
    sides = {subject.network.resolution for subject in opened if subject.network.resolution}
    size = resolution or (sides.pop() if len(sides) == 1 else None)
    sets = [
        load_images(name, split, resolution=size, label_column=label_column, max_images=max_images, seed=seed)
        for name in images or []
    ]
    with _progress() as progress:
        comparison = compare_networks(
            opened,
            mixture(sets, max_images, seed) if sets else None,
            layers,
            max_images=max_images,
            seed=seed,
            controls=controls,
            calibrate=calibrate,
            provenance=_provenance(),
            progress=progress,
        )
    _write(comparison, out)


@app.command
def diff(
    base: str,
    other: str,
    /,
    *,
    out: Path,
    replicate: str | None = None,
    layers: list[str] | None = None,
    architecture: list[str] | None = None,
    fail_above: float | None = None,
    draws: int = 10,
    seed: int = 0,
    store: Store = STORE,
) -> None:
    """Show what changed between relatives: a fine-tune and its base, two checkpoints of one training.

    No images are needed, because relatives share their coordinates; whether they do is checked first. Each
    layer's change is held against the same update randomly turned, or against another seed of the fine-tune.

    Args:
        base: the MODEL before.
        other: the MODEL after.
        out: folder for report.html, results.json and the tables.
        replicate: what another seed made of the same base; its spread becomes a second reference.
        layers: names of layers; all by default.
        architecture: module.path:factory that a weight file belongs to; one for all, or one per model in order.
        fail_above: exit with status 1 if a layer's relative change is larger, for pipelines.
        draws: random turns of each update.
        seed: of everything random.
    """
    from covalign.studies.difference.measure import diff as difference_of
    from covalign.studies.subjects import open_subject
    from covalign.training.store import RunStore

    names = [base, other, *([replicate] if replicate else [])]
    opened = [
        open_subject(name, factory, store=RunStore(store))
        for name, factory in zip(names, _one_each(architecture, len(names)), strict=True)
    ]
    with _progress() as progress:
        difference = difference_of(*opened, layers=layers, draws=draws, seed=seed, progress=progress)
    _write(difference, out)
    print(f"largest relative change of a layer: {difference.largest_change:.4g}")
    if fail_above is not None and difference.largest_change > fail_above:
        print(f"covalign: above --fail-above {fail_above}", file=sys.stderr)
        sys.exit(1)


@app.command
def spatial(
    *models: str,
    out: Path,
    layers: list[str] | None = None,
    subtract_initial: bool = False,
    architecture: list[str] | None = None,
    store: Store = STORE,
) -> None:
    """Show the spatial patterns that convolutions learned, and whether layers and networks share them.

    Weights are enough: no images are needed, and no architecture for a weight file.

    Args:
        models: one or more MODELs.
        out: folder for report.html, results.json and the tables.
        layers: names of layers; all by default.
        subtract_initial: look at what training added to the initial weights, where these are known (runs of the
            store); otherwise their noise can hide the patterns.
        architecture: module.path:factory that a weight file belongs to; one for all, or one per model in order.
    """
    from covalign.studies.spatial.measure import spatial_summary
    from covalign.studies.subjects import open_subject
    from covalign.training.store import RunStore

    opened = [
        open_subject(model, factory, store=RunStore(store))
        for model, factory in zip(models, _one_each(architecture, len(models)), strict=True)
    ]
    summary = spatial_summary(opened, layers, subtract_initial=subtract_initial, provenance=_provenance())
    _write(summary, out)


@app.command
def energy(
    model: str | None = None,
    /,
    *,
    images: str,
    out: Path,
    kernel_size: int = 3,
    time: float | None = None,
    architecture: str | None = None,
    normalization: str | None = None,
    split: str = "train",
    label_column: str | None = None,
    resolution: int | None = None,
    max_images: int | None = None,
    draws: int = 200,
    threads: Threads = None,
    seed: int = 0,
    store: Store = STORE,
) -> None:
    """Predict what a first layer learns from these images; with a MODEL, beside what its own learned.

    The prediction is computed from the patches of the images alone. It is fitted to the measured energy profile
    with one free number, the training time, beside the same fit on random filters. Whether the labels will
    change the first layer is judged as well.

    Args:
        model: the MODEL to measure; without one, the prediction alone.
        images: DATA that it was trained on, or would be.
        out: folder for report.html, results.json and the tables.
        kernel_size: side of the patches, where no MODEL fixes it.
        time: training time of the predictions, times the leading patch variance; fitted by default.
        architecture: module.path:factory that a weight file belongs to.
        normalization: imagenet, cifar, none, or MEAN/STD (0.5/0.25; 0.5,0.4,0.4/0.2,0.2,0.3), for models that do not
            say how their pixels are normalized.
        split: which images to use.
        label_column: which label column to read, where a set has several.
        resolution: side in pixels to which images are brought; the network's own by default.
        max_images: at most this many images, drawn at random; all by default.
        draws: random initializations behind the fit.
        seed: of everything random.
    """
    from covalign.data.loading import load_images
    from covalign.data.normalization import normalization as named
    from covalign.studies.first_layer.measure import first_layer_summary
    from covalign.studies.subjects import open_subject
    from covalign.training.store import RunStore

    _set_threads(threads)
    opened = None if model is None else open_subject(model, architecture, store=RunStore(store))
    network = opened.network if opened else None
    summary = first_layer_summary(
        load_images(
            images,
            split,
            resolution=resolution or (network.resolution if network else None),
            label_column=label_column,
            max_images=max_images,
            seed=seed,
        ),
        opened,
        kernel_size=kernel_size,
        scaled_time=time,
        normalization=named(normalization) if normalization else None,
        draws=draws,
        seed=seed,
        provenance=_provenance(),
    )
    _write(summary, out)
    if summary.fit is not None:
        fit = summary.fit
        print(f"the formula fits at r = {fit.correlation:.2f}, random filters at {fit.baseline.mean:.2f}")
    if summary.verdict is not None:
        print(summary.verdict.sentence)


@app.command
def reproduce(
    *names: str,
    scale: str = "smoke",
    images: list[str] | None = None,
    out: Path = Path("covalign-papers"),
    list_: Annotated[bool, Parameter(name="--list", negative=())] = False,
    redraw: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    threads: Threads = None,
    seed: int = 0,
    store: Store = STORE,
) -> None:
    """Reproduce figures and tables of the two papers, and check their claims.

    Trains what is missing (trainings are shared between figures, kept, and resumed), measures, draws, and says which
    claims hold. OUT/NAME gets the figure as PNG and PDF, results.json with the claims, and the numbers behind both.

    Args:
        names: of figures and tables, or all; --list shows them.
        scale: smoke checks the machinery on embedded photographs, laptop takes hours on two cores, paper is the
            published specification.
        images: ROLE=DATA, for a role of the scale, such as cifar10=FOLDER; --list names the roles.
        out: folder of the results, one folder a name.
        list_: show names, needs and estimates of time, memory and disk; start nothing.
        redraw: draw kept results again from their numbers, without networks.
        workers: trainings side by side; as many as there are cores by default.
        scheduler: address of a Dask scheduler (tcp://host:8786) instead of this machine's cores.
        seed: of the measurements; the seeds of trainings are part of each exhibit.
    """
    from covalign.papers.catalogue import NAMES
    from covalign.papers.reproduction import redraw as drawn_again
    from covalign.papers.reproduction import reproduce as reproduced
    from covalign.training.store import RunStore

    _set_threads(threads)
    wanted = NAMES if "all" in names or (list_ and not names) else names
    sources = _by_role(images or [])
    if list_:
        _show_plans(wanted, scale, sources, RunStore(store))
        return
    if not wanted:
        raise InputError(f"reproduce: got no names, expected all, or some of {', '.join(NAMES)}")
    if redraw:
        found = [drawn_again(name, out) for name in wanted]
    else:
        with _progress() as progress:
            found = reproduced(
                wanted,
                scale,
                sources,
                RunStore(store),
                out,
                workers=workers,
                scheduler=scheduler,
                seed=seed,
                command=_command(),
                progress=progress,
            )
    for each in found:
        print(each.folder)
        for claim in each.claims:
            print(f"  {claim.verdict}: {claim.sentence}")


@runs.command(name="list")
def runs_list(*, store: Store = STORE) -> None:
    """List stored trainings: key, images, seed, epochs, accuracy."""
    from rich.console import Console
    from rich.table import Table

    from covalign.training.store import RunStore

    table = Table("key", "images", "labels", "seed", "epochs", "train", "test")
    for entry in RunStore(store).entries():
        if entry.run is None:
            table.add_row(entry.path.name, f"unreadable: {entry.problem}", "", "", "", "", "")
            continue
        run = entry.run
        last = run.history[-1] if run.history else None
        measured = [epoch.test_accuracy for epoch in run.history if epoch.test_accuracy is not None]
        table.add_row(
            run.key[:12],
            run.details["images"]["name"],
            run.spec.labels,
            str(run.spec.seed),
            f"{len(run.history)}/{run.spec.epochs}",
            f"{last.train_accuracy:.1%}" if last else "",
            f"{measured[-1]:.1%}" if measured else "",
        )
    Console().print(table)


@runs.command(name="show")
def runs_show(key: str, /, *, store: Store = STORE) -> None:
    """Print a training's spec, provenance and history as JSON.

    Args:
        key: the first digits of the run's key, or its folder.
    """
    import json
    from dataclasses import asdict

    from covalign.training.store import RunStore, load_run

    run = load_run(key, RunStore(store))
    print(json.dumps({**run.details, "history": [asdict(epoch) for epoch in run.history]}, indent=1))


@runs.command(name="gc")
def runs_gc(*, delete: bool = False, store: Store = STORE) -> None:
    """List files that killed processes left behind; runs themselves are never touched.

    Args:
        delete: remove them.
    """
    from covalign.training.store import RunStore

    leftovers = RunStore(store).leftovers()
    for path in leftovers:
        print(path)
        if delete:
            path.unlink()
    print(f"{len(leftovers)} leftover files {'deleted' if delete else 'found; delete them with --delete'}")


def _one_each(values: list[str] | None, count: int) -> list[str | None]:
    if not values:
        return [None] * count
    if len(values) == 1:
        return [*values] * count
    if len(values) != count:
        raise InputError(
            f"--architecture: got {len(values)} for {count} models, expected one, or one per model"
        )
    return [*values]


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        if threads < 1:
            raise InputError(f"--threads: got {threads}, expected at least 1")
        torch.set_num_threads(threads)


def _by_role(images: list[str]) -> dict[str, str]:
    """Return DATA by role."""
    for entry in images:
        if "=" not in entry:
            raise InputError(f"--images: got {entry!r}, expected ROLE=DATA, such as cifar10=FOLDER")
    return {role: data for role, _, data in (entry.partition("=") for entry in images)}


def _show_plans(names: Sequence[str], size: str, sources: dict[str, str], store: Any) -> None:
    """Print what exhibits need and will cost."""
    from covalign.papers.catalogue import exhibit
    from covalign.papers.reproduction import plan
    from covalign.papers.scales.named import scale as scale_named

    chosen = scale_named(size)

    def show(found: Sequence[str]) -> None:
        planned = plan(found, chosen, sources, store)
        memory, disk = (f"{size / 2**30:.2f} GB" for size in (planned.cost.memory, planned.cost.disk))
        print(
            f"    {planned.networks} networks, {planned.stored} of them in the store; the others take about "
            f"{_duration(planned.cost.seconds)} of one core, {memory} of memory each, {disk} of disk"
        )

    for name in names:
        print(f"{name}: {exhibit(name).title}\n    {exhibit(name).source}")
        show([name])
    if len(names) > 1:
        print("together, networks that several names need trained once:")
        show(names)
    print("Roles of this scale, for --images ROLE=DATA:")
    for role in dict.fromkeys(data.role for data in chosen.data.values()):
        sets = [name for name, data in chosen.data.items() if data.role == role]
        source = sources.get(role) or next(d.source for d in chosen.data.values() if d.role == role)
        print(f"  {role}: {source} ({', '.join(sets)})")


def _duration(seconds: float) -> str:
    """Return a time in words, as coarse as an estimate is."""
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _command() -> str:
    """Return what was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _provenance() -> dict[str, Any]:
    from covalign.storage.provenance import environment

    return {"command": _command(), "covalign": covalign.__version__, "environment": environment()}


def _write(result: Any, out: Path) -> None:
    """Save tables and report, and say where they are."""
    result.save(out, report=True)
    print(out / "report.html")


@contextmanager
def _progress() -> Iterator[Any]:
    """Show stages and the time left on standard error, where somebody watches."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    tasks: dict[str, Any] = {}

    def show(stage: str, done: float) -> None:
        bar.start()
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=1.0)
        bar.update(tasks[stage], completed=done)

    try:
        yield show
    finally:
        bar.stop()


if __name__ == "__main__":
    main()

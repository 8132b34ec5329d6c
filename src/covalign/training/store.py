"""Where are trainings kept, and when are two the same training?

A run's key is the SHA-256 of everything that decides its weights: the resolved spec (threads and precision
included), the fingerprints of the images and of the filter bank, and the version of the recipe's code. One
folder a run, named by the first `KEY_LENGTH` digits of its key; `covalign.storage.folder` says how its files
are written. Where the images lie and what they are called is no part of the key.
"""

import functools
import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from covalign.data.images import Images
from covalign.errors import InputError, unwritable
from covalign.networks.architectures.vgg import VGG_PLANS, map_sides
from covalign.networks.filters import FilterBank, analytic_filters
from covalign.storage.folder import Folder
from covalign.storage.provenance import environment
from covalign.training.run import Run
from covalign.training.shelf import KEY_LENGTH, Shelf, unreadable
from covalign.training.spec import TrainingSpec


def identity(spec: TrainingSpec, train: Images, test: Images, version: int | None = None) -> dict[str, Any]:
    """Return what ``spec.json`` holds: spec, fingerprints, environment, and the key of all that decides.

    Args:
        spec: resolved (see `covalign.training.machine.resolve`).
        train: training images with the labels that are trained on.
        test: test images.
        version: of the recipe; None takes the current one.
    """
    bank = filter_bank(spec)
    version = version or recipe_versions(spec, min(train.pixels.shape[-2:]))[0]
    decisive = {
        "recipe_version": version,
        "spec": _decisive(spec),
        "train": train.fingerprint,
        "test": test.fingerprint,
        "filters": bank.fingerprint if bank else None,
    }
    return {
        "schema_version": 1,
        "key": hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest(),
        "recipe_version": version,
        "spec": asdict(spec),
        "images": {
            "name": train.name,
            "classes": list(train.classes),
            "resolution": train.pixels.shape[-1],
            "train": {"count": len(train), "fingerprint": train.fingerprint},
            "test": {"count": len(test), "fingerprint": test.fingerprint},
        },
        "filters": {"fingerprint": bank.fingerprint, **bank.provenance} if bank else None,
        "environment": environment(),
    }


def recipe_versions(spec: TrainingSpec, side: int) -> tuple[int, ...]:
    """Return the version of the code that gives a spec its weights, then earlier ones whose runs still stand.

    The version is another one whenever last bits would change. Runs of an earlier version stand, and are not
    trained again, where both compute the same function to rounding.

    1 is the first. 2, of networks with kernels that reach beyond their smallest maps: `TrimmedConvolution`, before
    which bfloat16 left gradients undefined. 3, of factorized VGGs in float32 on the CPU: `kernels.factorized_stage`.
    4, of these in bfloat16 as well: blocks of another size, the gradient of weights as one product a block. 5: blocks
    that give every thread as much.

    Args:
        spec: resolved, of the training.
        side: of its images.
    """
    if spec.architecture not in VGG_PLANS:
        return (1,)
    if spec.form == "factorized":
        if spec.device != "cpu":
            return (1,)
        return (5, 4, 3, 1) if spec.precision == "float32" else (5, 4, 1)
    *received, _ = map_sides(spec.architecture, side, spec.kernel_size, spec.first_stride)
    return (2,) if spec.kernel_size // 2 >= min(received) else (1,)


_FINGERPRINTED = ("images", "classes", "max_images", "resolution", "filters")
"""Fields that say where content comes from; its fingerprint stands in the key instead."""


_ADDED = {"frozen": 0, "first_stride": 1}
"""Fields that came after runs were stored, with the value that changes nothing: it is no part of the key."""


def _decisive(spec: TrainingSpec) -> dict[str, Any]:
    """Return the part of a spec that decides the weights."""
    return {
        name: value
        for name, value in asdict(spec).items()
        if name not in _FINGERPRINTED and not (name in _ADDED and value == _ADDED[name])
    }


def filter_bank(spec: TrainingSpec) -> FilterBank | None:
    """Return the frozen bank of a spec; None for a joint network."""
    if spec.form == "joint":
        return None
    return FilterBank.load(spec.filters) if spec.filters else analytic_filters()


@dataclass(frozen=True)
class Entry:
    """One folder of a store: a run, or why it cannot be read; neither where nothing was committed yet."""

    path: Path
    run: Run | None
    problem: str | None


class TrainedElsewhere(Exception):
    """Another process trains the same."""


@dataclass(frozen=True)
class RunStore(Shelf):
    """Runs under one root folder, which may be shared by many machines."""

    @contextmanager
    def lock(self, key: str, patience: float = math.inf) -> Iterator[None]:
        """Keep other processes from training the same key; waits while another one does.

        The operating system frees the lock of a process that died, however it died.

        Args:
            key: of the run.
            patience: seconds to wait at most; then it is said to be trained elsewhere.

        Raises:
            InputError: there can be no lock: a folder that may not be written, a file system without locks.
        """
        path = self.folder(key).path
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            others = "waiting" if math.isinf(patience) else "others come first"
            _say_once(f"run {key[:KEY_LENGTH]} is being trained by another process; {others}")
            _wait(lock, patience)
        except OSError as error:
            raise unwritable(path / "lock", error) from error
        try:
            yield
        finally:
            lock.release()

    def standing(self, spec: TrainingSpec, train: Images, test: Images) -> Run | None:
        """Return the finished run of a spec, of the current recipe or else of an earlier one that still stands.

        Args:
            spec: resolved.
            train: training images with the labels that are trained on.
            test: test images.
        """
        for version in recipe_versions(spec, min(train.pixels.shape[-2:])):
            files = self.folder(identity(spec, train, test, version)["key"])
            if "final.safetensors" in files.files():
                return Run.open(files)
        return None

    def begun(self, spec: TrainingSpec, train: Images, test: Images) -> Run | None:
        """Return the run of a spec as far as it is trained, finished or not; None where there is nothing of it.

        Args:
            spec: resolved.
            train: training images with the labels that are trained on.
            test: test images.

        Raises:
            InputError: a damaged run.
        """
        if (run := self.standing(spec, train, test)) is not None:
            return run
        files = self.folder(identity(spec, train, test)["key"])
        return _opened(files) if "spec.json" in files.files() else None

    def entries(self) -> list[Entry]:
        """Return every run, readable or not, in order of name."""
        return [_entry(path) for path in self.paths()]

    def runs(self) -> list[Run]:
        """Return the runs that are complete and readable."""
        return [entry.run for entry in self.entries() if entry.run is not None and entry.run.complete]

    def load(self, key: str) -> Run:
        """Return the run whose key begins with ``key``.

        Raises:
            InputError: none or several such runs, or a damaged one.
        """
        return _opened(Folder(self.find(key)))


def load_run(name: str | Path, store: RunStore | None = None) -> Run:
    """Return a run by its folder, or by the beginning of its key.

    Args:
        name: a run's folder, its key or the first digits of it.
        store: where keys are looked up; None takes the folder that the environment variable
            ``COVALIGN_STORE`` names, or ``covalign-runs``.

    Raises:
        InputError: no such run, several, or a damaged one.
    """
    if Path(name).is_dir():
        return _opened(Folder(Path(name)))
    return (store or default_store()).load(str(name))


def default_store() -> RunStore:
    """Return the store that the environment variable ``COVALIGN_STORE`` names, or ``covalign-runs``."""
    return RunStore(Path(os.environ.get("COVALIGN_STORE", "covalign-runs")))


def _opened(folder: Folder) -> Run:
    with unreadable(folder.path, folder.files()):
        return Run.open(folder)


def _entry(path: Path) -> Entry:
    try:
        if not Folder(path).files():
            return Entry(path, None, None)
        return Entry(path, _opened(Folder(path)), None)
    except (InputError, OSError) as error:
        return Entry(path, None, str(error))


def _wait(lock: FileLock, patience: float) -> None:
    try:
        lock.acquire(timeout=-1 if math.isinf(patience) else patience)
    except Timeout as error:
        raise TrainedElsewhere from error


@functools.cache
def _say_once(said: str) -> None:
    Console(stderr=True).print(said)

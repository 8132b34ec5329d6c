"""Which trainings does a folder hold, and how far are they? Told without the library that reads their weights.

A store has one folder a run, named by the first `KEY_LENGTH` digits of its key; `covalign.storage.folder` says how
its files are written.
"""

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from covalign.errors import InputError
from covalign.storage import atomic
from covalign.storage.folder import MANIFEST, Committed, Folder
from covalign.storage.metadata import metadata_of

KEY_LENGTH = 16
SPEC, HISTORY, FINAL = "spec.json", "history.json", "final.safetensors"
CHECKPOINT = "checkpoint-"
"""Files of a run: what fixes it, its epochs, its weights, and how the name of what it resumes from begins."""


@dataclass(frozen=True)
class Listed:
    """One folder of a store, as a list tells it.

    Attributes:
        path: the folder.
        document: what ``spec.json`` holds, and the ``history``, a row per epoch; None where nothing can be read.
        problem: why it cannot be read; None where it can, or where nothing was committed yet.
    """

    path: Path
    document: dict[str, Any] | None
    problem: str | None


@dataclass(frozen=True)
class Shelf:
    """Folders of runs under one root folder, which may be shared by many machines."""

    root: Path

    def __post_init__(self) -> None:
        """Accept a string as the root."""
        object.__setattr__(self, "root", Path(self.root))

    def folder(self, key: str) -> Folder:
        """Return the folder of a key, which need not exist."""
        return Folder(self.root / key[:KEY_LENGTH])

    def paths(self) -> list[Path]:
        """Return the run folders, whatever state they are in, in order of name."""
        if not self.root.is_dir():
            return []
        return [path for path in sorted(self.root.iterdir()) if _is_marked(path)]

    def listed(self) -> list[Listed]:
        """Return every run as far as it is trained, readable or not, in order of name."""
        return [_listed(path) for path in self.paths()]

    def has(self, key: str) -> bool:
        """Say whether the key of a run begins with ``key``."""
        return any(path.name.startswith(key[:KEY_LENGTH]) for path in self.paths())

    def find(self, key: str) -> Path:
        """Return the one folder of the runs whose key begins with ``key``.

        Raises:
            InputError: none or several.
        """
        found = [path for path in self.paths() if path.name.startswith(key[:KEY_LENGTH])]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise InputError(
                f"run {key!r}: matches {names} in {self.root}, expected exactly one; "
                "list the runs with `covalign runs list`"
            )
        return found[0]

    def leftovers(self, *, delete: bool = False) -> list[Path]:
        """Return files that no readable run needs: what killed processes left while writing.

        Each folder is looked at under its lock, and left out while it is being trained.

        Args:
            delete: remove them.

        Raises:
            InputError: a file that cannot be removed.
        """
        found: list[Path] = []
        for path in self.paths():
            if _is_clean(path):
                continue
            try:
                with FileLock(path / "lock", timeout=0):
                    found += _swept(path, delete)
            except Timeout:
                continue
            except OSError as error:
                if delete:
                    raise InputError(
                        f"{path}: cannot be cleaned up ({error.strerror or error}); ask its owner to do it"
                    ) from error
                found += _swept(path, delete=False)
        return found

    def remove(self, key: str) -> Path:
        """Delete one run, readable or not, named by eight digits of its key or more; return where it was.

        Raises:
            InputError: fewer digits, no such run, or one that is being trained.
        """
        if len(key) < 8:
            raise InputError(f"run {key!r}: expected at least 8 digits of the key of the run to delete")
        path = self.find(key)
        try:
            with FileLock(path / "lock", timeout=0):
                shutil.rmtree(path)
        except Timeout as error:
            raise InputError(f"run {path.name}: is being trained; stop that process first") from error
        return path


def _is_marked(path: Path) -> bool:
    """Whether a folder is one of a run, as far as it can be looked into."""
    try:
        return any((path / mark).exists() for mark in ("lock", MANIFEST))
    except OSError:
        return True


def _is_clean(path: Path) -> bool:
    """Whether a folder holds what its manifest lists and nothing else, seen without its lock."""
    try:
        return not Folder(path).leftovers()
    except (InputError, OSError):
        return False


def _swept(path: Path, delete: bool) -> list[Path]:
    """Return, and remove, what no committed state of a readable run lists."""
    if _listed(path).problem is not None:
        return []
    found = Folder(path).leftovers()
    for leftover in found if delete else ():
        atomic.discard(leftover)
    return found


def _listed(path: Path) -> Listed:
    try:
        found = Folder(path).committed()
        return Listed(path, document_of(found) if found.files() else None, None)
    except (InputError, OSError) as error:
        return Listed(path, None, str(error))


def document_of(state: Committed) -> dict[str, Any]:
    """Return what ``spec.json`` of a run holds, and its ``history``, a row per epoch.

    Raises:
        InputError: the folder holds no run, or a damaged one.
    """
    with unreadable(state.folder.path, state.files()):
        document = json.loads(state.read(SPEC))
        names = document["key"], document["images"]["name"], document["spec"]["labels"]
        if not all(isinstance(name, str) for name in names) or not isinstance(
            document["spec"]["epochs"], int
        ):
            raise TypeError("spec.json has other types than a run's")
        return {**document, "history": history_of(state)}


def history_of(folder: Any) -> list[dict[str, Any]]:
    """Return a row per epoch of a run: of its checkpoint, where it is not finished."""
    if (begun := checkpoint_name(folder)) is not None:
        rows = json.loads(metadata_of(folder.read(begun))["position"])["history"]
    else:
        rows = json.loads(folder.read(HISTORY)) if HISTORY in folder.files() else []
    return list(rows)


def checkpoint_name(folder: Any) -> str | None:
    """Return the name of the committed checkpoint, if there is one."""
    return next((name for name in folder.files() if name.startswith(CHECKPOINT)), None)


@contextmanager
def unreadable(path: Path, names: Collection[str]) -> Iterator[None]:
    """Say what is wrong with a folder that is no run, or none that this version can read.

    Args:
        path: of the folder.
        names: of its committed files.

    Raises:
        InputError: that.
    """
    try:
        if SPEC not in names:
            raise InputError(f"{path}: holds no run (no {SPEC} listed in its {MANIFEST})")
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not a run that this version can read ({error!r})") from error

"""How does a folder of files survive a kill at any moment?

One file, ``manifest.json``, lists every other file with its SHA-256 and is replaced in one step, last. A commit
writes the new files and the new manifest under temporary names and makes them durable; only then do they get
their places, the manifest after all others. Where new files have new names, whatever moment the process dies at,
the manifest describes a complete state, old or new. Where they replace old ones, the state may also be neither:
then the new manifest still lies there under its temporary name, and what is read says so. A file that no manifest
lists is no part of the state.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from filelock import FileLock

from covalign.errors import InputError, UncheckedWarning, unwritable
from covalign.storage import atomic

MANIFEST = "manifest.json"
NEXT = "manifest.json.next"
"""The manifest of a state that is being written."""
LOCK = ".lock"
TRAINING = "spec.json"
"""What only the folder of a training holds."""
EARLIER = frozenset(
    f"{name}{suffix}" for name in ("table", "layers", "profiles") for suffix in (".parquet", ".csv")
) | {"results.json", "tensors.safetensors", "report.html"}
"""What version 0.1 wrote into a folder of results, without a manifest."""
DATA = (".json", ".csv", ".parquet", ".safetensors")
"""What is read of a folder that has no manifest."""


@dataclass(frozen=True)
class Folder:
    """A folder whose files are, together, always one committed state."""

    path: Path

    def files(self) -> dict[str, str]:
        """Return the committed files: relative path to SHA-256; empty where nothing was committed yet."""
        manifest = self.path / MANIFEST
        try:
            text = manifest.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except PermissionError as error:
            raise InputError(_forbidden(manifest)) from error
        except (OSError, ValueError) as error:
            raise InputError(f"{manifest}: damaged ({error}); {_remedy(self.path)}") from error
        try:
            files = {str(name): str(digest) for name, digest in json.loads(text)["files"].items()}
            if text != _listing(files):
                raise ValueError("not as it was written")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise InputError(f"{manifest}: damaged ({error}); {_remedy(self.path)}") from error
        return files

    def commit(self, new: Mapping[str, bytes], drop: frozenset[str] = frozenset()) -> None:
        """Add or replace files and drop others, all at once.

        Args:
            new: contents by relative path.
            drop: relative paths to remove.
        """
        kept = {name: digest for name, digest in self.files().items() if name not in drop}
        self._write(kept, new, drop)

    def replace(self, new: Mapping[str, bytes]) -> None:
        """Make ``new`` the whole state; files that were never committed stay. Waits while another one does it.

        Raises:
            InputError: the folder cannot be written, or holds what is no result of ours.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / LOCK):
                self._write({}, new, self._replaceable(new) - new.keys())
        except OSError as error:
            raise unwritable(self.path, error) from error

    def refuse(self, names: Iterable[str]) -> None:
        """Raise what `replace` would raise of files of these names, before anything is computed.

        Raises:
            InputError: the folder holds what is no result of ours.
        """
        self._replaceable(dict.fromkeys(names, b""))

    def read(self, name: str) -> bytes:
        """Return a committed file's bytes.

        Raises:
            InputError: the file is not committed, missing, truncated or altered.
        """
        return self.committed().read(name)

    def committed(self) -> "Committed":
        """Return the state that the folder is in now; its manifest is read once."""
        return Committed(self, self.files())

    def contents(self, needed: str) -> dict[str, bytes]:
        """Return every committed file's bytes; of a folder without a manifest, the data files in it, unchecked.

        Args:
            needed: a file without which the folder is not what is asked for.

        Raises:
            InputError: a file is missing, truncated or altered, or the folder is half replaced.
        """
        while True:
            files = self.files()
            try:
                self._expect(needed, files)
                return {name: self.checked(name, files[name]) for name in files} or self._unchecked()
            except InputError:
                if self.files() == files:  # otherwise it was replaced while it was read
                    raise

    def leftovers(self) -> list[Path]:
        """Return files that no committed state lists, except the lock."""
        known = {*self.files(), MANIFEST, "lock", LOCK}
        here = len(str(self.path)) + 1
        found = [os.path.join(top, name) for top, _, names in os.walk(self.path) for name in names]
        return sorted(Path(each) for each in found if each[here:].replace(os.sep, "/") not in known)

    def _write(self, kept: Mapping[str, str], new: Mapping[str, bytes], drop: Set[str]) -> None:
        """Go from one state to the next, which consists of what is kept and what is new."""
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in new.items()}
        staged = self._stage({**kept, **digests}, new)
        for path, temporary in staged.items():
            atomic.publish(temporary, path)
        for folder in {path.parent for path in staged}:
            atomic.settle(folder)
        atomic.publish(self.path / NEXT, self.path / MANIFEST)
        atomic.settle(self.path)
        for name in drop:
            atomic.discard(self.path / name)

    def _stage(self, files: Mapping[str, str], new: Mapping[str, bytes]) -> dict[Path, Path]:
        """Write everything under temporary names, the manifest last; return those of the files."""
        staged: dict[Path, Path] = {}
        try:
            for name, content in new.items():
                path = self.path / name
                for leftover in path.parent.glob(f".{escape(path.name)}.*.tmp"):
                    atomic.discard(leftover)
                staged[path] = atomic.stage(path, content)
            atomic.write_durably(self.path / NEXT, _listing(files).encode())
        except OSError:
            for temporary in staged.values():
                atomic.discard(temporary)
            raise
        return staged

    def _replaceable(self, new: Mapping[str, bytes]) -> frozenset[str]:
        """Return the names of the state that is to be replaced; refuse what is somebody else's, or a training."""
        found = self._listed()
        listed = found or frozenset()
        foreign = [name for name in new if (self.path / name).exists() and name not in listed]
        if TRAINING in listed or (self.path / TRAINING).exists():
            raise InputError(f"{self.path}: holds a training, which results would erase; give another folder")
        theirs = None
        if foreign:
            theirs = None if self._is_earlier_result() else foreign[0]
        elif found is None:  # other programs keep a manifest of that name, too
            theirs = MANIFEST
        if theirs is not None:
            raise InputError(
                f"{self.path / theirs}: is there already and was not written by covalign; give another folder"
            )
        earlier = {name for name in EARLIER if (self.path / name).is_file()} if foreign else set()
        return listed | earlier

    def _is_earlier_result(self) -> bool:
        """Whether the folder holds a result without a manifest, or with a damaged one."""
        try:
            document = json.loads((self.path / "results.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return (self.path / MANIFEST).is_file() or (self.path / NEXT).is_file()
        return isinstance(document, dict) and {"schema_version", "kind"} <= document.keys()

    def _listed(self) -> frozenset[str] | None:
        """Return the names in the manifest; None where it is damaged, or another program's."""
        try:
            return frozenset(self.files())
        except InputError:
            return None

    def _expect(self, needed: str, files: Mapping[str, str]) -> None:
        if not (needed in files if files else (self.path / needed).is_file()):
            where = f"{MANIFEST} lists" if files else "holds"
            raise self._interrupted() or InputError(
                f"{self.path}: {where} no {needed}; expected a folder of results"
            )

    def checked(self, name: str, digest: str) -> bytes:
        """Return the bytes of a file whose digest is known.

        Raises:
            InputError: the file is missing, truncated or altered.
        """
        path = self.path / name
        try:
            content = path.read_bytes()
        except PermissionError as error:
            raise InputError(_forbidden(path)) from error
        except OSError as error:
            raise self._interrupted() or InputError(
                f"{path}: cannot be read ({error}), though {MANIFEST} lists it; {_remedy(self.path)}"
            ) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise self._interrupted() or InputError(
                f"{path}: damaged ({len(content)} bytes whose SHA-256 is not the one in {MANIFEST}); "
                f"{_remedy(self.path)}"
            )
        return content

    def _unchecked(self) -> dict[str, bytes]:
        if error := self._interrupted():
            raise error
        warnings.warn(
            f"{self.path}: has no {MANIFEST} with checksums (earlier versions wrote none), so that damage would "
            "not be noticed",
            UncheckedWarning,
            stacklevel=5,
        )
        found = (path for path in sorted(self.path.iterdir()) if path.suffix in DATA)
        return {p.name: p.read_bytes() for p in found if p.suffix != ".parquet" or p.name in EARLIER}

    def _interrupted(self) -> InputError | None:
        if not (self.path / NEXT).exists():
            return None
        return InputError(f"{self.path}: was being replaced when its writer stopped: run the command again")


@dataclass(frozen=True)
class Committed:
    """One committed state of a folder: what its manifest said when it was read.

    Attributes:
        folder: where the files are.
        listed: relative path to SHA-256.
    """

    folder: Folder
    listed: Mapping[str, str]

    def files(self) -> dict[str, str]:
        """Return the committed files: relative path to SHA-256."""
        return dict(self.listed)

    def read(self, name: str) -> bytes:
        """Return a committed file's bytes.

        Raises:
            InputError: the file is not committed, missing, truncated or altered.
        """
        if name not in self.listed:
            raise InputError(
                f"{self.folder.path / name}: not part of a committed state, which is: {', '.join(self.listed)}"
            )
        return self.folder.checked(name, self.listed[name])


def _listing(files: Mapping[str, str]) -> str:
    return json.dumps({"files": files}, indent=1, sort_keys=True)


def _forbidden(path: Path) -> str:
    return f"{path}: cannot be read (permission denied), and may be whole; ask its owner for the right to read it"


def _remedy(folder: Path) -> str:
    return f"restore it from a copy, or move {folder} away and run the command again"

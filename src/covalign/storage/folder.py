"""How does a folder of files survive a kill at any moment?

One file, ``manifest.json``, lists every other file with its SHA-256 and is replaced in one step. A commit
writes the new files under names that the manifest does not list yet, makes them durable, replaces the
manifest, and only then removes what it no longer lists. Whatever moment the process dies at, the manifest
describes a complete state, old or new; files that it does not list are leftovers.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from covalign.errors import InputError
from covalign.storage.atomic import write_durably

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Folder:
    """A folder whose files are, together, always one committed state."""

    path: Path

    def files(self) -> dict[str, str]:
        """Return the committed files: relative path to SHA-256; empty where nothing was committed yet."""
        manifest = self.path / MANIFEST
        if not manifest.exists():
            return {}
        try:
            files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
            return {str(name): str(digest) for name, digest in files.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{manifest}: damaged ({error}); the run's files cannot be trusted without it: move "
                f"{self.path} away and train again"
            ) from error

    def commit(self, new: Mapping[str, bytes], drop: frozenset[str] = frozenset()) -> None:
        """Add or replace files and drop others, all at once.

        Args:
            new: contents by relative path, which no committed file has.
            drop: relative paths to remove.
        """
        files = {name: digest for name, digest in self.files().items() if name not in drop}
        for name, content in new.items():
            write_durably(self.path / name, content)
            files[name] = hashlib.sha256(content).hexdigest()
        manifest = json.dumps({"files": files}, indent=1, sort_keys=True)
        write_durably(self.path / MANIFEST, manifest.encode())
        for name in drop:
            (self.path / name).unlink(missing_ok=True)

    def read(self, name: str) -> bytes:
        """Return a committed file's bytes.

        Raises:
            InputError: the file is not committed, missing, truncated or altered.
        """
        path = self.path / name
        digest = self.files().get(name)
        if digest is None:
            raise InputError(f"{path}: not part of a committed state; the run has: {', '.join(self.files())}")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error}); {_remedy(self.path)}") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise InputError(
                f"{path}: damaged ({len(content)} bytes whose SHA-256 is not the one in {MANIFEST}); "
                f"{_remedy(self.path)}"
            )
        return content

    def leftovers(self) -> list[Path]:
        """Return files that no committed state lists, except the lock."""
        known = {self.path / name for name in self.files()} | {self.path / MANIFEST, self.path / "lock"}
        return sorted(path for path in self.path.rglob("*") if path.is_file() and path not in known)


def _remedy(folder: Path) -> str:
    return f"restore it from a copy, or move {folder} away and train again"

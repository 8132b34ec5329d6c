"""How is a file written so that a crash leaves the old one or the new one, never half of it?

In steps that several files can share: `stage` writes under a temporary name, `publish` puts it in its place, `settle`
makes the names of a folder durable.
"""

import os
from pathlib import Path

from covalign.errors import unwritable


def write_durably(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file or none: temporary name, fsync, rename, fsync of the folder."""
    publish(stage(path, content), path)
    settle(path.parent)


def write_or_refuse(path: Path, content: bytes | memoryview) -> None:
    """`write_durably` where a person gave the path.

    Raises:
        InputError: it cannot be written.
    """
    try:
        write_durably(path, content)
    except OSError as error:
        raise unwritable(path, error, "give a path in a writable folder") from error


def stage(path: Path, content: bytes | memoryview) -> Path:
    """Write what ``path`` shall hold under a temporary name beside it, durably, and return that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        discard(temporary)
        error.filename = error.filename or str(path)  # a full disk is told without a name
        raise
    return temporary


def publish(staged: Path, path: Path) -> None:
    """Put a staged file in its place, in one step."""
    staged.replace(path)


def discard(path: Path) -> None:
    """Remove a file, where it is."""
    path.unlink(missing_ok=True)


def settle(folder: Path) -> None:
    """Make renames within a folder durable."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, and renames are durable by themselves
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""How is a file written so that a crash leaves the old one or the new one, never half of it?"""

import os
from pathlib import Path


def write_durably(path: Path, content: bytes | memoryview) -> None:
    """Write a whole file or none: temporary name, fsync, rename, fsync of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name != "posix":  # elsewhere a folder cannot be opened, and renames are durable by themselves
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

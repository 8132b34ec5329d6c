"""Where do decoded images wait for the next run?

In one safetensors file per set of files and options, under the folder named by COVALIGN_CACHE or the
platform's cache folder. The file's name is a digest of what was asked for (paths, sizes and times of the
files, and every option); its metadata carry a checksum of what was stored. An entry that is damaged, or was
written by another version, is made anew; a folder that cannot be written to costs time only.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from covalign.data.images import Images
from covalign.storage.atomic import write_durably
from covalign.storage.caches import cache_folder

FORMAT = 1


def cached(files: Iterable[Path], options: dict[str, object], make: Callable[[], Images]) -> Images:
    """Return the stored images of these files and options, or make and store them.

    Args:
        files: what the images are read from; whatever changes them makes a new entry, since the operating system
            notes the time of every change, even where a program sets the time of writing back.
        options: everything else that decides the result, as plain JSON values.
        make: reads and decodes the images.
    """
    stats = [(str(file.resolve()), *_state(file)) for file in files]
    key = json.dumps([FORMAT, stats, options], sort_keys=True)
    try:
        folder = cache_folder("images")
    except RuntimeError:  # there is no home
        return make()
    entry = folder / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"
    with suppress(OSError, SafetensorError, ValueError, KeyError, TypeError):
        return _read(entry)
    images = make()
    with suppress(OSError):
        _write(images, entry)
    return images


def _state(file: Path) -> tuple[int, ...]:
    """Return what differs between two states of a file: size, times of writing and of change, place on disk."""
    found = file.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _checksum(images: Images) -> str:
    return hashlib.sha256(repr((images.fingerprint, images.name, images.split)).encode()).hexdigest()


def _read(entry: Path) -> Images:
    with safe_open(entry, framework="pt") as file:
        record = json.loads(file.metadata()["images"])
        images = Images(
            pixels=file.get_tensor("pixels"),
            labels=file.get_tensor("labels"),
            classes=tuple(record["classes"]),
            name=record["name"],
            split=record["split"],
        )
    if record["checksum"] != _checksum(images):
        raise ValueError("checksum differs")
    return images


def _write(images: Images, entry: Path) -> None:
    record = {
        "classes": images.classes,
        "name": images.name,
        "split": images.split,
        "checksum": _checksum(images),
    }
    tensors = {"pixels": images.pixels, "labels": images.labels}
    write_durably(entry, save(tensors, metadata={"images": json.dumps(record)}))

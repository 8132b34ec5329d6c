"""Which images and classes does a folder of image files hold?

One sub-folder per class, either directly or below the splits:

    DATA/CLASS/*.png        or        DATA/train/CLASS/*.png and DATA/test/CLASS/*.png

Classes are ordered by name. Where there are splits, the training split (or else the first by name) says which
classes exist, so that a label means the same class in every split.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from covalign.data.listing import SPLITS, TRAINING, Listing, Source, choose_split
from covalign.errors import InputError

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def image_folder(folder: Path, wanted: str) -> Source:
    """Find the image files of one split.

    Raises:
        InputError: no images, a split that is not there, or a class that the training split does not have.
    """
    levels = [child.name for child in _folders(folder) if child.name in SPLITS]
    split = choose_split(levels, wanted, str(folder)) if levels else "all"
    root = folder / split if levels else folder
    reference = folder / min(levels, key=lambda name: (name not in TRAINING, name)) if levels else folder
    classes = tuple(child.name for child in _folders(reference))
    found = {child.name: _images(child) for child in _folders(root)}
    files = tuple(file for name in sorted(found) for file in found[name])
    if not files:
        raise InputError(f"{root}: found no images; expected one sub-folder of images per class")
    for name in found:
        if name not in classes:
            raise InputError(f"{root / name}: this class is not in {reference}, which holds the classes")
    labels = [classes.index(name) for name in sorted(found) for _ in found[name]]
    return Source(folder.name, split, files, partial(_listing, files, labels, classes))


def _listing(files: tuple[Path, ...], labels: list[int], classes: tuple[str, ...]) -> Listing:
    return Listing(torch.arange(len(files)), torch.tensor(labels), classes, partial(_read, files))


def _read(files: tuple[Path, ...], rows: list[int]) -> Iterator[tuple[str, bytes]]:
    for row in rows:
        try:
            data = files[row].read_bytes()
        except OSError as error:
            raise InputError(f"{files[row]}: cannot be read ({error.strerror}); check the file") from error
        yield str(files[row]), data


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())

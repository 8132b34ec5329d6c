"""Which classes are learned, and are the labels the true ones?

Random labels follow the two protocols: one *uniform* draw per image (Guth & Ménard 2024, §3.3), or the true
list of labels *permuted*, which keeps class counts (Chowers & Weiss 2023). A realization is one such draw.
"""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import TypeVar
from zlib import crc32

import torch

from covalign.data.images import Images
from covalign.data.listing import Listing
from covalign.errors import InputError

Labelled = TypeVar("Labelled", Images, Listing)


def random_labels(images: Images, realization: int, kind: str = "uniform") -> Images:
    """Return the same images with labels that tell nothing about them.

    Args:
        images: the true ones; pixels are shared, not copied.
        realization: which draw; the same number always gives the same labels for the same number of images.
        kind: "uniform" draws every label independently from all classes; "permuted" shuffles the true labels.

    Raises:
        InputError: an unknown kind.
    """
    generator = torch.Generator().manual_seed(crc32(f"{kind} labels {realization}".encode()))
    if kind == "uniform":
        labels = torch.randint(len(images.classes), (len(images),), generator=generator)
    elif kind == "permuted":
        labels = images.labels[torch.randperm(len(images), generator=generator)]
    else:
        raise InputError(f"random labels: got kind {kind!r}, expected 'uniform' or 'permuted'")
    return replace(images, labels=labels, name=f"{images.name}, {kind} labels {realization}")


def select_classes(images: Labelled, classes: int | Sequence[str] | Sequence[int]) -> Labelled:
    """Keep the images of some classes, relabelled 0, 1, ... in the order asked for.

    Args:
        images: images, or a listing of images not yet decoded.
        classes: class names, their indices, or a number N for the first N classes (CIFAR5 is ``5`` of CIFAR-10).

    Raises:
        InputError: a class that does not exist or is named twice, or a number out of range.
    """
    names = _names(classes, images.classes)
    new_label = torch.full((len(images.classes),), -1)
    new_label[[images.classes.index(name) for name in names]] = torch.arange(len(names))
    kept = images.take(torch.nonzero(new_label[images.labels] >= 0).flatten())
    return replace(kept, labels=new_label[kept.labels], classes=names)


def _names(classes: int | Sequence[str] | Sequence[int], available: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(classes, int):
        if not 1 <= classes <= len(available):
            raise InputError(f"classes: got {classes}, expected 1 to {len(available)}, or class names")
        return available[:classes]
    names = (classes,) if isinstance(classes, str) else tuple(_name(entry, available) for entry in classes)
    for name in names:
        if name not in available:
            near = get_close_matches(name, available, n=3) or available[:5]
            raise InputError(
                f"classes: {name!r} is not one of the {len(available)} classes; near: {', '.join(near)}"
            )
    if not names or len(set(names)) < len(names):
        raise InputError(f"classes: got {list(names)}, expected at least one name and each of them once")
    return names


def _name(entry: str | int, available: tuple[str, ...]) -> str:
    """Return the name of a class given by name or index."""
    if isinstance(entry, str):
        return entry
    if not 0 <= entry < len(available):
        raise InputError(f"classes: got index {entry}, expected 0 to {len(available) - 1}")
    return available[entry]

"""Where do images come from, and how do they become an `Images` record?

`load_images` reads a data set of the Hugging Face hub, a folder of parquet files in the hub's layout, a
folder of image files, an ``.npz`` file, arrays, or the photographs that come with the package. Whatever the
source: classes are chosen first, then a random subset, then what is left is decoded and brought to one
size.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from covalign.arrays import ArrayLike
from covalign.data.cache import cached
from covalign.data.decoding import decode_listing
from covalign.data.folders import image_folder
from covalign.data.hub import hub_dataset
from covalign.data.images import Images, random_subset
from covalign.data.labels import Labelled, select_classes
from covalign.data.listing import Source
from covalign.data.memory import images_from_arrays, images_from_npz
from covalign.data.photographs import photographs
from covalign.data.pixels import box_average, square, with_channels
from covalign.data.tables import parquet_files
from covalign.errors import InputError, nearest
from covalign.limits import DECODED, PIXELS

ImageSource: TypeAlias = str | Path | Images | tuple[ArrayLike, ArrayLike]
HELD_OUT = 0.1
"""Share of the images of a source without splits that is not trained on."""
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


def load_images(
    source: ImageSource,
    split: str = "train",
    *,
    resolution: int | None = None,
    classes: int | Sequence[str] | Sequence[int] | None = None,
    label_column: str | None = None,
    max_images: int | None = None,
    channels: int | None = 3,
    seed: int = 0,
    cache: bool = True,
) -> Images:
    """Load labelled images as one uint8 tensor.

    Args:
        source: one of
            "photos", "photos:a", "photos:b": crops of the embedded photographs;
            a hub name ("uoft-cs/cifar10"), downloaded once;
            a folder of parquet files (``train-*.parquet``, ``test-*`` or ``valid-*``), or one such file;
            a folder of images, one sub-folder per class, with or without a level of splits above;
            an ``.npz`` file with arrays ``images`` and ``labels``, or ``train_images``, ``train_labels``,
            ``test_images``, ``test_labels``; uint8, ``[n, h, w]``, ``[n, h, w, c]`` or ``[n, c, h, w]``; and
            optionally ``classes``, an array of names;
            a pair (pixels, labels) of such arrays; or an `Images` record.
        split: "train" or "test" (or "valid", ...); a source without splits is used whole, and its record says
            "all". A record is used as it is.
        resolution: side in pixels: the central square is box-averaged to it; None keeps the size.
        classes: names, indices, or a number N for the first N; labels are renumbered.
        label_column: which column holds the labels, where a table has several; other sources ignore it.
        max_images: draw at most so many, at random (sources are often sorted by class).
        channels: 1 or 3 (grey images are repeated, colour images converted), or another number, which the images must
            have; None takes them as they are.
        seed: of the random subset.
        cache: keep decoded images on disk (see `covalign.data.cache`).

    Raises:
        InputError: anything missing, damaged or contradictory, with the file and row it was found in.

    Example:
        Four grey pictures that a program holds as an array:

        >>> import numpy as np
        >>> images = load_images((np.zeros((4, 8, 8), dtype=np.uint8), np.array([0, 1, 1, 0])), channels=3)
        >>> tuple(images.pixels.shape), images.classes
        ((4, 3, 8, 8), ('0', '1'))
    """
    for name, value in (("resolution", resolution), ("max_images", max_images), ("channels", channels)):
        if value is not None and value < 1:
            raise InputError(f"{name}: got {value}, expected a positive number")
    found = _find(source, split, label_column)
    if isinstance(found, Images):
        images = _chosen(found, classes, max_images, seed)
        pixels = with_channels(images.pixels, channels)
        if resolution is not None:
            PIXELS.check(resolution**2, "resolution")
            DECODED.check(
                len(images) * pixels.shape[1] * resolution**2, f"{images.name} at {resolution} pixels"
            )
            pixels = box_average(square(pixels), resolution)
        return replace(images, pixels=pixels)

    def decoded() -> Images:
        listing = _chosen(found.open(), classes, max_images, seed)
        pixels = decode_listing(listing, channels, resolution)
        return Images(pixels, listing.labels, listing.classes, found.name, found.split)

    if not cache:
        return decoded()
    options: dict[str, Any] = {
        "name": found.name,
        "split": found.split,
        "label_column": label_column,
        "classes": classes if classes is None or isinstance(classes, int | str) else list(classes),
        "max_images": max_images,
        "seed": seed,
        "channels": channels,
        "resolution": resolution,
    }
    return cached(found.files, options, decoded)


def load_split(
    source: str | Path, split: str, *, max_images: int | None = None, seed: int = 0, **options: Any
) -> Images:
    """Load the training or the test images of a source, which have no image in common.

    Of a source without splits a tenth, always the same, is held out as test images.

    Args:
        source: a name, file or folder, as `load_images` takes it.
        split: "train" or "test".
        max_images: draw at most so many images.
        seed: of the random subset.
        options: further ones of `load_images`.

    Raises:
        InputError: what `load_images` raises, and a source without splits that has a single image.
    """
    found = load_images(source, split, max_images=max_images, seed=seed, **options)
    if found.split != "all":
        return found
    whole = found if max_images is None else load_images(source, split, **options)
    order = random_subset(len(whole), len(whole), seed=0)
    held_out = math.ceil(HELD_OUT * len(whole))
    if held_out == len(whole):
        raise InputError(
            f"{source}: has no test split and only {len(whole)} image, which cannot be trained and tested on; give "
            "a source with a test split, or more images"
        )
    part = replace(whole.take(order[:held_out] if split == "test" else order[held_out:]), split=split)
    return part.sample(max_images or len(part), seed=seed)


def _chosen(
    images: Labelled, classes: int | Sequence[str] | Sequence[int] | None, max_images: int | None, seed: int
) -> Labelled:
    if classes is not None:
        images = select_classes(images, classes)
    if max_images is not None and max_images < len(images):
        images = images.take(random_subset(len(images), max_images, seed))
    return images


def _find(source: ImageSource, split: str, label_column: str | None) -> Images | Source:
    """Tell the kinds of sources apart and find the files of the split."""
    if isinstance(source, Images):
        return source
    if isinstance(source, tuple):
        return images_from_arrays(*source)
    if str(source).partition(":")[0] == "photos":
        return photographs(str(source), split)
    path = Path(source).expanduser()
    if path.suffix == ".npz" and path.is_file():
        return images_from_npz(path, split)
    if path.suffix == ".parquet" and path.is_file():
        return parquet_files(path, split, label_column)
    if path.is_file():
        raise InputError(f"{path}: expected an .npz or .parquet file, or a folder")
    if path.is_dir():
        tables = next(path.rglob("*.parquet"), None) is not None
        return parquet_files(path, split, label_column) if tables else image_folder(path, split)
    if isinstance(source, str) and HUB_NAME.fullmatch(source) and path.suffix not in (".npz", ".parquet"):
        try:
            return hub_dataset(source, split, label_column)
        except InputError as error:
            raise InputError(f"{error}{nearest(source, ['photos'])}") from error
    raise InputError(f"{path}: no such file or folder")

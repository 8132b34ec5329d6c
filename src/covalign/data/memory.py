"""Which arrays can serve as images, in memory or in an ``.npz`` file?"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from covalign.arrays import ArrayLike
from covalign.data.images import Images
from covalign.data.listing import SPLITS, choose_split
from covalign.errors import InputError
from covalign.limits import CLASSES, DECODED


def images_from_arrays(
    pixels: ArrayLike,
    labels: ArrayLike,
    classes: tuple[str, ...] | None = None,
    name: str = "arrays",
    split: str = "all",
) -> Images:
    """Make a record of arrays.

    Args:
        pixels: uint8, shape ``[n, h, w]``, ``[n, h, w, c]`` or ``[n, c, h, w]``; channels are the axis of
            length 1, 3 or 4, or else the shortest.
        labels: integers from 0, shape ``[n]`` or ``[n, 1]``.
        classes: class names; None names the classes by their numbers.
        name: how the images are called in tables and messages.
        split: which part of the source this is.

    Raises:
        InputError: another type or shape, or labels that do not fit.
    """
    pixels, labels = _tensor(pixels, f"{name}: images"), _tensor(labels, f"{name}: labels")
    if pixels.dtype != torch.uint8 or pixels.ndim not in (3, 4):
        raise InputError(
            f"{name}: got images of type {pixels.dtype} and shape {list(pixels.shape)}, expected uint8 "
            "[n, h, w], [n, h, w, c] or [n, c, h, w]; scale to 0..255 and convert"
        )
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise InputError(f"{name}: got labels of type {labels.dtype}, expected integers")
    labels = labels.long().flatten()
    if len(labels) != len(pixels):
        raise InputError(f"{name}: got {len(pixels)} images and {len(labels)} labels, expected one for each")
    if not classes:
        count = int(labels.max()) + 1 if len(labels) else 0
        CLASSES.check(count, f"{name}: labels")
        classes = tuple(map(str, range(count)))
    return Images(_channels_first(pixels, name), labels, classes, name, split)


def images_from_npz(path: Path, wanted: str) -> Images:
    """Read ``images`` and ``labels``, or ``train_images``, ``train_labels``, ``test_images``, ...

    An array ``classes`` of names is optional. Nothing is unpickled.

    Raises:
        InputError: a damaged file, other arrays, or a split that is not there.
    """
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            splits = [name for name in SPLITS if f"{name}_images" in file.files]
            split = choose_split(splits, wanted, str(path)) if splits else "all"
            keys = [f"{split}_{part}" if splits else part for part in ("images", "labels")]
            if not all(key in file.files for key in keys):
                raise InputError(f"{path}: got arrays {', '.join(file.files)}; expected {' and '.join(keys)}")
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in file.zip.infolist()}
            wanted_keys = [key for key in (*keys, "classes") if key in file.files]
            DECODED.check(sum(sizes[key] for key in wanted_keys), str(path))
            arrays = {key: file[key] for key in wanted_keys}
            if other := [key for key, value in arrays.items() if not isinstance(value, np.ndarray)]:
                raise ValueError(f"{other[0]} is no array")
    except InputError:
        raise
    except Exception as error:  # zip, zlib and NumPy each have their own errors for damaged files
        raise InputError(f"{path}: not a readable .npz file ({error}); restore it") from error
    classes = tuple(map(str, arrays["classes"])) if "classes" in arrays else None
    return images_from_arrays(arrays[keys[0]], arrays[keys[1]], classes, path.stem, split)


def _tensor(value: ArrayLike, name: str) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    try:
        return torch.from_numpy(np.array(value))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: got {type(value).__name__}, expected an array of numbers ({error})"
        ) from error


def _channels_first(pixels: Tensor, name: str) -> Tensor:
    """Bring images to ``[n, c, h, w]``: channels are 1, 3 or 4, or else the one axis that is the shortest."""
    if pixels.ndim == 3:
        return pixels.unsqueeze(1)
    first, *_, last = pixels.shape[1:]
    if first in (1, 3, 4):
        return pixels
    if last in (1, 3, 4) or last < min(pixels.shape[1:3]):
        return pixels.permute(0, 3, 1, 2).contiguous()
    if first < min(pixels.shape[2:]):
        return pixels
    raise InputError(
        f"{name}: got images of shape {list(pixels.shape)}, expected 1, 3 or 4 channels, or fewer channels "
        "than pixels along a side"
    )

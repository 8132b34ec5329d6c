"""Which arrays does an ``.npz``, ``.h5`` or ``.keras`` file hold?

Flax, Keras, Chainer and NumPy itself write such files. Headers come first: arrays that lie in the file as they
are, are mapped into memory and read when they are used. Nothing that could run code is read (pickled objects),
nor what lies in other files.
"""

import math
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from covalign.errors import InputError, optional
from covalign.limits import TENSORS
from covalign.networks.network import Skipped
from covalign.networks.readers.names import dotted
from covalign.networks.readers.torch_file import WeightFile, one_line
from covalign.storage.archive import check_entries, check_size

NUMBERS = "fiubc"
"""Kinds of arrays that tensors hold."""
PLACES = ("model_weights", "params")
"""Where Keras and Flax keep the weights beside the state of an optimizer."""
LOCAL_HEADER = 30
"""Bytes before the name of an entry of a zip archive."""
VARIABLES = {
    "lstm": ("kernel", "recurrent_kernel", "bias"),
    "gru": ("kernel", "recurrent_kernel", "bias"),
    "rnn": ("kernel", "recurrent_kernel", "bias"),
    "cell": ("kernel", "recurrent_kernel", "bias"),
    "separable": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "depthwise": ("depthwise_kernel", "bias"),
    "norm": ("gamma", "beta", "moving_mean", "moving_variance"),
    "embedding": ("embeddings", "bias"),
}
"""What the variables of Keras 3 stand for, in order, by a word of the layer's name; of others, kernel and bias."""
WEIGHTS = "model.weights.h5"
"""Where a Keras archive has its weights."""


def read_npz(path: Path) -> WeightFile:
    """Read the arrays of an ``.npz`` file by name.

    Raises:
        InputError: a file that is damaged, unpacks to too much, or holds no arrays of numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
            check_size(sum(entry.file_size for entry in entries), path.stat().st_size, str(path))
            TENSORS.check(len(entries), str(path))
            check_entries(archive, entries)
            arrays = {entry.filename[: -len(".npy")]: _entry(path, archive, entry) for entry in entries}
    except InputError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise InputError(f"{path}: not an .npz file ({one_line(error)}); get it again") from error
    return _weight_file(path, ((dotted(name), array) for name, array in arrays.items()), ordered=True)


def read_hdf5(path: Path) -> WeightFile:
    """Read the arrays of an HDF5 file of Keras (or of anything else) by name.

    Raises:
        InputError: the keras extra is missing; a file that is damaged, or points to other files.
    """
    h5py = optional("h5py", "keras")
    try:
        with h5py.File(path, "r") as file:
            return _hdf5(path, h5py, file, path)
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"{path}: not an HDF5 file ({one_line(error)}); get it again") from error


def read_keras(path: Path) -> WeightFile:
    """Read the weights of a Keras archive.

    Raises:
        InputError: the keras extra is missing; a file that is damaged, or holds no weights.
    """
    if not zipfile.is_zipfile(path):
        return read_hdf5(path)  # the ending of Keras 2 for the same content
    h5py = optional("h5py", "keras")
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(WEIGHTS)
            check_size(entry.file_size, path.stat().st_size, str(path))
            check_entries(archive, [entry])
            with archive.open(entry) as inner, h5py.File(inner, "r") as file:
                return _hdf5(path, h5py, file, None)
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise InputError(
            f"{path}: not a Keras archive with {WEIGHTS} ({one_line(error)}); get it again"
        ) from error


def _entry(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
    """Return one array of an archive, mapped where it is not compressed; None for pickled objects."""
    with archive.open(entry) as stream:
        shape, fortran, dtype = _npy_header(stream)
        if dtype.hasobject:
            return None
        if dtype.kind not in NUMBERS:
            return _unread(dtype)
        start = stream.tell()
        if start + math.prod(shape) * dtype.itemsize != entry.file_size:
            raise ValueError(f"{entry.filename} declares {list(shape)} {dtype} in {entry.file_size} bytes")
        if entry.compress_type != zipfile.ZIP_STORED:
            values = np.frombuffer(stream.read(), dtype)
            return values.reshape(shape, order="F" if fortran else "C").copy()
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        name, extra = struct.unpack("<HH", file.read(LOCAL_HEADER)[26:30])
    offset = entry.header_offset + LOCAL_HEADER + name + extra + start
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(path, dtype, "c", offset, shape, "F" if fortran else "C")


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    return shape, fortran, dtype


def _hdf5(path: Path, h5py: Any, file: Any, mapped: Path | None) -> WeightFile:
    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    for name, item in found.items():
        if item.external or item.is_virtual:
            raise InputError(f"{path}: {name!r} lies in other files, expected all weights in this one")
    TENSORS.check(len(found), str(path))
    declared = sum(item.nbytes for item in found.values() if item.dtype.kind == "f")
    check_size(declared, path.stat().st_size, str(path))
    order = [name if isinstance(name, str) else name.decode() for name in _layer_names(file)]
    names = sorted(found, key=lambda name: _rank(name, order)) if order else list(found)
    pairs = ((_keras_name(name), _dataset(found[name], mapped)) for name in names)
    return _weight_file(path, pairs, ordered=bool(order))


def _layer_names(file: Any) -> list[Any]:
    return list(file.get("model_weights", file).attrs.get("layer_names", ()))


def _rank(name: str, order: list[str]) -> int:
    parts = name.split("/")
    return next((index for index, layer in enumerate(order) if layer in parts), len(order))


def _dataset(item: Any, mapped: Path | None) -> Any:
    """Return an array, mapped where it lies in the file as it is."""
    if item.dtype.kind != "f" or item.dtype.hasobject:
        small = item.dtype.kind in "iub" and item.ndim < 2
        return np.zeros(item.shape, np.int8) if small else _unread(item.dtype)
    offset = item.id.get_offset() if mapped and item.size else None
    if mapped is None or offset is None:
        return item[()] if item.size else np.zeros(item.shape, item.dtype)
    return np.memmap(mapped, item.dtype, "c", offset, item.shape)


def _keras_name(name: str) -> str:
    """Return a name with each part once, and with what the numbered variables of Keras 3 are called elsewhere."""
    parts: list[str] = []
    for part in dotted(name.replace("\\", "/")).split("."):
        if not parts or parts[-1] != part:
            parts.append(part)
    if len(parts) < 2 or parts[-2] != "vars" or not parts[-1].isdigit():
        return ".".join(parts)
    *owner, _, number = parts
    layer = next((part for part in reversed(owner) if part != "cell"), "")
    kind = next((kind for kind in VARIABLES if kind in layer), "cell" if owner[-1:] == ["cell"] else "")
    roles = VARIABLES.get(kind, ("kernel", "bias"))
    return ".".join([*owner, roles[int(number)] if int(number) < len(roles) else number])


def _weight_file(path: Path, arrays: Iterator[tuple[str, Any]], ordered: bool) -> WeightFile:
    read = {name: _tensor(each) if isinstance(each, np.ndarray) else each for name, each in arrays}
    kept = {name: each for name, each in read.items() if isinstance(each, Tensor)}
    if not kept:
        raise InputError(f"{path}: holds no arrays of numbers, expected the weights of a network")
    heads = {name.partition(".")[0] for name in kept if "." in name}
    places = tuple(place for place in PLACES if place in heads)
    unread = tuple(Skipped(name, each) for name, each in read.items() if isinstance(each, str) and each)
    return WeightFile(path, kept, ordered, places=places, unread=unread)


def _tensor(array: np.ndarray) -> Tensor | str:
    """Return an array as a tensor, or why none holds it; numbers of more than 64 bits are rounded."""
    native = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    try:
        return torch.from_numpy(native.astype(np.float64) if native.dtype == np.longdouble else native)
    except TypeError:
        return _unread(array.dtype)


def _unread(dtype: np.dtype) -> str:
    """Say why an array is not read; "" for texts and objects, which are no weights."""
    if dtype.hasobject or dtype.kind in "SUMmO":
        return ""
    raw = "; such bytes may be bfloat16 or float8" if dtype.kind == "V" else ""
    return f"stored as {dtype.str.lstrip('|<>=')}{raw}, expected real numbers of a type that NumPy has"

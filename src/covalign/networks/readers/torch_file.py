"""What tensors does a weight file hold, read without running anything in it?

Two containers. ``.safetensors`` is a header and raw numbers, mapped into memory and read lazily. PyTorch
files (``.pt``, ``.pth``, ``.ckpt``, ``.bin`` ...) are pickles, which are programs: before PyTorch's own
restricted unpickler sees them, every name the pickle would import is checked against the few that a state
dict needs, and every size it declares against the size of the file, so that a hostile file is refused
unread and in bounded memory.
"""

import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from covalign.errors import InputError
from covalign.limits import TENSORS
from covalign.networks.network import Skipped
from covalign.networks.readers.formats import archive_kind
from covalign.networks.readers.rehearsal import Rehearsal
from covalign.storage.archive import check_entries

TORCH_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin", ".th", ".tar")

DEPTH = 8
"""How deep weights may lie in a checkpoint (our choice)."""

IMPORTS = {
    "_codecs encode",
    "__builtin__ set",
    "builtins set",
    "collections Counter",
    "collections OrderedDict",
    "torch Size",
    "torch device",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
    "torch.nn.parameter Parameter",
    "torch.serialization _get_layout",
}
"""All that a pickled state dict needs, besides storages and dtypes. PyTorch's own list has ``bytearray`` too,
which fills as much memory as a pickle of forty bytes asks for."""


KNOWN = {
    "_rebuild_sparse_tensor": "sparse tensors",
    "_rebuild_sparse_csr_tensor": "sparse tensors",
    "_rebuild_nested_tensor": "nested tensors",
    "_rebuild_meta_tensor_no_storage": "tensors without numbers (on the device meta)",
    "_rebuild_wrapper_subclass": "tensors of a class of their own (quantized?)",
    "torchao.quantization": "quantized tensors of torchao",
    "torchao.dtypes": "quantized tensors of torchao",
    "numpy.core.multiarray": "arrays or numbers of NumPy",
    "numpy._core.multiarray": "arrays or numbers of NumPy",
    "numpy": "arrays or numbers of NumPy",
    "argparse": "options of a command line beside the weights",
    "pathlib": "paths beside the weights",
    "datetime": "dates beside the weights",
}
"""What a pickle holds beside tensors, by what it would import for that."""


@dataclass(frozen=True, eq=False)
class WeightFile:
    """Named tensors of one file.

    Attributes:
        path: where they came from.
        tensors: by dotted name; numbers are read when they are used.
        ordered: whether the file keeps the order in which the network registered them.
        details: what else the file says of itself.
        places: prefixes of names that are mappings in the file, and not only parts of names.
        unread: arrays of numbers that no tensor holds, with the reason.
    """

    path: Path
    tensors: dict[str, Tensor]
    ordered: bool
    details: dict[str, Any] = field(default_factory=dict)
    places: tuple[str, ...] = ()
    unread: tuple[Skipped, ...] = ()


def read_weight_file(path: Path) -> WeightFile:
    """Read a ``.safetensors`` or PyTorch weight file.

    Raises:
        InputError: missing, unknown, damaged or hostile file, or one without tensors.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in TORCH_SUFFIXES:
        return _read_torch(path)
    raise InputError(
        f"{path}: got a file ending in {path.suffix or 'nothing'!r}, expected .safetensors, "
        f"{', '.join(TORCH_SUFFIXES)}, .npz, .keras, .h5 or .onnx; convert it to one of these"
    )


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, "pt") as file:
            TENSORS.check(len(file.keys()), str(path))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
            metadata = dict(sorted((file.metadata() or {}).items()))
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise InputError(
            f"{path}: not a safetensors file ({one_line(error)}); get it again, it may be truncated"
        ) from error
    if not tensors:
        raise InputError(f"{path}: holds no tensors, expected the weights of a network")
    return WeightFile(path, tensors, ordered=False, details={"metadata": metadata} if metadata else {})


def _read_torch(path: Path) -> WeightFile:
    mapped = _check_before_unpickling(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged pickle may raise anything
        raise InputError(
            f"{path}: cannot be read as PyTorch weights ({one_line(error)}); get it again, or save "
            "model.state_dict() alone"
        ) from error
    tensors, places = _state_dict(content, path)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized:
            continue
        stored = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > stored:
            raise InputError(
                f"{path}: {name!r} declares {tensor.numel()} numbers and stores {stored} bytes, expected one "
                "stored number for each; save contiguous tensors"
            )
    return WeightFile(path, tensors, ordered=True, places=places)


def _check_before_unpickling(path: Path) -> bool:
    """Refuse what asks for code or memory; return whether the file can be memory-mapped (a zip archive)."""
    try:
        with path.open("rb") as file:
            archived = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            if archived:
                _check_archive(path, file)
            else:
                for _ in range(5):  # the older format: magic, version, system, content, storage keys
                    start = file.tell()
                    _check_imports(path, file)
                    file.seek(start)
                    Rehearsal(file, str(path)).load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle or archive may raise anything
        raise InputError(
            f"{path}: not a PyTorch weight file ({one_line(error)}); get it again, it may be truncated"
        ) from error
    return archived


def _check_archive(path: Path, file: BufferedReader) -> None:
    """Refuse an archive that unpacks to more than its own size, or that contains code."""
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        what, advice = archive_kind([entry.filename for entry in entries])
        if what:
            raise InputError(f"{path}: {what}; expected weights: {advice}")
        size, declared = path.stat().st_size, sum(entry.file_size for entry in entries)
        if declared > size:
            raise InputError(
                f"{path}: {size} bytes that unpack to {declared}, expected the uncompressed archive that "
                "torch.save writes; refused unread"
            )
        TENSORS.check(len(entries), str(path))
        check_entries(archive, entries)
        stored = {entry.filename.rpartition("/data/")[2]: entry.file_size for entry in entries}
        for entry in entries:
            if entry.filename.endswith("data.pkl"):
                content = archive.read(entry)
                _check_imports(path, BytesIO(content))
                rehearsal = Rehearsal(BytesIO(content), str(path))
                rehearsal.load()
                for key, size in rehearsal.storages.items():
                    if size and stored.get(key, size) != size:
                        raise InputError(
                            f"{path}: says that storage {key} has {size} bytes, and keeps {stored[key]}; get it "
                            "again, it may be damaged"
                        )


def _check_imports(path: Path, pickle: Any) -> None:
    """Refuse a pickle, given as a stream, that would import anything a state dict does not need."""
    for operation, argument, _ in pickletools.genops(pickle):
        if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            argument = f"names by {operation.name}"
        elif operation.name != "GLOBAL":
            continue
        module, _, name = str(argument).rpartition(" ")
        constant = isinstance(getattr(torch, name, None), torch.dtype | torch.qscheme | torch.layout)
        known = constant or name.endswith("Storage")
        if argument not in IMPORTS and not (module in ("torch", "torch.cuda", "torch.storage") and known):
            if kind := KNOWN.get(name if module in ("torch._utils", "torch.sparse") else module):
                raise InputError(
                    f"{path}: refused unread, because it holds {kind} ({argument}); expected dense tensors alone: "
                    "save model.state_dict(), or use safetensors"
                )
            if module.startswith("torch.nn.modules"):
                raise InputError(
                    f"{path}: refused unread, because it is a whole pickled module, and loading it would import "
                    f"{argument}, which may run code; save model.state_dict(), or use safetensors"
                )
            raise InputError(
                f"{path}: refused unread, because loading it would import {argument}, which may run code; "
                "expected tensors alone: save model.state_dict(), or use safetensors"
            )


def _state_dict(content: Any, path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors of nested mappings and lists by dotted name, and the prefixes that are mappings.

    An optimizer's numbered state has no names, and is no part of it.
    """
    numbered = 0
    flat: dict[str, Tensor] = {}
    places: dict[str, None] = {}
    seen: set[int] = set()

    def descend(part: Any, prefix: str, depth: int) -> None:
        nonlocal numbered
        if id(part) in seen or depth == 0:
            return
        seen.add(id(part))
        if isinstance(part, Mapping):
            places[prefix.removesuffix(".")] = None
        entries = part.items() if isinstance(part, Mapping) else enumerate(part)
        for key, value in entries:
            if isinstance(part, Mapping) and not isinstance(key, str):
                numbered += 1
                continue
            if isinstance(value, Tensor):
                flat[f"{prefix}{key}"] = value
            elif isinstance(value, Mapping | list | tuple):
                descend(value, f"{prefix}{key}.", depth - 1)

    if not isinstance(content, Mapping | list | tuple):
        raise InputError(
            f"{path}: holds a {type(content).__name__}, expected a state dict; save model.state_dict()"
        )
    descend(content, "", DEPTH)
    if numbered and not flat:
        raise InputError(
            f"{path}: holds entries by number alone ({numbered}), as the state of an optimizer, expected "
            "the weights of a network by name; save model.state_dict()"
        )
    if not flat:
        raise InputError(f"{path}: holds no named tensors, expected a state dict; save model.state_dict()")
    return flat, tuple(filter(None, places))


def one_line(error: BaseException, length: int = 160) -> str:
    """Return an error's message, or its name if it has none, on one line and shortened."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= length else text[: length - 3] + "..."

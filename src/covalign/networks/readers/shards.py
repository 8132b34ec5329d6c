"""Which files hold the weights of one network that was stored in pieces?

Hubs store large networks as shards, ``model-00001-of-00003.safetensors``, with an index that says which tensor
is where; any one of them, the index or the folder stands for all. They are read whole, or refused with the name
of the shard that is missing: a part of a network is never taken for the whole.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from covalign.errors import InputError
from covalign.networks.readers.formats import refuse_folder, refuse_foreign
from covalign.networks.readers.torch_file import WeightFile, one_line

SHARD = re.compile(r"(?P<stem>.+?)[-_.](?P<number>\d+)-of-(?P<count>\d+)(?P<suffix>\.\w+)")
INDEX = ".index.json"
USUAL = (
    "model.safetensors",
    "diffusion_pytorch_model.safetensors",
    "adapter_model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.bin",
    "adapter_model.bin",
    "pytorch_lora_weights.safetensors",
    "model.weights.h5",
)
"""What hubs call the one weight file of a folder, in order of preference."""

Read = Callable[[Path], WeightFile]


def is_sharded(path: Path) -> bool:
    """Whether a path stands for several files, or for the one in a folder."""
    return path.is_dir() or path.name.endswith(INDEX) or SHARD.fullmatch(path.name) is not None


def stem(path: Path) -> str:
    """Return the short name of what is stored in pieces."""
    if path.is_dir():
        return path.resolve().name
    match = SHARD.fullmatch(path.name)
    return match["stem"] if match else path.name.removesuffix(INDEX).rpartition(".")[0] or path.name


def read_shards(path: Path, readers: Mapping[str, Read]) -> WeightFile:
    """Read all files of a network that is stored in pieces.

    Args:
        path: a folder, an index, or a shard.
        readers: what reads a file, by its ending.

    Raises:
        InputError: a missing shard or tensor, by name; a folder without weights, or with several networks.
    """
    if path.is_dir():
        path = _in_folder(path, readers)
    if not is_sharded(path):
        refuse_foreign(path)
        return replace(readers[path.suffix](path), path=path)
    index = path if path.name.endswith(INDEX) else _index_beside(path)
    where = _weight_map(index) if index is not None else {}
    names = sorted(set(where.values())) if where else _siblings(path)
    parts = [_read(path.parent, name, readers) for name in names]
    tensors: dict[str, Tensor] = {}
    for part in parts:
        tensors |= part.tensors
    for tensor, name in where.items():
        if tensor not in tensors:
            raise InputError(
                f"{path}: the index says that {name} holds {tensor!r}, which is not there; get the files of one "
                "version"
            )
    details = {**parts[0].details, "shards": names}
    return WeightFile(path, tensors, all(part.ordered for part in parts), details, parts[0].places)


def _in_folder(folder: Path, readers: Mapping[str, Read]) -> Path:
    """Return the file or index that a folder's weights are read from."""
    indices = sorted(folder.glob(f"*{INDEX}"))
    files = sorted(entry for entry in folder.iterdir() if entry.is_file() and entry.suffix in readers)
    whole = [entry for entry in files if not SHARD.fullmatch(entry.name)]
    usual = [folder / name for name in USUAL if folder / name in whole]
    if indices:
        return next((index for index in indices if "safetensors" in index.name), indices[0])
    if usual:
        return usual[0]
    refuse_folder(folder)
    if len(whole) == 1 or (files and not whole):
        return (whole or files)[0]
    if not files:
        raise InputError(
            f"{folder}: a folder without weight files, expected some, an index of shards, or a run"
        )
    raise InputError(
        f"{folder}: holds several weight files ({', '.join(entry.name for entry in whole[:5])}), expected one; "
        "name it"
    )


def _index_beside(shard: Path) -> Path | None:
    match = SHARD.fullmatch(shard.name)
    assert match is not None
    index = shard.with_name(f"{match['stem']}{match['suffix']}{INDEX}")
    return index if index.is_file() else None


def _weight_map(index: Path) -> dict[str, str]:
    try:
        stated: Any = json.loads(index.read_text(encoding="utf-8"))
        where = dict(stated["weight_map"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{index}: not an index of shards ({one_line(error)}); get it again") from error
    for name in where.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise InputError(f"{index}: names {name!r}, expected files beside it")
    return where


def _siblings(shard: Path) -> list[str]:
    """Return the names of all shards that one of them counts."""
    match = SHARD.fullmatch(shard.name)
    assert match is not None
    count, width = int(match["count"]), len(match["number"])
    if count > len(list(shard.parent.iterdir())):
        present = {
            found["number"] for entry in shard.parent.iterdir() if (found := SHARD.fullmatch(entry.name))
        }
        numbers = (f"{number:0{width}}" for number in range(1, count + 1))
        lacking = next(number for number in numbers if number not in present)
        raise InputError(_missing(shard, shard.name.replace(f"{match['number']}-of-", f"{lacking}-of-", 1)))
    start = match.start("number")
    end = match.end("number")
    zero = (shard.parent / f"{shard.name[:start]}{0:0{width}}{shard.name[end:]}").is_file()
    return [
        f"{shard.name[:start]}{number + (not zero):0{width}}{shard.name[end:]}" for number in range(count)
    ]


def _read(folder: Path, name: str, readers: Mapping[str, Read]) -> WeightFile:
    path = folder / name
    if not path.is_file():
        raise InputError(_missing(folder, name))
    if path.suffix not in readers:
        raise InputError(f"{path}: a shard of a format that is not read, expected {', '.join(readers)}")
    return readers[path.suffix](path)


def _missing(path: Path, name: str) -> str:
    return f"{path}: the shard {name} is missing, and with it a part of the network; put all shards in one folder"

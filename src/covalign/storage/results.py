"""How is any record kept on disk, so that it can be read by anything and redrawn without its weights?

One folder, replaced as a whole (`covalign.storage.folder`): every data frame among the fields as parquet and as CSV,
all tensors in one safetensors file, and ``results.json`` with everything else, the rows of the frames for people,
and a schema version. What JSON has no form for is an object with one key:

    {"$tuple": [...]}      a tuple
    {"$pairs": [[k, v]]}   a dictionary whose keys are not all plain text
    {"$float": "nan"}      a number that is not finite
    {"$tensor": name}      a tensor of the safetensors file
    {"$record": name, ..}  a frozen record, whose fields follow

Nothing that is read is executed; only records whose classes the reader hands in are made.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from pyarrow import ArrowException
from safetensors import SafetensorError
from torch import Tensor

from covalign.errors import InputError
from covalign.storage.folder import Folder

SCHEMA_VERSION = 2
DOCUMENT, TENSORS = "results.json", "tensors.safetensors"
HEAD = ("schema_version", "kind", "numbers")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would compute."""
PLAIN = frozenset({"skipped"})
"""Fields whose pairs are written as plain lists, so that any program reads them: by network, name and reason."""


@dataclass(frozen=True, eq=False)
class Stored:
    """What a folder of results holds.

    Attributes:
        folder: where it was read.
        document: ``results.json``; of the first schema, with everything that its writers put there.
        tables: data frames by name.
        tensors: by name.
    """

    folder: Path
    document: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    tensors: dict[str, Tensor]

    @property
    def version(self) -> int:
        """The schema's version."""
        return int(self.document["schema_version"])

    def values(self, types: Sequence[type]) -> dict[str, Any]:
        """Return the fields of the record.

        Args:
            types: classes of records that may occur inside it.
        """
        classes = {kind.__name__: kind for kind in types}
        own = {name: value for name, value in self.document.items() if name not in HEAD}
        found = {
            name: self.tables[name] if name in self.tables else decoded(value, self.tensors, classes)
            for name, value in own.items()
        }
        return found | {name: _pairs(found[name]) for name in PLAIN & found.keys()}


def save(
    record: Any,
    folder: Path,
    kind: str,
    extra: Mapping[str, bytes] | None = None,
    numbers: Mapping[str, Any] | None = None,
) -> Path:
    """Write a frozen record into ``folder``, replacing an earlier one, and return the folder.

    Args:
        record: a dataclass whose fields are data frames, tensors, numbers, texts, None, and tuples, lists,
            dictionaries and frozen records of these; data frames stand at the top alone.
        folder: files in it that were not written here are left alone.
        kind: what it is, for the reader.
        extra: other files of the same state, by name.
        numbers: what follows from the record, for programs that read ``results.json`` alone; never read back.

    Raises:
        InputError: the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    files: dict[str, bytes] = {}
    document: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "kind": kind}
    for name, value in _fields(record).items():
        if isinstance(value, pd.DataFrame):
            files[f"{name}.parquet"] = value.to_parquet(index=False)
            files[f"{name}.csv"] = inert(value).to_csv(index=False).encode("utf-8", errors="replace")
            document[name] = records(value)
        else:
            document[name] = encoded(_listed(value) if name in PLAIN else value, name, tensors)
    document |= {"numbers": dict(numbers)} if numbers else {}
    if tensors:
        files[TENSORS] = safetensors.torch.save(tensors)
    files[DOCUMENT] = json.dumps(document, indent=1, allow_nan=False).encode()
    Folder(folder).replace({**files, **(extra or {})})
    return folder


def load(folder: Path, kind: str) -> Stored:
    """Read what `save` or an earlier version wrote.

    Raises:
        InputError: the folder holds nothing of that kind, or something damaged.
    """
    content = Folder(folder).contents(DOCUMENT)
    document = parsed(folder / DOCUMENT, content[DOCUMENT], json.loads)
    known = isinstance(document, dict) and document.get("kind") == kind
    if not known or document.get("schema_version") not in range(1, SCHEMA_VERSION + 1):
        found = (
            [document.get(name) for name in ("kind", *HEAD[:1])] if isinstance(document, dict) else document
        )
        raise InputError(
            f"{folder}: got kind and schema {found!r}, expected {kind!r} of schema {SCHEMA_VERSION} or older"
        )
    tables = {
        Path(name).stem: parsed(folder / name, part, frame)
        for name, part in content.items()
        if name.endswith(".parquet")
    }
    packed = content.get(TENSORS)
    tensors = {} if packed is None else parsed(folder / TENSORS, packed, safetensors.torch.load)
    return Stored(folder, document, tables, tensors)


def frame(content: bytes) -> pd.DataFrame:
    """Return a data frame from parquet; cells that hold several values come back as tuples."""
    found = pd.read_parquet(BytesIO(content))
    several = [name for name in found if any(isinstance(cell, np.ndarray) for cell in found[name].head(1))]
    return found.assign(**{name: found[name].map(tuple) for name in several})


def parsed(path: Path, content: bytes, reader: Any) -> Any:
    """Return what ``reader`` makes of a file's content.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return reader(content)
    except (
        ValueError,
        KeyError,
        TypeError,
        OSError,
        RecursionError,
        ArrowException,
        SafetensorError,
    ) as error:
        raise InputError(f"{path}: cannot be read ({error}); restore it, or run the command again") from error


def encoded(value: Any, place: str, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON; its tensors are added to ``tensors``.

    Raises:
        TypeError: a kind of value that is not kept.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, Tensor):
        tensors[place] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"$tensor": place}
    if isinstance(value, list | tuple):
        entries = [encoded(entry, f"{place}/{index}", tensors) for index, entry in enumerate(value)]
        return entries if isinstance(value, list) else {"$tuple": entries}
    if isinstance(value, Mapping):
        return _mapping(value, place, tensors)
    if is_dataclass(value):
        inner = {name: encoded(part, f"{place}/{name}", tensors) for name, part in _fields(value).items()}
        return {"$record": type(value).__name__, **inner}
    raise TypeError(f"{place}: {type(value).__name__} cannot be kept; expected what `save` names")


def decoded(value: Any, tensors: Mapping[str, Tensor], classes: Mapping[str, type]) -> Any:
    """Return the value that `encoded` gave.

    Args:
        value: JSON.
        tensors: of the safetensors file.
        classes: of records, by name.
    """
    if isinstance(value, list):
        return [decoded(entry, tensors, classes) for entry in value]
    if not isinstance(value, dict):
        return value
    match next(iter(value), None):
        case "$tuple":
            return tuple(decoded(value["$tuple"], tensors, classes))
        case "$pairs":
            return dict(tuple(pair) for pair in decoded(value["$pairs"], tensors, classes))
        case "$float":
            return float(value["$float"])
        case "$tensor":
            return tensors[value["$tensor"]]
    inner = {name: decoded(part, tensors, classes) for name, part in value.items() if name != "$record"}
    return classes[value["$record"]](**inner) if "$record" in value else inner


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as rows that JSON can hold; NaN becomes null."""
    return [
        {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in row.items()
        }
        for row in frame.astype(object).to_dict("records")
    ]


def inert(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table no cell of which a spreadsheet takes for a formula: a text that begins like one gets a quote."""

    def shown(cell: Any) -> Any:
        return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell

    texts = [name for name in frame if frame[name].map(lambda cell: isinstance(cell, str)).any()]
    return frame.assign(**{name: frame[name].map(shown) for name in texts})


def _listed(entries: Mapping[str, list[tuple[str, ...]]]) -> dict[str, list[list[str]]]:
    return {name: [[*entry] for entry in pairs] for name, pairs in entries.items()}


def _pairs(entries: Mapping[str, list[list[str]]]) -> dict[str, list[tuple[str, ...]]]:
    return {name: [tuple(entry) for entry in listed] for name, listed in entries.items()}


def _mapping(value: Mapping[Any, Any], place: str, tensors: dict[str, Tensor]) -> Any:
    entries = [
        (key, encoded(entry, f"{place}/{index}", tensors)) for index, (key, entry) in enumerate(value.items())
    ]
    if all(type(key) is str and not key.startswith("$") for key in value):
        return dict(entries)
    return {"$pairs": [[encoded(key, f"{place}/key", tensors), entry] for key, entry in entries]}


def _fields(record: Any) -> dict[str, Any]:
    return {each.name: getattr(record, each.name) for each in fields(record)}

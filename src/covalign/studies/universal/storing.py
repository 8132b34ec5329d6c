"""How does a record become one file that anyone can open without running it?

A safetensors file: tensors by place, and in its text the document of `covalign.storage.results` with the manifest,
SHA-256 of the document and of every tensor. It is written whole or not at all.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from covalign.errors import InputError
from covalign.storage.atomic import write_or_refuse
from covalign.storage.results import decoded, encoded

SCHEMA = 1
Kept = TypeVar("Kept")


def write(record: Any, path: Path, kind: str) -> Path:
    """Write a frozen record of tensors, numbers, texts and further records, and return the path.

    Raises:
        InputError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    body = {each.name: encoded(getattr(record, each.name), each.name, tensors) for each in fields(record)}
    document = json.dumps({"schema_version": SCHEMA, "kind": kind, **body}, allow_nan=False)
    text = {"document": document, "manifest": json.dumps(_manifest(document, tensors))}
    write_or_refuse(path, save(tensors, text))
    return path


def read(record: type[Kept], path: Path, kind: str, parts: Sequence[type]) -> Kept:
    """Read what `write` wrote.

    Args:
        record: its class.
        path: of the file.
        kind: what it must be.
        parts: classes of the records inside it.

    Raises:
        InputError: no such file, something else, or something damaged.
    """
    try:
        with safe_open(path, "pt") as file:
            text, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        document = json.loads(text["document"])
        if (document["kind"], document["schema_version"]) != (kind, SCHEMA):
            raise ValueError(f"it is {document['kind']!r} of schema {document['schema_version']!r}")
        if json.loads(text["manifest"]) != _manifest(text["document"], tensors):
            raise ValueError("damaged: its contents are not those of its manifest")
        classes = {each.__name__: each for each in parts}
        values = {each.name: decoded(document[each.name], tensors, classes) for each in fields(record)}  # type: ignore[arg-type]
        return record(**values)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({_said(error)})"
        raise InputError(
            f"{path}: {why}; expected a {kind} of schema {SCHEMA} that covalign wrote"
        ) from error


def _manifest(document: str, tensors: Mapping[str, Tensor]) -> dict[str, str]:
    sums = {name: hashlib.sha256(_bytes(value)).hexdigest() for name, value in sorted(tensors.items())}
    return {"document": hashlib.sha256(document.encode()).hexdigest(), **sums}


def _bytes(value: Tensor) -> bytes:
    plain = value.contiguous().numpy()
    return repr((str(plain.dtype), plain.shape)).encode() + plain.tobytes()


def _said(error: Exception) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())

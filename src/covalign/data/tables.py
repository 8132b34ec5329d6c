"""Which images and labels does a parquet file in the hub's layout hold?

Files are streamed a batch of rows at a time, so that nothing is copied and a damaged file is named. The image and
the label column are found by the types that the hub records in the file, else by their usual names.
"""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Int64
from torch import Tensor

from covalign.data.images import check_labels
from covalign.data.listing import SPLITS, Listing, Source, choose_split
from covalign.errors import InputError
from covalign.limits import CLASSES, ROWS

IMAGE_NAMES = ("image", "img", "images", "picture", "jpg", "png")
LABEL_NAMES = ("label", "labels", "class", "target", "y")
BATCH = 1000  # rows read at once


@dataclass(frozen=True, eq=False)
class Part:
    """One table of a split.

    Attributes:
        origin: what it is called in errors.
        features: by column, what the hub says of it (``_type``, and ``names`` of classes); empty where unknown.
        column: yields a column, a batch of rows at a time.
    """

    origin: str
    features: Mapping[str, Mapping[str, Any]]
    column: Callable[[str], Iterator[pa.Array | pa.ChunkedArray]]


def parquet_files(source: Path, wanted: str, label_column: str | None) -> Source:
    """Find the parquet files of one split, in a folder (``train-00000-of-00001.parquet``) or as one file.

    Raises:
        InputError: a split that is not there, or files of several configurations.
    """
    if source.is_file():
        return Source(source.stem, "all", (source,), partial(_open_files, (source,), label_column))
    by_split: dict[str, list[Path]] = {}
    for file in sorted(source.rglob("*.parquet")):
        by_split.setdefault(_split_of(file), []).append(file)
    known = [name for name in by_split if name in SPLITS]
    split = choose_split(known, wanted, str(source)) if known else "all"
    files = tuple(by_split[split])
    folders = sorted({str(file.parent) for file in files})
    if len(folders) > 1:
        raise InputError(f"{source}: split {split!r} is in several folders; pass one of {', '.join(folders)}")
    return Source(source.name, split, files, partial(_open_files, files, label_column))


def _split_of(file: Path) -> str:
    prefix = re.split(r"[-_.]", file.stem)[0]
    return next((name for name in (prefix, file.parent.name) if name in SPLITS), "all")


def _open_files(files: tuple[Path, ...], label_column: str | None) -> Listing:
    return listing([_part(file) for file in files], label_column)


def _part(file: Path) -> Part:
    with reading(str(file)):
        schema = pq.read_schema(file)
        recorded = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        types = recorded.get("info", {}).get("features") or {}
    return Part(str(file), {name: types.get(name, {}) for name in schema.names}, partial(_column, file))


def _column(file: Path, name: str) -> Iterator[pa.Array]:
    with pq.ParquetFile(file) as table:
        if name not in table.schema_arrow.names:
            raise KeyError(f"no column {name!r} among {', '.join(table.schema_arrow.names)}")
        for batch in table.iter_batches(BATCH, columns=[name]):
            yield batch.column(0)


def listing(parts: Sequence[Part], label_column: str | None) -> Listing:
    """Return the images and labels of the tables of one split.

    Args:
        parts: in order.
        label_column: which column holds the labels; found by type or name by default.

    Raises:
        InputError: a column that is missing, labels that are none, or a damaged table.
    """
    origin, features = parts[0].origin, parts[0].features
    image_column = _image_column(features, origin)
    label_column = _label_column(features, label_column, origin)
    per_part = [_labels(part, label_column) for part in parts]
    labels = torch.cat(per_part)
    if len(labels) == 0:
        raise InputError(f"{origin}: the table has no rows")
    names = features[label_column].get("names")
    if not names:
        CLASSES.check(int(labels.max()) + 1, f"{origin}: column {label_column!r}")
        names = map(str, range(int(labels.max()) + 1))
    classes = tuple(map(str, names))
    check_labels(labels, classes, f"{origin}: column {label_column!r}")
    read = partial(_read, parts, [len(part) for part in per_part], image_column)
    return Listing(torch.arange(len(labels)), labels, classes, read)


def _read(
    parts: Sequence[Part], counts: list[int], column: str, rows: list[int]
) -> Iterator[tuple[str, bytes]]:
    """Yield origin and encoded bytes of ascending rows, counted through all parts."""
    first = 0  # row at which a part begins
    for part, count in zip(parts, counts, strict=True):
        start = first
        first += count
        if bisect_left(rows, start) == bisect_left(rows, first):
            continue
        for batch in _batches(part, column):
            stop = start + len(batch)
            if stop > first:
                raise _uneven(part, column, count, "more")
            inside = rows[bisect_left(rows, start) : bisect_left(rows, stop)]
            cells = batch.take(pa.array([row - start for row in inside], pa.int64())).to_pylist()
            for row, cell in zip(inside, cells, strict=True):
                yield (where := f"{part.origin}, row {row - first + count}"), _bytes(cell, where)
            start = stop
        if start < first:
            raise _uneven(part, column, count, f"{count - first + start}")


def _uneven(part: Part, column: str, count: int, found: str) -> InputError:
    return InputError(
        f"{part.origin}: column {column!r} holds {found} rows where there are {count} labels: the file is damaged; "
        "restore it"
    )


def _bytes(cell: Any, where: str) -> bytes:
    """Return the encoded image of a cell: bytes, a path, or an object of both."""
    if isinstance(cell, bytes) and cell:
        return cell
    found = cell if isinstance(cell, Mapping) else {"path": cell}
    if found.get("bytes"):
        return bytes(found["bytes"])
    path = found.get("path")
    if isinstance(path, str) and Path(path).is_file():
        return Path(path).read_bytes()
    raise InputError(f"{where}: holds no image; remove the row")


def _labels(part: Part, column: str) -> Int64[Tensor, " n"]:
    found: list[Tensor] = []
    rows = 0
    for values in _batches(part, column):
        if not pa.types.is_integer(values.type) or values.null_count:
            raise InputError(
                f"{part.origin}: column {column!r} holds {values.type} with {values.null_count} empty cells, "
                "expected an integer label in every row"
            )
        rows += len(values)
        ROWS.check(rows, part.origin)
        with reading(part.origin):  # numbers beyond 64 bits
            found.append(torch.tensor(values.to_pylist(), dtype=torch.int64))
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)


def _batches(part: Part, column: str) -> Iterator[pa.Array | pa.ChunkedArray]:
    """Yield one column, a batch of rows at a time."""
    with reading(part.origin):
        yield from part.column(column)


def _typed(features: Mapping[str, Mapping[str, Any]], kind: str) -> list[str]:
    return [name for name, feature in features.items() if feature.get("_type") == kind]


def _image_column(features: Mapping[str, Mapping[str, Any]], origin: str) -> str:
    typed = _typed(features, "Image")
    found = [name for name in typed or features if name in IMAGE_NAMES] if len(typed) != 1 else typed
    if not found:
        raise InputError(f"{origin}: found no image column among {', '.join(features)}")
    return found[0]


def _label_column(features: Mapping[str, Mapping[str, Any]], wanted: str | None, origin: str) -> str:
    if wanted is not None:
        if wanted not in features:
            raise InputError(f"{origin}: label column {wanted!r} not found among {', '.join(features)}")
        return wanted
    found = _typed(features, "ClassLabel") or [name for name in features if name in LABEL_NAMES]
    if len(found) != 1:
        raise InputError(
            f"{origin}: found {len(found)} label columns among {', '.join(features)}; "
            "say which with label_column (--label-column)"
        )
    return found[0]


@contextmanager
def reading(origin: str) -> Iterator[None]:
    """Report whatever Arrow raises over damaged files as one line that names the file."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{origin}: cannot be read ({first_line(error)}); restore the file") from error


def first_line(error: Exception) -> str:
    """Return what an error says first."""
    return (str(error).splitlines() or [type(error).__name__])[0]

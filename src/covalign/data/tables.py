"""Which images and labels does a table hold: parquet files in the hub's layout, or a data set of the hub?

Both are read through `datasets`. Local files are streamed one by one, so that nothing is copied and a
damaged file is named; a data set of the hub is downloaded once into the cache of `datasets`. The image and
the label column are found by their feature types, else by their usual names.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
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
TIMEOUT = 10.0  # seconds until the hub counts as out of reach


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


def hub_dataset(name: str, wanted: str, label_column: str | None) -> Source:
    """Download (once) a data set of the Hugging Face hub and open one split.

    Raises:
        InputError: the hub cannot be reached, or has no such data set, or it cannot be read.
    """
    import datasets
    from huggingface_hub import HfApi
    from huggingface_hub.constants import HF_HUB_OFFLINE

    advice = "pass a local folder, or set HF_HUB_OFFLINE=1 if it was downloaded before"
    with _quiet():
        try:
            if not HF_HUB_OFFLINE:
                HfApi().dataset_info(name, timeout=TIMEOUT)  # answers at once where `datasets` would retry
            split = choose_split(datasets.get_dataset_split_names(name), wanted, name)
            table = datasets.load_dataset(name, split=split)
        except InputError:
            raise
        except Exception as error:  # network, access, data set scripts: the hub fails in many ways
            raise InputError(
                f"{name}: no such file or folder, and not available from the Hugging Face hub "
                f"({_first_line(error)}); {advice}"
            ) from error
    files = tuple(Path(entry["filename"]) for entry in table.cache_files)
    return Source(name, split, files, partial(_listing, [(name, table)], label_column))


def _open_files(files: tuple[Path, ...], label_column: str | None) -> Listing:
    import datasets

    parts = []
    for file in files:
        with _quiet(), _damage(str(file)), TemporaryDirectory() as folder:  # keeps lock files out of the way
            table = datasets.load_dataset(
                "parquet", data_files=[str(file)], split="train", streaming=True, cache_dir=folder
            )
        parts.append((str(file), table))
    return _listing(parts, label_column)


def _listing(parts: Sequence[tuple[str, Any]], label_column: str | None) -> Listing:
    origin, features = parts[0][0], parts[0][1].features
    image_column = _image_column(features, origin)
    label_column = _label_column(features, label_column, origin)
    per_part = [_labels(origin, table, label_column) for origin, table in parts]
    labels = torch.cat(per_part)
    if len(labels) == 0:
        raise InputError(f"{origin}: the table has no rows")
    names = getattr(features[label_column], "names", None)
    if not names:
        CLASSES.check(int(labels.max()) + 1, f"{origin}: column {label_column!r}")
        names = map(str, range(int(labels.max()) + 1))
    classes = tuple(names)
    check_labels(labels, classes, f"{origin}: column {label_column!r}")
    read = partial(_read, parts, [len(part) for part in per_part], image_column)
    return Listing(torch.arange(len(labels)), labels, classes, read)


def _read(
    parts: Sequence[tuple[str, Any]], counts: list[int], column: str, rows: list[int]
) -> Iterator[tuple[str, bytes]]:
    """Yield origin and encoded bytes of ascending rows, counted through all parts."""
    from datasets import Image

    first = 0  # row at which a part begins
    for (origin, table), count in zip(parts, counts, strict=True):
        start = first
        first += count
        if bisect_left(rows, start) == bisect_left(rows, first):
            continue
        for batch in _batches(origin, table, column, Image(decode=False)):
            stop = start + len(batch)
            inside = rows[bisect_left(rows, start) : bisect_left(rows, stop)]
            cells = batch.take(pa.array([row - start for row in inside], pa.int64())).to_pylist()
            for row, cell in zip(inside, cells, strict=True):
                yield (where := f"{origin}, row {row - first + count}"), _bytes(cell, where)
            start = stop


def _bytes(cell: dict[str, Any] | None, where: str) -> bytes:
    if cell and cell["bytes"]:
        return bytes(cell["bytes"])
    if cell and cell["path"] and Path(cell["path"]).is_file():
        return Path(cell["path"]).read_bytes()
    raise InputError(f"{where}: holds no image; remove the row")


def _labels(origin: str, table: Any, column: str) -> Int64[Tensor, " n"]:
    found: list[Tensor] = []
    rows = 0
    for values in _batches(origin, table, column):
        if not pa.types.is_integer(values.type) or values.null_count:
            raise InputError(
                f"{origin}: column {column!r} holds {values.type} with {values.null_count} empty cells, "
                "expected an integer label in every row"
            )
        rows += len(values)
        ROWS.check(rows, origin)
        with _damage(origin):  # numbers beyond 64 bits
            found.append(torch.tensor(values.to_pylist(), dtype=torch.int64))
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)


def _batches(origin: str, table: Any, column: str, feature: Any = None) -> Iterator[pa.ChunkedArray]:
    """Yield one column, read as ``feature``, a batch of rows at a time."""
    with _damage(origin):
        table = table.select_columns([column])
        if feature is not None:
            table = table.cast_column(column, feature)
        for batch in table.with_format("arrow").iter(BATCH):
            yield batch[column]


def _image_column(features: dict[str, Any], origin: str) -> str:
    from datasets import Image

    typed = [name for name, feature in features.items() if isinstance(feature, Image)]
    found = [name for name in typed or features if name in IMAGE_NAMES] if len(typed) != 1 else typed
    if not found:
        raise InputError(f"{origin}: found no image column among {', '.join(features)}")
    return found[0]


def _label_column(features: dict[str, Any], wanted: str | None, origin: str) -> str:
    from datasets import ClassLabel

    if wanted is not None:
        if wanted not in features:
            raise InputError(f"{origin}: label column {wanted!r} not found among {', '.join(features)}")
        return wanted
    typed = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
    found = typed or [name for name in features if name in LABEL_NAMES]
    if len(found) != 1:
        raise InputError(
            f"{origin}: found {len(found)} label columns among {', '.join(features)}; "
            "say which with label_column (--label-column)"
        )
    return found[0]


@contextmanager
def _damage(origin: str) -> Iterator[None]:
    """Report whatever `datasets` and Arrow raise over damaged files as one line that names the file."""
    try:
        yield
    except Exception as error:
        raise InputError(f"{origin}: cannot be read ({_first_line(error)}); restore the file") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence progress bars and log lines of `datasets`: what matters is raised."""
    import datasets

    bars, verbosity = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

"""Which images and labels does a data set of the Hugging Face hub hold?

It is downloaded once into the cache of `datasets`, which is an extra: `pip install 'covalign[data]'`. Local parquet
files need neither (`covalign.data.tables`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from covalign.data import tables
from covalign.data.listing import Listing, Source, choose_split
from covalign.errors import InputError, optional

TIMEOUT = 10.0  # seconds until the hub counts as out of reach


def hub_dataset(name: str, wanted: str, label_column: str | None) -> Source:
    """Download (once) a data set of the Hugging Face hub and open one split.

    Raises:
        InputError: `datasets` is not installed, the hub cannot be reached, or has no such data set, or it cannot be
            read.
    """
    try:
        datasets, hub = optional("datasets", "data"), optional("huggingface_hub", "data")
    except InputError as error:
        raise InputError(f"{name}: no such file or folder; to read a data set of the hub, {error}") from error
    advice = "pass a local folder, or set HF_HUB_OFFLINE=1 if it was downloaded before"
    with _quiet(datasets):
        try:
            if not hub.constants.HF_HUB_OFFLINE:
                hub.HfApi().dataset_info(name, timeout=TIMEOUT)  # answers at once where `datasets` retries
            split = choose_split(datasets.get_dataset_split_names(name), wanted, name)
            table = datasets.load_dataset(name, split=split)
        except InputError:
            raise
        except Exception as error:  # network, access, data set scripts: the hub fails in many ways
            raise InputError(
                f"{name}: no such file or folder, and not available from the Hugging Face hub "
                f"({tables.first_line(error)}); {advice}"
            ) from error
    files = tuple(Path(entry["filename"]) for entry in table.cache_files)
    return Source(name, split, files, partial(_opened, name, table, label_column))


def _opened(name: str, table: Any, label_column: str | None) -> Listing:
    part = tables.Part(name, table.features.to_dict(), partial(_column, table))
    return tables.listing([part], label_column)


def _column(table: Any, name: str) -> Iterator[pa.ChunkedArray]:
    for batch in table.select_columns([name]).with_format("arrow").iter(tables.BATCH):
        yield batch[name]


@contextmanager
def _quiet(datasets: ModuleType) -> Iterator[None]:
    """Silence progress bars and log lines of `datasets`: what matters is raised."""
    bars, verbosity = datasets.are_progress_bars_disabled(), datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if not bars:
            datasets.enable_progress_bars()

"""A study of many cells, each one file: measured in order, gone on with where it was interrupted, joined into tables.

A cell is a frozen record whose fields name it; what is measured of it is a dictionary of numbers.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy.stats import t as student

from covalign.figures.saving import save_figure
from covalign.storage.atomic import write_or_refuse
from covalign.storage.provenance import environment


def file_of(folder: Path, cell: Any) -> Path:
    """Return where a cell is kept."""
    words = (f"{each:g}" if isinstance(each, float) else str(each) for each in astuple(cell))
    return folder / f"{'-'.join(words)}.json"


def keep(folder: Path, cell: Any, found: dict[str, Any], seconds: float) -> None:
    """Write one cell, whole or not at all."""
    document = {**asdict(cell), **found, "seconds": round(seconds, 1), "torch": torch.__version__}
    write_or_refuse(file_of(folder, cell), json.dumps(document).encode())
    print(document, flush=True)


def measure(
    cells: Iterable[Any], folder: Path, minutes: float, measured: Callable[[Any], dict[str, Any]]
) -> None:
    """Measure what is missing, until so many minutes of the processor have passed."""
    folder.mkdir(parents=True, exist_ok=True)
    for cell in cells:
        if time.process_time() > 60 * minutes:
            return
        if not file_of(folder, cell).exists():
            began = time.process_time()
            found = measured(cell)
            keep(folder, cell, found, time.process_time() - began)


def table_of(folder: Path, by: list[str]) -> pd.DataFrame:
    """Return a row a cell."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return pd.DataFrame(rows).sort_values(by, ignore_index=True)


def interval(values: pd.Series) -> tuple[float, float, float]:
    """Mean and its 95 % interval (Student)."""
    count, mean = len(values), float(values.mean())
    reach = student.ppf(0.975, count - 1) * float(values.std()) / count**0.5 if count > 1 else float("nan")
    return mean, mean - reach, mean + reach


def between(low: float, high: float, digits: str) -> str:
    """Return an interval in words; nothing where one seed has none."""
    return "" if pd.isna(low) else f" ({low:{digits}} to {high:{digits}})"


def write(out: Path, name: str, cells: pd.DataFrame, found: pd.DataFrame, figure: Figure, page: str) -> None:
    """Write both tables, the figure and the page, which ends with what the cells took."""
    out.mkdir(parents=True, exist_ok=True)
    cells.to_csv(out / "cells.csv", index=False, float_format="%.5g", lineterminator="\n")
    found.to_csv(out / "table.csv", index=False, float_format="%.4f", lineterminator="\n")
    whole = f"{page}\nProcessor seconds in all: {cells['seconds'].sum():.0f}, one thread.\n"
    (out / "README.md").write_text(whole, encoding="utf-8")
    save_figure(figure, out / name, {"cells": len(cells), "environment": environment()})
    print(whole)


def arguments(what: str, cells: str, results: Path) -> argparse.ArgumentParser:
    """Return what every such study takes."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("what", choices=["run", "report"])
    parser.add_argument("--images", help="the set that no member saw")
    parser.add_argument("--encoding", default="vgg11-natural")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the processor, then no cell starts")
    parser.add_argument("--cells", type=Path, default=Path("build") / cells)
    parser.add_argument("--out", type=Path, default=results)
    return parser

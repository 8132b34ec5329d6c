"""Which numbers of a comparison are printed, and under what names?

Tables with at most 1500 rows; every column of every row is among the page's downloads.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from typing import Any

import pandas as pd

from covalign.report.columns import Heading
from covalign.report.page import Column, Spark, Table
from covalign.storage.results import inert

ROWS = 1500


def frame_table(
    frame: pd.DataFrame, headings: Sequence[Heading], caption: str, folded: bool = False
) -> Table:
    """Return those columns of a data frame that say something, as a table of at most 1500 rows.

    Args:
        frame: one row a row; a missing text prints as nothing, a missing number as a dash.
        headings: which columns, in order.
        caption: of the table.
        folded: shown only when opened.
    """
    present = [heading for heading in headings if heading.name in frame]
    columns: list[list[Any]] = [
        (frame[each.name].fillna("") if each.digits is None else frame[each.name]).tolist()
        for each in present
    ]
    rows = tuple(zip(*columns, strict=True))
    table = Table(
        tuple(Column(each.title, each.digits, each.meaning) for each in present),
        rows[:ROWS],
        caption + left_out(len(rows), ROWS, "rows"),
        folded,
    )
    return saying(table)


def saying(table: Table) -> Table:
    """Return a table without the columns that say nothing in any row."""
    columns = zip(*table.rows, strict=True) if table.rows else [("",)] * len(table.columns)
    kept = [not table.rows or not all(map(_says_nothing, cells)) for cells in columns]
    return replace(
        table,
        columns=tuple(compress(table.columns, kept)),
        rows=tuple(tuple(compress(row, kept)) for row in table.rows),
    )


def _says_nothing(value: Any) -> bool:
    """Whether a cell would be printed empty or as a dash."""
    if isinstance(value, Spark):
        return not any(map(math.isfinite, value.values))
    return value is None or value == "" or (isinstance(value, float) and not math.isfinite(value))


def left_out(amount: int, limit: int, noun: str) -> str:
    """Say how much is not shown; empty where all is."""
    return f" The first {limit:,} of {amount:,} {noun} are shown." if amount > limit else ""


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV in UTF-8."""
    return str(inert(table).to_csv(index=False, lineterminator="\n")).encode("utf-8", errors="replace")

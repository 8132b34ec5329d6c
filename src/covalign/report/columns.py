"""Where is a column of a table declared? Once, at the field of the row that holds it.

A row is a frozen record whose fields say what they mean. The data frame, the printed headings, the docstring and the
documentation of its columns all follow from these fields.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

import pandas as pd

_META = "column"


class Heading(NamedTuple):
    """How a column is printed: title, digits after the point (None: text), name in the frame, meaning."""

    title: str
    digits: int | None
    name: str
    meaning: str


class Declared(NamedTuple):
    """What is declared of a column besides its name: meaning, printed title, digits, unit, and source."""

    meaning: str
    title: str
    digits: int | None
    unit: str
    source: str


def column(
    meaning: str,
    *,
    title: str = "",
    digits: int | None = None,
    unit: str = "",
    source: str = "",
    default: Any = MISSING,
) -> Any:
    """Declare a field of a row.

    Args:
        meaning: in one phrase.
        title: as printed; the field's name, spaced, by default.
        digits: printed after the point; None for text.
        unit: what its numbers count or are shares of.
        source: authors, year, equation.
        default: of the field; none by default.
    """
    return dataclasses.field(
        default=default, metadata={_META: Declared(meaning, title, digits, unit, source)}
    )


def headings(row: type, names: Sequence[str] = ()) -> tuple[Heading, ...]:
    """Return how chosen columns of a row are printed; all in the order of declaration by default."""
    declared = _declared(row)
    return tuple(
        Heading(
            declared[name].title or name.replace("_", " "),
            declared[name].digits,
            name,
            _phrase(declared[name]),
        )
        for name in names or declared
    )


def described(row: type) -> str:
    """Return the columns of a row as lines for a docstring or a page of documentation."""
    return "\n".join(f"``{name}``: {_phrase(each) or 'text'}." for name, each in _declared(row).items())


def documented(row: type) -> type:
    """Add the columns of a row to its docstring."""
    row.__doc__ = f"{row.__doc__}\n\nColumns:\n{described(row)}\n"
    return row


def frame(rows: Iterable[Any], row: type) -> pd.DataFrame:
    """Return rows as a data frame, a column a field; with its columns even where there are no rows."""
    names = [each.name for each in fields(row)]
    return pd.DataFrame([{name: getattr(each, name) for name in names} for each in rows], columns=names)


def completed(table: pd.DataFrame, row: type) -> pd.DataFrame:
    """Return a table of an earlier version with the columns that it lacks, at their defaults.

    Raises:
        KeyError: a column without a default is missing.
    """
    lacking = [each for each in fields(row) if each.name not in table]
    for each in lacking:
        if each.default is MISSING:
            raise KeyError(each.name)
    added = {each.name: [each.default] * len(table) for each in lacking}
    columns = [each.name for each in fields(row)]
    return table.assign(**added)[[*columns, *(name for name in table if name not in columns)]]


def _declared(row: type) -> dict[str, Declared]:
    return {each.name: each.metadata[_META] for each in fields(row)}


def _phrase(declared: Declared) -> str:
    unit = f", {declared.unit}" if declared.unit else ""
    source = f" ({declared.source})" if declared.source else ""
    return f"{declared.meaning}{unit}{source}"

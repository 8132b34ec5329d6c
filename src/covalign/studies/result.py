"""What does every result of a study offer?

A `Result` is a frozen record that saves itself into a folder, loads from one, writes its page, and shows itself in a
line or two and in a notebook. What it is made of, its page and its figure are the study's own; everything else is
here.
"""

import base64
import html
from abc import ABC, abstractmethod
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pandas as pd
from matplotlib.figure import Figure

from covalign.errors import InputError
from covalign.report.page import Page, Spark, Table
from covalign.report.rendering import encoded, write_page
from covalign.showing import Shown
from covalign.storage.results import Stored, load, save

REPORT = "report.html"
ROWS, COLUMNS = 12, 16
"""Of the table that a notebook shows."""

SENTENCE, CELL = 600, 120
"""Characters of a sentence and of a cell in a notebook."""

PICTURE = 120_000
"""Bytes of a picture in a notebook; a larger one is drawn again at half the resolution."""

Kept = TypeVar("Kept", bound="Result")


class Result(Shown, ABC):
    """What was measured, kept on disk and shown.

    Attributes:
        KIND: what it is called in ``results.json``.
        PARTS: classes of the frozen records that may occur inside it.
    """

    KIND: ClassVar[str]
    PARTS: ClassVar[tuple[type, ...]] = ()

    @abstractmethod
    def page(self) -> Page:
        """Return the result as a page."""

    @abstractmethod
    def figure(self) -> Figure | None:
        """Return the main figure; None where only the page has one."""

    def save(self, folder: str | Path, *, report: bool | Page = False, static: bool = False) -> Path:
        """Write everything into a folder, replacing an earlier result as a whole, and return the folder.

        Args:
            folder: gets tables (parquet and CSV), tensors (safetensors), ``results.json`` and a manifest.
            report: also write the page, as ``report.html``; a page that was arranged already may be given.
            static: pictures instead of interactive plots, and no script in the page.

        Raises:
            InputError: the folder cannot be written.
        """
        page = self.page() if report is True else report or None
        files = self.derived() | ({REPORT: encoded(page, static)} if page else {})
        return save(self, Path(folder), self.KIND, files, self.numbers())

    @classmethod
    def load(cls: type[Kept], folder: str | Path) -> Kept:
        """Read what `save` wrote.

        Raises:
            InputError: the folder holds no such result, a damaged one, or one that was being replaced.
        """
        stored = load(Path(folder), cls.KIND)
        try:
            return cls(**(cls.first_schema(stored) if stored.version == 1 else stored.values(cls.PARTS)))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{folder}: no readable {cls.KIND} ({error!r}); expected what {cls.__name__}.save wrote"
            ) from error

    def report(self, path: str | Path, *, static: bool = False) -> Path:
        """Write one self-contained HTML page and return its path.

        Args:
            path: of the file.
            static: pictures instead of interactive plots, and no script in the page.

        Raises:
            InputError: the path cannot be written.
        """
        return write_page(self.page(), path, static=static)

    def numbers(self) -> dict[str, Any]:
        """Return what follows from the record, JSON-serializable, for programs that read ``results.json`` alone."""
        return {}

    def derived(self) -> dict[str, bytes]:
        """Return files that are written for other programs and never read back, by name."""
        return {}

    @classmethod
    def first_schema(cls, stored: Stored) -> dict[str, Any]:
        """Return the fields, from what version 0.1 wrote."""
        return stored.values(cls.PARTS)

    def _repr_html_(self) -> str:
        """Return the answers, a figure and the first table of the page, for notebooks."""
        page, figure = self.page(), self.figure()
        tables = [part for section in page.sections for part in section.parts if isinstance(part, Table)]
        said = [*(answer for _, answer in page.answers), *page.remaining[:1]]
        parts = [f"<h4>{html.escape(shortened(page.title, SENTENCE))}</h4>"]
        parts += [f"<p>{html.escape(shortened(sentence, SENTENCE))}</p>" for sentence in said]
        parts += [picture(figure)] if figure is not None else []
        parts += [table_html(table) for table in tables[:1]]
        return "\n".join(parts)


def picture(figure: Figure) -> str:
    """Return a figure as an HTML image of bounded size."""
    drawn, dpi = _drawn(figure, 110.0), 110.0
    while len(drawn) > PICTURE:
        dpi /= 2
        drawn = _drawn(figure, dpi)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(drawn).decode()}">'


def _drawn(figure: Figure, dpi: float) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def table_html(table: Table) -> str:
    """Return the head of a table as HTML, sparklines left out."""
    frame = pd.DataFrame(list(table.rows), columns=[column.title for column in table.columns])
    kept = [
        not any(isinstance(cell, Spark) for cell in frame.iloc[:, index]) for index in range(frame.shape[1])
    ]
    return frame_html(frame.loc[:, kept])


def frame_html(frame: pd.DataFrame) -> str:
    """Return the head of a data frame as HTML: at most `ROWS` rows and `COLUMNS` columns, long texts shortened."""
    brief = frame.map(lambda cell: shortened(cell, CELL) if isinstance(cell, str) else cell)
    options = {"max_rows": ROWS, "max_cols": COLUMNS, "float_format": "{:.4g}".format}
    return str(brief.to_html(index=False, **options))


def shortened(text: str, length: int) -> str:
    """Return a text that is at most so long, also where it is one word."""
    return text if len(text) <= length else f"{text[: length - 1]}…"

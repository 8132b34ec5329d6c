"""What is a report page made of?

A `Page` is a title, a summary in plain words, and sections of prose, plots, picture galleries and tables.
Every part is a frozen record that knows nothing about HTML; `covalign.report.rendering` turns a page into one
file. All text is plain text: it is escaped when rendered, so names from a file may contain anything.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from covalign.report.heat import Heats


@dataclass(frozen=True)
class Key:
    """One entry of a legend: clicking it hides the traces whose ``legendgroup`` is ``group``."""

    label: str
    group: str
    color: str
    dash: str = "solid"
    symbol: str = ""


@dataclass(frozen=True)
class Panel:
    """One Plotly plot: its traces and layout as plain dictionaries, without colours of paper or ink.

    Attributes:
        data: traces.
        layout: axes and shapes; fonts and grids follow the page's theme.
        alt: what the plot shows, in words.
        title: heading of the panel.
        height: in pixels.
    """

    data: tuple[dict[str, Any], ...]
    layout: dict[str, Any]
    alt: str
    title: str = ""
    height: int = 400


@dataclass(frozen=True)
class Plots:
    """A figure of one panel, or of several beside each other, under one legend and one caption."""

    panels: tuple[Panel, ...]
    caption: str
    legend: tuple[Key, ...] = ()
    part: ClassVar[str] = "plots"


@dataclass(frozen=True, eq=False)
class Raster:
    """A small picture of which every pixel counts: a map, a kernel.

    Attributes:
        pixels: grey ``[h, w]`` or colour ``[h, w, 3]``, uint8.
        alt: what it shows, in words.
        label: printed beneath.
        arrows: rows and columns (counted from 1) pointed at from the margins.
    """

    pixels: np.ndarray
    alt: str
    label: str = ""
    arrows: tuple[float, float] | None = None


@dataclass(frozen=True)
class Gallery:
    """Rows of small pictures, each under its own heading.

    Attributes:
        rows: heading and pictures of each row.
        caption: what the gallery shows.
        scale: the words at the light and the dark end of the grey scale.
        size: least width of a picture in pixels; they wrap where the page is narrower.
        columns: how many rows stand beside each other on a wide page.
        folded: shown only when opened.
    """

    rows: tuple[tuple[str, tuple[Raster, ...]], ...]
    caption: str
    scale: tuple[str, str] | None = None
    size: int = 116
    columns: int = 1
    folded: bool = False
    part: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Spark:
    """A line as small as a word; NaN is a gap, ``level`` a reference line."""

    values: tuple[float, ...]
    level: float = float("nan")


Cell: TypeAlias = str | int | float | bool | Spark


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, how many digits follow the point, and what it means."""

    title: str
    digits: int | None = None
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """A sortable table; a NaN prints as a dash and sorts last.

    Attributes:
        columns: headings.
        rows: as many cells each as there are columns.
        caption: what the rows are.
        folded: shown only when opened.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str
    folded: bool = False
    part: ClassVar[str] = "table"


@dataclass(frozen=True)
class Facts:
    """Pairs of a term and its value."""

    entries: tuple[tuple[str, str], ...]
    part: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Notes:
    """Method notes that ship with the package, by name (``templates/notes/NAME.html``)."""

    names: tuple[str, ...]
    part: ClassVar[str] = "notes"


@dataclass(frozen=True)
class Download:
    """A file carried inside the page."""

    name: str
    media_type: Literal["text/csv", "application/json"]
    content: bytes
    meaning: str


@dataclass(frozen=True)
class Downloads:
    """Files carried inside the page."""

    files: tuple[Download, ...]
    part: ClassVar[str] = "downloads"


@dataclass(frozen=True)
class Mark:
    """A coloured symbol that stands for a row: colour and Plotly's name of the shape."""

    color: str
    symbol: str


@dataclass(frozen=True)
class Matrix:
    """A square table of numbers as a picture, under the tree that orders it.

    Attributes:
        names: of rows and columns, in order.
        marks: of the rows.
        texts: what is printed in each cell.
        colors: CSS colour of each cell, and that of its text.
        notes: what a cell says when it is pointed at.
        alt: what it shows, in words.
        tree: polylines above the columns: points (place among the columns from 0, height from 0 to 1).
        title: heading.
    """

    names: tuple[str, ...]
    marks: tuple[Mark, ...]
    texts: tuple[tuple[str, ...], ...]
    colors: tuple[tuple[tuple[str, str], ...], ...]
    notes: tuple[tuple[str, ...], ...]
    alt: str
    tree: tuple[tuple[tuple[float, float], ...], ...] = ()
    title: str = ""


@dataclass(frozen=True)
class Slide:
    """One position of a slider: its label, and what it shows."""

    label: str
    matrices: tuple[Matrix, ...] = ()
    panels: tuple[Panel, ...] = ()


@dataclass(frozen=True)
class Slides:
    """A figure of which one position is shown, chosen by a slider; without a script all of them.

    Attributes:
        slides: in order.
        caption: of all.
        start: the position that is shown first.
        legend: of all.
    """

    slides: tuple[Slide, ...]
    caption: str
    start: int = 0
    legend: tuple[Key, ...] = ()
    part: ClassVar[str] = "slides"


Part: TypeAlias = Heats | Slides | Plots | Gallery | Table | Facts | Notes | Downloads


@dataclass(frozen=True)
class Section:
    """A heading, some paragraphs, and what they speak of; folded, it shows only its heading until it is opened."""

    key: str
    title: str
    prose: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    folded: bool = False


@dataclass(frozen=True)
class Page:
    """A report.

    Attributes:
        kicker: what sort of report this is, in a few words.
        title: the question it answers.
        subtitle: of what.
        summary: what was found, in plain words, a sentence or two each.
        facts: what was looked at, beside the summary.
        sections: the evidence.
        about: what the reader looks at, where the question alone does not say it.
        answers: what a reader wants to know first, and the answer in one sentence: question and answer.
    """

    kicker: str
    title: str
    subtitle: str
    summary: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    answers: tuple[tuple[str, str], ...] = ()
    about: str = ""

    @property
    def remaining(self) -> tuple[str, ...]:
        """What the summary says beyond the answers."""
        said = {answer for _, answer in self.answers}
        return tuple(sentence for sentence in self.summary if sentence not in said)

"""How does a report show a matrix of numbers as colours: which layer is like which?

Drawn by the template as SVG over one picture, so that it prints, needs no script, and weighs little at any size.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True, eq=False)
class Heat:
    """A matrix of numbers as colours, in square cells, row 1 at the top.

    Attributes:
        pixels: colour of every cell, ``[rows, columns, 3]``, uint8.
        rows, columns: names; columns that are called as the rows are not named again.
        numbers: of the rows and of the columns, printed beside every name.
        framed: row and column (from 0) of the cells that get a frame.
        pointed: row and column of the cells that get a point.
        down, across: what rows and columns are.
        alt: what it shows, in words.
        texts: what is printed in each cell, and its colour; empty prints nothing.
        notes: what a cell says when it is pointed at; empty says nothing.
        small: without names, to stand beside others.
    """

    pixels: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    numbers: tuple[tuple[int, ...], tuple[int, ...]]
    framed: tuple[tuple[int, int], ...]
    pointed: tuple[tuple[int, int], ...]
    down: str
    across: str
    alt: str
    texts: tuple[tuple[tuple[str, str], ...], ...] = ()
    notes: tuple[tuple[str, ...], ...] = ()
    small: bool = False


@dataclass(frozen=True)
class Heats:
    """A figure of matrices in the same colours.

    Attributes:
        maps: in order.
        caption: of all.
        colors: CSS colours of the scale, from its lower to its upper end.
        ends: words at its lower and its upper end.
        keys: what a frame and a point say.
    """

    maps: tuple[Heat, ...]
    caption: str
    colors: tuple[str, ...]
    ends: tuple[str, str]
    keys: tuple[str, str]
    part: ClassVar[str] = "heats"

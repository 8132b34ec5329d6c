"""How does a record show itself: in a few lines of text, and in a notebook?

`Shown` is what records have in common: a short `repr`, and for notebooks a table of what they hold, with figures.
Figures are SVG that is written here, so that records of the mathematics need no drawing library and no display.
Text from elsewhere (names of networks, files, classes) is escaped, and what a record gives a notebook is bounded.
"""

import html
import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, ClassVar

import pandas as pd
from torch import Tensor

TEXT, REASON, WIDTH = 40, 160, 100
"""Characters of one value, of a reason, and of a line."""

FEW = 4
"""Numbers in a tuple up to which they are shown."""

CURVES, POINTS = 5, 200
"""How many vectors of a record are drawn, and at how many places each."""

PICTURES, CELLS, MATRIX = 9, 121, 24
"""How many small pictures are drawn, of at most so many cells, and up to how many rows and columns a matrix is."""

COLD, WARM = (0, 114, 178), (213, 94, 0)
"""Colours of the most negative and the most positive cell (Okabe & Ito 2008); white is 0."""


class Shown:
    """A frozen record that shows itself.

    Attributes:
        INTERVAL: fields that hold a value and the ends of its interval, which a notebook draws beside 0 and 1.
        PICTURES: attribute that holds small pictures ``[n, h, w]``, which a notebook draws.
    """

    INTERVAL: ClassVar[tuple[str, str, str] | None] = None
    PICTURES: ClassVar[str] = ""

    def __repr__(self) -> str:
        """Return what it holds, in a few lines."""
        text = f"{type(self).__name__}({'; '.join(f'{name}: {what}' for name, what in held(self))})"
        return "\n".join(textwrap.wrap(text, WIDTH, subsequent_indent="  ", break_long_words=False))

    def _repr_html_(self) -> str:
        """Return what it holds as a table, and figures, for notebooks."""
        rows = "".join(f"<tr><th>{name}</th><td>{html.escape(what)}</td></tr>" for name, what in held(self))
        return f"<h4>{type(self).__name__}</h4>\n<table>{rows}</table>\n{''.join(_figures(self))}"


def held(record: Any) -> list[tuple[str, str]]:
    """Return names and contents of a record's fields, in a few words each; without those that say nothing."""
    known = [(each.name, described(getattr(record, each.name))) for each in fields(record)]
    if isinstance(getattr(type(record), "reason", None), property):
        known.append(("reason", textwrap.shorten(record.reason, REASON, placeholder="…")))
    return [(name, what) for name, what in known if what]


def described(value: Any) -> str:
    """Return a value in a few words; nothing for nothing."""
    if isinstance(value, pd.DataFrame):
        return f"{len(value)} rows x {len(value.columns)} columns"
    if isinstance(value, Tensor):
        return _tensor(value)
    if is_dataclass(value):
        return type(value).__name__
    if isinstance(value, tuple) and 0 < len(value) <= FEW and all(isinstance(each, int) for each in value):
        return str(value)
    if isinstance(value, Mapping | Sequence) and not isinstance(value, str):
        return f"{len(value)} {'entry' if len(value) == 1 else 'entries'}" if value else ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Enum):
        return textwrap.shorten(str(getattr(value, "sentence", value.value)), REASON, placeholder="…")
    return "" if value in (None, "") else textwrap.shorten(str(value), TEXT, placeholder="…")


def _tensor(value: Tensor) -> str:
    if value.ndim != 1 or not value.is_floating_point() or len(value) < 2:
        return "x".join(map(str, value.shape)) if value.ndim else f"{float(value):.4g}"
    return f"{len(value)} from {float(value[0]):.3g} to {float(value[-1]):.3g}"


def _figures(record: Shown) -> list[str]:
    values = {each.name: getattr(record, each.name) for each in fields(record)}  # type: ignore[arg-type]
    vectors = {
        name: value.tolist()
        for name, value in values.items()
        if isinstance(value, Tensor) and value.ndim == 1 and value.is_floating_point() and len(value) > 1
    }
    found = [curve(name, vector) for name, vector in list(vectors.items())[:CURVES]]
    if record.INTERVAL:
        found.append(interval(record.INTERVAL[0], *(values[name] for name in record.INTERVAL)))
    if record.PICTURES:
        pictures = getattr(record, record.PICTURES)[:PICTURES]
        return found + [cells(each) for each in pictures if each.numel() <= CELLS]
    matrices = [value for value in values.values() if isinstance(value, Tensor) and value.ndim == 2]
    return found + [cells(each) for each in matrices[:1] if max(each.shape) <= MATRIX]


def curve(name: str, values: Sequence[float]) -> str:
    """Return a vector as a small line against its index, with its name and range; empty without finite values."""
    step = max(1, math.ceil(len(values) / POINTS))
    seen = list(enumerate(values))[::step]
    finite = [value for _, value in seen if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(0.0, *finite), max(0.0, *finite)
    scale = high - low or 1.0
    paths, last = [], -2 * step
    for index, value in seen:
        if math.isfinite(value):
            x, y = 230 * index / max(1, len(values) - 1) + 5, 75 - 55 * (value - low) / scale
            paths.append(f"{'L' if index - last == step else 'M'}{x:.1f} {y:.1f}")
            last = index
    title = html.escape(textwrap.shorten(f"{name}: {low:.3g} to {high:.3g}", TEXT, placeholder="…"))
    line = f'<path d="{"".join(paths)}" fill="none" stroke="{_colour(COLD)}" stroke-width="1.5"/>'
    return _svg(240, 80, f'<text x="5" y="12" font-size="11" fill="currentColor">{title}</text>{line}')


def interval(name: str, value: float, low: float, high: float) -> str:
    """Return a value with its interval on a line that reaches at least from 0 to 1; empty where it is not known."""
    if not math.isfinite(value):
        return ""
    ends = (low, high) if math.isfinite(low) and math.isfinite(high) else ()
    left, right = min(0.0, value, *ends), max(1.0, value, *ends)
    place = {each: 10 + 220 * (each - left) / (right - left) for each in (0.0, 1.0, value, *ends)}
    grey = 'stroke="currentColor" stroke-opacity="0.4"'
    marks = "".join(
        f'<path d="M{place[at]:.1f} 20V40" {grey}/>'
        f'<text x="{place[at]:.1f}" y="54" font-size="11" text-anchor="middle" fill="currentColor">{at:g}</text>'
        for at in (0.0, 1.0)
    )
    across = [f"{place[each]:.1f}" for each in ends]
    reach = f'<path d="M{" 30H".join(across)}" stroke="{_colour(COLD)}" stroke-width="3"/>' if across else ""
    dot = f'<circle cx="{place[value]:.1f}" cy="30" r="4" fill="{_colour(WARM)}"/>'
    title = f'<text x="5" y="12" font-size="11" fill="currentColor">{html.escape(name)}</text>'
    return _svg(240, 60, f'{title}<path d="M10 30H230" {grey}/>{marks}{reach}{dot}')


def cells(values: Tensor) -> str:
    """Return a small matrix as coloured cells: negative ones cold, positive ones warm, 0 white."""
    plain = values.detach().double().cpu().nan_to_num()
    peak = float(plain.abs().max()) if plain.numel() else 0.0
    size = max(3, min(16, 120 // max(1, *plain.shape)))
    squares = "".join(
        f'<rect x="{size * column}" y="{size * row}" width="{size}" height="{size}" fill="{_shade(each, peak)}"/>'
        for row, line in enumerate(plain.tolist())
        for column, each in enumerate(line)
    )
    return _svg(size * plain.shape[1] + 4, size * plain.shape[0] + 4, squares)


def _shade(value: float, peak: float) -> str:
    share = abs(value) / peak if peak else 0.0
    end = WARM if value > 0 else COLD
    return _colour(tuple(round(255 + share * (each - 255)) for each in end))


def _colour(parts: Sequence[int]) -> str:
    return "#" + "".join(f"{each:02x}" for each in parts)


def _svg(width: int, height: int, inside: str) -> str:
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>{inside}</svg>\n'

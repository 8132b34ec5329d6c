"""How does a plot look where no script runs: in an e-mail, in a pull request, on a page of a static site?

A `Panel` is drawn again by matplotlib, from the same traces and layout. What is drawn here is what our panels use:
lines, markers, bars with a base, error bars, reference lines and bands, linear and logarithmic axes.
"""

import html
import re
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from covalign.figures.style import fonts, lines
from covalign.report.page import Panel

DPI = 110
INCHES = 72.0
"""Pixels of the page in an inch of the picture."""
WIDTH = {False: 880, True: 420}
"""Width in pixels of a panel that stands alone, and of one among others."""
MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "diamond": "D",
    "triangle-down": "v",
    "cross": "P",
    "line-ew": "_",
    "line-ew-open": "_",
}
DASHES = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}


def still(panel: Panel, many: bool = False) -> bytes:
    """Return a panel as a PNG.

    Args:
        panel: to be drawn.
        many: whether it stands among others, and is small.
    """
    buffer = BytesIO()
    with matplotlib.rc_context(lines() | fonts(9.0) | {"font.family": ["DejaVu Sans"]}):
        figure = Figure(figsize=(WIDTH[many] / INCHES, panel.height / INCHES), layout="constrained")
        draw(panel, figure.subplots())
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def draw(panel: Panel, ax: Axes) -> Axes:
    """Draw a panel's traces and layout on an Axes, and return it."""
    for trace in panel.data:
        drawing = _bars if trace["type"] == "bar" else _course
        drawing(trace, ax)
    for axis, name in ((panel.layout.get("xaxis", {}), "x"), (panel.layout.get("yaxis", {}), "y")):
        _axis(axis, name, ax)
    for shape in panel.layout.get("shapes", ()):
        _shape(shape, ax)
    for note in panel.layout.get("annotations", ()):
        _note(note, ax)
    return ax


def _bars(trace: Mapping[str, Any], ax: Axes) -> None:
    marker = trace.get("marker", {})
    x, y = _numbers(trace.get("x", ())), _numbers(trace.get("y", ()))
    base = trace.get("base", 0.0)
    bottom = _numbers(base) if isinstance(base, Sequence) else np.full(len(y), float(base or 0.0))
    edge = marker.get("line", {})
    colors = {"color": _color(marker.get("color", "#7f7f7f")), "edgecolor": _color(edge.get("color", "none"))}
    ax.bar(
        x, y, bottom=bottom, width=trace.get("width", 0.8), linewidth=edge.get("width", 0), zorder=1, **colors
    )


def _course(trace: Mapping[str, Any], ax: Axes) -> None:
    """Draw a scatter trace: a line, markers, or both, with error bars where there are some."""
    mode, marker, line = trace.get("mode", "lines+markers"), trace.get("marker", {}), trace.get("line", {})
    color = _color(line.get("color") or _first(marker.get("color"), "#7f7f7f"))
    y = _numbers(trace.get("y", ()))
    x = _numbers(trace["x"]) if "x" in trace else np.arange(len(y), dtype=float)
    style: dict[str, Any] = {"color": color, "alpha": trace.get("opacity", 1.0), "zorder": 2}
    style["linestyle"] = DASHES.get(line.get("dash", "solid"), "-") if "lines" in mode else "none"
    style["linewidth"] = 0.8 * line.get("width", 1.5)
    if "markers" in mode:
        symbol = _first(marker.get("symbol"), "circle")
        style["marker"] = MARKERS.get(symbol.removesuffix("-open"), "o")
        style["markersize"] = 0.7 * float(_first(marker.get("size"), 6))
        if symbol.endswith("-open") and not symbol.startswith("line"):
            style["markerfacecolor"] = "none"
    error = trace.get("error_y")
    if error:
        up = _numbers(error["array"])
        down = _numbers(error.get("arrayminus", error["array"]))
        spread = np.clip(np.nan_to_num(np.stack([down, up])), 0, None)
        ax.errorbar(x, y, spread, elinewidth=0.8, capsize=1.5, **style)
    else:
        ax.plot(x, y, **style)
    if trace.get("fill") in ("tozeroy", "tonexty"):
        ax.fill_between(x, y, 0, color=_color(trace.get("fillcolor", "rgba(127,127,127,.2)")), linewidth=0)


def _axis(axis: Mapping[str, Any], name: str, ax: Axes) -> None:
    title = axis.get("title", {})
    text = title.get("text", "") if isinstance(title, Mapping) else str(title)
    ax.set(**{f"{name}label": _text(text)})
    logarithmic = axis.get("type") == "log"
    if logarithmic:
        ax.set(**{f"{name}scale": "log"})
    if "range" in axis:
        low, high = (10.0**end if logarithmic else end for end in axis["range"])
        ax.set(**{f"{name}lim": (low, high)})
    elif axis.get("rangemode") == "tozero":
        low, high = (ax.get_xlim if name == "x" else ax.get_ylim)()
        ax.set(**{f"{name}lim": (min(low, 0.0) if low < 0 else 0.0, high)})
    if "tickvals" in axis:
        low, high = (ax.get_xlim if name == "x" else ax.get_ylim)()
        places = [(v, t) for v, t in zip(axis["tickvals"], axis["ticktext"], strict=True) if low <= v <= high]
        ax.set(**{f"{name}ticks": [v for v, _ in places], f"{name}ticklabels": [t for _, t in places]})
        (ax.xaxis if name == "x" else ax.yaxis).set_minor_locator(matplotlib.ticker.NullLocator())
    elif "dtick" in axis and not logarithmic and "range" in axis:
        step = axis["dtick"]
        ax.set(**{f"{name}ticks": np.arange(np.ceil(axis["range"][0] / step) * step, axis["range"][1], step)})


def _shape(shape: Mapping[str, Any], ax: Axes) -> None:
    line = shape.get("line", {})
    if shape["type"] == "line":
        ax.axhline(shape["y0"], color=_color(line.get("color", "#7f7f7f")), linewidth=0.8, zorder=1)
    elif shape["type"] == "rect":
        ax.axhspan(
            shape["y0"], shape["y1"], color=_color(shape.get("fillcolor", "none")), linewidth=0, zorder=0
        )


def _note(note: Mapping[str, Any], ax: Axes) -> None:
    text = _text(note.get("text", ""))
    if text:
        place = ax.get_yaxis_transform() if note.get("xref") == "paper" else ax.transData
        at = {"ha": note.get("xanchor", "center"), "va": note.get("yanchor", "center")}
        ax.text(note["x"], note["y"], text, transform=place, fontsize="small", color="#5d5a53", **at)


def _numbers(values: Any) -> np.ndarray:
    return np.array([np.nan if value is None else float(value) for value in values], dtype=float)


def _first(value: Any, default: Any) -> Any:
    """Return one value for all points: the first, where each has its own."""
    if isinstance(value, list | tuple):
        return value[0] if value else default
    return default if value is None else value


def _text(marked: str) -> str:
    """Return Plotly's subset of HTML as plain text that matplotlib draws letter by letter."""
    return html.unescape(re.sub(r"<[^>]*>", "", marked)).replace("$", r"\$")


def _color(color: Any) -> Any:
    """Return a CSS colour as matplotlib takes it."""
    found = re.fullmatch(r"rgba?\(([^)]*)\)", str(color))
    if not found:
        return color
    *rgb, last = [float(part) for part in found[1].split(",")]
    whole = [*rgb, last] if len(rgb) == 2 else rgb
    return (*(part / 255 for part in whole), 1.0 if len(rgb) == 2 else last)

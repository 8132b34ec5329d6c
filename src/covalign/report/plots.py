"""How do records become interactive plots?

Each function returns one `Panel`: Plotly traces as dictionaries. Colours, markers and dashes are those of the
printed figures. Plotly reads a small subset of HTML in its texts, so every name is escaped here.
"""

import html
import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import pandas as pd
import torch
from torch import Tensor

from covalign.figures.style import GREY, series, shorten
from covalign.report.page import Key, Panel

SYMBOLS = {
    "o": "circle",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
}
DASHES = {"-": "solid", "--": "dash", ":": "dot", "-.": "dashdot"}
Numbers: TypeAlias = pd.Series | Sequence[float] | Sequence[int]

POINTS = 400
PANELS = 12
LINES = 24
"""As many series as differ in colour, marker and dash."""


def legend(
    labels: Sequence[str], markers: bool = True, places: Sequence[int] | None = None
) -> tuple[Key, ...]:
    """Return the legend of the series called ``labels``, in the order of their traces.

    Args:
        labels: what they are called.
        markers: whether they have any.
        places: which series each is drawn as; in order by default.
    """
    drawn = list(range(len(labels))) if places is None else places
    styles = [series(place) for place in drawn]
    return tuple(
        Key(
            label,
            str(place),
            style["color"],
            DASHES[style["linestyle"]],
            SYMBOLS[style["marker"]] if markers else "",
        )
        for place, label, style in zip(drawn, labels, styles, strict=True)
    )


def line(index: int, x: Numbers, y: Numbers, hover: str, **more: Any) -> dict[str, Any]:
    """Return one trace in the style of the ``index``-th series."""
    style = series(index)
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(x),
        "y": list(y),
        "legendgroup": str(index),
        "line": {"color": style["color"], "dash": DASHES[style["linestyle"]], "width": 1.8},
        "marker": {"color": style["color"], "symbol": SYMBOLS[style["marker"]], "size": 7},
        "hovertemplate": hover + "<extra></extra>",
    } | more


def level(y: float, label: str) -> dict[str, Any]:
    """Return the layout of a horizontal reference line with its name at the right end."""
    return {
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": y,
                "y1": y,
                "line": {"color": GREY, "width": 1},
            }
        ],
        "annotations": [
            {
                "text": label,
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "y": y,
                "yanchor": "bottom",
                "showarrow": False,
            }
        ],
    }


def depth_axis(depths: Numbers) -> dict[str, Any]:
    """Return an axis over layers, every one of them ticked where there is room."""
    deepest = max(depths)
    return {
        "title": {"text": "layer"},
        "dtick": 1 if deepest <= 16 else math.ceil(deepest / 12),
        "range": [0.6, deepest + 0.4],
    }


def pair_title(pair: tuple[str, str]) -> str:
    """Return the pair's name as plain text."""
    return f"{shorten(pair[0], 48)} – {shorten(pair[1], 48)}"


def shorten_escaped(name: str) -> str:
    """Return a name as a hover text shows it: at most 60 characters, escaped."""
    return html.escape(shorten(name, 60))


def spectrum_panel(
    spectra: Sequence[Tensor], edges: tuple[float, float], title: str, names: Sequence[str]
) -> Panel:
    """Plot the spectra of one layer in several networks over the noise bulk.

    Args:
        spectra: eigenvalues in units of the initialization variance, one tensor a network; may be empty.
        edges: lower and upper bulk edge; NaN draws none.
        title: heading.
        names: the networks, in legend order.
    """
    data, extremes = [], []
    for index, (name, values) in enumerate(zip(names, spectra, strict=True)):
        ranks, thinned = by_rank(values)
        hover = f"{html.escape(shorten(name, 48))}<br>rank %{{x}}: <b>%{{y:.3g}}</b>"
        trace = line(index, ranks, thinned, hover, opacity=0.85)
        trace["marker"] |= {"size": 3.5}
        trace["line"] |= {"width": 0.8}
        data.append(trace)
        extremes += thinned[:1] + thinned[-1:]
    lower, upper = edges
    bulk = {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": max(lower, min(extremes, default=upper)),
        "y1": upper,
        "line": {"width": 0},
        "fillcolor": "rgba(127,127,127,.18)",
        "layer": "below",
    }
    layout = {
        "xaxis": {"type": "log", "title": {"text": "rank"}, "dtick": "D2"},
        "yaxis": logarithmic("eigenvalue", extremes),
        "shapes": [bulk] if math.isfinite(upper) else [],
    }
    return Panel(tuple(data), layout, f"Spectra of {title} over the noise bulk.", title, height=230)


def by_rank(eigenvalues: Tensor) -> tuple[list[int], list[float]]:
    """Return ranks and positive eigenvalues, descending, thinned to about 400 evenly spaced in log rank.

    Args:
        eigenvalues: shape ``[r]``; empty where the network has no such layer.
    """
    positive = eigenvalues[eigenvalues > 0].sort(descending=True).values
    if not len(positive):
        return [], []
    ranks = torch.unique(torch.logspace(0, math.log10(len(positive)), POINTS).round().long())
    return ranks.tolist(), [float(f"{value:.4g}") for value in positive[ranks - 1].tolist()]


def measure_panel(
    layers: Sequence[str],
    values: Numbers,
    low: Numbers,
    high: Numbers,
    title: str,
    spread: Numbers | None = None,
) -> Panel:
    """Plot a measure by layer on grey bars of its reference range.

    Args:
        layers: names, in order of depth.
        values: the measure, one a layer; NaN is a gap.
        low, high: ends of the reference range; NaN draws no bar.
        title: what the measure is.
        spread: from seed to seed, drawn as an error bar.
    """
    depths = list(range(1, len(layers) + 1))
    names = [shorten_escaped(name) for name in layers]
    bottoms, tops = list(low), list(high)
    bars = {
        "type": "bar",
        "x": depths,
        "base": bottoms,
        "y": [top - bottom for bottom, top in zip(bottoms, tops, strict=True)],
        "width": 0.7,
        "marker": {"color": "rgba(127,127,127,.3)", "line": {"color": "rgba(127,127,127,.6)", "width": 1}},
        "hoverinfo": "skip",
    }
    hover = (
        "layer %{x}: %{customdata[0]}<br><b>%{y:.4g}</b><br>"
        "reference %{customdata[1]:.4g} to %{customdata[2]:.4g}"
    )
    custom = [list(row) for row in zip(names, bottoms, tops, strict=True)]
    course = line(0, depths, values, hover, customdata=custom)
    if spread is not None:
        course["error_y"] = {"type": "data", "array": list(spread), "thickness": 1.2, "width": 3}
    layout = {"xaxis": depth_axis(depths), "yaxis": {"rangemode": "tozero"}}
    return Panel((bars, course), layout, f"{title} by layer.", title.capitalize(), height=240)


def logarithmic(title: str, values: Sequence[float]) -> dict[str, Any]:
    """Return a logarithmic axis ticked at 1, 2, 5 ... or, over more than two decades, at powers of ten.

    Args:
        title: of the axis.
        values: positive numbers that must fit; may be empty.
    """
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 100 else (1,)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return {
        "type": "log",
        "title": {"text": title},
        "tickvals": ticks,
        "ticktext": [f"{tick:g}" for tick in ticks],
    }


def training_panel(training: dict[str, list[dict[str, Any]]], key: str, title: str) -> Panel:
    """Plot a quantity of the histories against epoch, one line a network.

    Args:
        training: histories by network name.
        key: ``"train_accuracy"``, ``"test_accuracy"`` or ``"train_loss"``; epochs without it are left out.
        title: heading and axis.
    """
    data = []
    for index, (name, history) in enumerate(training.items()):
        rows = [row for row in history if row.get(key) is not None]
        hover = f"{html.escape(shorten(name, 48))}<br>epoch %{{x}}: <b>%{{y:.3f}}</b>"
        data.append(
            line(index, [row["epoch"] for row in rows], [row[key] for row in rows], hover, mode="lines")
        )
    layout = {
        "xaxis": {"title": {"text": "epoch"}},
        "yaxis": {"title": {"text": title}, "rangemode": "tozero"},
    }
    return Panel(tuple(data), layout, f"{title} against epoch.", title.capitalize(), height=260)

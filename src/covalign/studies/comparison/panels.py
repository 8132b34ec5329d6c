"""How does a similarity run over depth, on the page?"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.figures.style import GREY, series
from covalign.report.page import Panel
from covalign.report.plots import LINES, depth_axis, level, line, pair_title, shorten_escaped
from covalign.studies.comparison.orders import mean_of_orders, pairs, rows_of, unaligned


def _layers(rows: pd.DataFrame) -> list[str]:
    """Return what hovering calls each layer."""
    names = [a if a == b else f"{a} – {b}" for a, b in zip(rows["layer_a"], rows["layer_b"], strict=True)]
    return [shorten_escaped(name) for name in names]


def _hollow(trace: dict[str, Any], rows: pd.DataFrame) -> None:
    """Draw the markers of layers without a noise bulk open: there the numbers only describe."""
    symbol = trace["marker"]["symbol"]
    symbols = [symbol if ok else f"{symbol}-open" for ok in rows["bulk_ok"]]
    trace["marker"] = trace["marker"] | {"symbol": symbols}


Places: TypeAlias = Mapping[tuple[str, str], int]
"""Which series each pair is drawn as; see `covalign.studies.comparison.orders.group_places`."""


def agreement_panel(table: pd.DataFrame, places: Places | None = None) -> Panel:
    """Plot R of every pair with its 95 % interval; thin lines: aligned on images in shuffled order."""
    shown = {"value": "debiased", "low": "debiased_low", "high": "debiased_high", "test": "debiased_z"}
    data = _with_intervals(table, shown, "R", "z = %{customdata[4]:.1f}", places)
    for index, pair in enumerate(pairs(table)[:LINES]):
        rows = rows_of(table, pair)
        data += _control(
            places[pair] if places else index,
            pair,
            rows["depth"],
            rows["debiased_shuffled"],
            "aligned on other images",
        )
    top = max(1.2, min(2.0, float(table["debiased"].max(skipna=True)) * 1.15))
    layout = {
        "xaxis": depth_axis(table["depth"]),
        "yaxis": {"title": {"text": "agreement R"}, "range": [-0.4, top]},
        **_levels("unrelated", "the same"),
    }
    return Panel(tuple(data), layout, "Agreement of every pair of networks against depth.", height=440)


def top_of(values: Iterable[float]) -> float:
    """Return where an axis ends that shows values about 1: no lower than 1.4, no higher than 2.5."""
    finite = [value for value in values if math.isfinite(value)]
    return max(1.4, min(2.5, 1.08 * max(finite, default=1.0)))


CONTROLS = {
    "debiased": "aligned",
    "debiased_shuffled": "aligned on images in shuffled order",
    "debiased_centred": "aligned on features less their mean at each position",
    "debiased_unaligned": "not aligned",
    "debiased_slots": "channels turned at random, filter slots kept",
    "debiased_without_5": "aligned, without the five leading directions",
}
"""What R is held against, in the order of the legend."""


def control_panel(table: pd.DataFrame, pair: tuple[str, str]) -> Panel:
    """Plot R of one pair beside R under each control."""
    rows, data = rows_of(table, pair), []
    for index, (name, said) in enumerate(CONTROLS.items()):
        if rows[name].notna().any():
            hover = f"layer %{{x}}, {said}: <b>%{{y:.3f}}</b>"
            data.append(line(index, rows["depth"], rows[name], hover))
    layout = {
        "xaxis": depth_axis(table["depth"]),
        "yaxis": {"title": {"text": "R"}, "range": [-0.4, top_of(rows[[*CONTROLS]].to_numpy().ravel())]},
        **_levels("", ""),
    }
    return Panel(tuple(data), layout, "R and its controls against depth.", pair_title(pair), height=230)


def shared_panel(
    rows: pd.DataFrame,
    curves: Mapping[tuple[str, str, str], SharedVariance],
    every: Sequence[tuple[str, str]],
    title: str,
) -> Panel | None:
    """Plot the strength-free shared variance of one layer against the number of directions; None without a curve.

    Args:
        rows: of `Comparison.table`, of one layer.
        curves: `Comparison.curves`.
        every: the pairs, in legend order.
        title: heading.
    """
    layers = {(row.a, row.b): row.layer_a for row in rows.itertuples()}
    data, drawn = [], []
    for index, pair in enumerate(every):
        curve = curves.get((*pair, layers.get(pair, "")))
        if curve is not None:
            hover = f"{html.escape(pair_title(pair))}<br>%{{x}} directions: <b>%{{y:.3f}}</b>"
            drawn += curve.shared.tolist()
            data.append(line(index, curve.ranks, curve.shared.tolist(), hover, mode="lines"))
    layout = {
        "xaxis": {"title": {"text": "leading directions"}, "type": "log", "dtick": "D2"},
        "yaxis": {"title": {"text": "shared variance"}, "range": [-0.3, top_of(drawn)]},
        **_levels("", ""),
    }
    return Panel(tuple(data), layout, f"Shared variance at {title}.", title, height=230) if data else None


def condition_panel(by_condition: pd.DataFrame) -> Panel:
    """Plot Q of every pair of conditions with its 95 % interval over seeds."""
    data = []
    groups = by_condition.groupby(["condition_a", "condition_b"], sort=False)
    for index, ((a, b), rows) in enumerate(groups):
        if index == LINES:
            break
        hover = (
            f"<b>{html.escape(pair_title((a, b)))}</b><br>layer %{{x}}: Q <b>%{{y:.3f}}</b>, "
            "95 % interval %{customdata[0]:.3f} to %{customdata[1]:.3f}"
        )
        custom = rows[["low", "high"]].values.tolist()
        bars = _interval(rows.rename(columns={"q": "value"}), index)
        data.append(line(index, rows["depth"], rows["q"], hover, customdata=custom, error_y=bars))
    layout = {
        "xaxis": depth_axis(by_condition["depth"]),
        "yaxis": {"title": {"text": "Q"}, "rangemode": "tozero"},
        **level(1.0, "two seeds of one condition"),
    }
    return Panel(tuple(data), layout, "Q of every pair of conditions against depth.", height=380)


def _with_intervals(
    table: pd.DataFrame, columns: dict[str, str], name: str, test: str, places: Places | None
) -> list[dict[str, Any]]:
    """Return a trace per pair: values with their 95 % intervals, side by side at each layer.

    Args:
        table: `Comparison.table`.
        columns: which of its columns are value, low, high and test.
        name: of the value, when hovering.
        test: what hovering says of the test.
        places: which series each pair is drawn as; in order by default.
    """
    traces, every = [], pairs(table)[:LINES]
    for index, pair in enumerate(every):
        rows = rows_of(table, pair)
        rows = rows[["depth", "layer_a", "layer_b"]].assign(**{p: rows[c] for p, c in columns.items()})
        shift = 0.3 * ((index + 0.5) / len(every) - 0.5)
        hover = (
            f"<b>{html.escape(pair_title(pair))}</b><br>layer %{{customdata[1]}}: %{{customdata[0]}}<br>"
            f"{name} <b>%{{y:.3f}}</b>, 95 % interval %{{customdata[2]:.3f}} to %{{customdata[3]:.3f}}<br>{test}"
        )
        numbers = rows[["depth", "low", "high", "test"]].values.tolist()
        custom = [[layer, *row] for layer, row in zip(_layers(rows), numbers, strict=True)]
        place = places[pair] if places else index
        bars = _interval(rows, place)
        traces.append(
            line(place, rows["depth"] + shift, rows["value"], hover, customdata=custom, error_y=bars)
        )
    return traces


def _control(
    index: int, pair: tuple[str, str], depth: pd.Series, values: pd.Series, said: str
) -> list[dict[str, Any]]:
    """Return a thin, faint line; none where the control was not measured."""
    if values.isna().all():
        return []
    hover = f"{html.escape(pair_title(pair))}<br>layer %{{x}}, {said}: %{{y:.3f}}"
    trace = line(index, depth, values, hover, mode="lines", opacity=0.35)
    return [trace | {"line": trace["line"] | {"width": 1}}]


def _levels(low: str, high: str) -> dict[str, Any]:
    """Return the lines at 0 and 1, with their names."""
    zero, one = level(0.0, low), level(1.0, high)
    return {name: zero[name] + one[name] for name in ("shapes", "annotations")}


def _interval(rows: pd.DataFrame, index: int) -> dict[str, Any]:
    """Return error bars from ``value`` to ``low`` and ``high``."""
    return {
        "type": "data",
        "symmetric": False,
        "array": (rows["high"] - rows["value"]).tolist(),
        "arrayminus": (rows["value"] - rows["low"]).tolist(),
        "thickness": 1.2,
        "width": 3,
        "color": series(index)["color"],
    }


def similarity_panel(table: pd.DataFrame, places: Places | None = None) -> Panel:
    """Plot the similarity of every pair, mean of both orders, and the control without alignment, faintly."""
    data = []
    for index, pair in enumerate(pairs(table)[:LINES]):
        rows, name = rows_of(table, pair), html.escape(pair_title(pair))
        numbers = rows[["similarity", "similarity_reversed", "cosine", "chance", "ceiling"]]
        hover = (
            f"<b>{name}</b><br>layer %{{x}}: %{{customdata[0]}}<br>similarity <b>%{{y:.3f}}</b> "
            "(%{customdata[1]:.3f}, reversed %{customdata[2]:.3f})<br>"
            "cosine %{customdata[3]:.3f}, chance %{customdata[4]:.3f}, ceiling %{customdata[5]:.3f}"
        )
        custom = [[layer, *row] for layer, row in zip(_layers(rows), numbers.values.tolist(), strict=True)]
        place = places[pair] if places else index
        data.append(line(place, rows["depth"], mean_of_orders(rows), hover, customdata=custom))
        _hollow(data[-1], rows)
        data += _control(place, pair, rows["depth"], unaligned(rows), "without alignment")
    layout = {
        "xaxis": depth_axis(table["depth"]),
        "yaxis": {"title": {"text": "normalized similarity"}},
        **_levels("chance", "ceiling"),
    }
    return Panel(
        tuple(data), layout, "Normalized similarity of every pair of networks against depth.", height=440
    )


def calibrated_panel(table: pd.DataFrame, places: Places | None = None) -> Panel:
    """Plot the calibrated similarity of every pair with its 95 % interval; withheld values are gaps."""
    shown = {"value": "calibrated", "low": "low", "high": "high", "test": "p_value"}
    data = _with_intervals(table, shown, "calibrated", "p = %{customdata[4]:.2g}", places)
    layout = {
        "xaxis": depth_axis(table["depth"]),
        "yaxis": {"title": {"text": "calibrated similarity"}},
        **level(0.0, "chance"),
    }
    return Panel(tuple(data), layout, "Calibrated similarity with intervals against depth.", height=440)


def cosine_panel(table: pd.DataFrame, index: int, pair: tuple[str, str]) -> Panel:
    """Plot one pair's cosine on grey bars from chance to ceiling."""
    rows = rows_of(table, pair)
    bars = {
        "type": "bar",
        "x": rows["depth"].tolist(),
        "base": rows["chance"].tolist(),
        "y": (rows["ceiling"] - rows["chance"]).tolist(),
        "width": 0.6,
        "marker": {"color": "rgba(127,127,127,.28)"},
        "hoverinfo": "skip",
    }
    hover = (
        "layer %{x}: %{customdata[0]}<br>cosine <b>%{y:.3f}</b><br>"
        "chance %{customdata[1]:.3f}, ceiling %{customdata[2]:.3f}"
    )
    chance = {
        "type": "scatter",
        "mode": "markers",
        "x": rows["depth"].tolist(),
        "y": rows["chance"].tolist(),
        "marker": {"symbol": "line-ew-open", "size": 11, "color": GREY, "line": {"width": 1.5}},
        "hoverinfo": "skip",
    }
    levels = zip(_layers(rows), rows["chance"].tolist(), rows["ceiling"].tolist(), strict=True)
    course = line(index, rows["depth"], rows["cosine"], hover, customdata=[list(row) for row in levels])
    _hollow(course, rows)
    layout = {"xaxis": depth_axis(table["depth"]), "yaxis": {"title": {"text": "cosine"}, "range": [0, 1.02]}}
    return Panel(
        (bars, chance, course), layout, "Cosine on bars from chance to ceiling.", pair_title(pair), height=230
    )

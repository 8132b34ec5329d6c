"""Which numbers of a comparison are printed, and under what names?"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from covalign.encoding.debiased.reasons import Reason as OfR
from covalign.encoding.reasons import Reason
from covalign.report.columns import Heading, headings
from covalign.report.page import Cell, Column, Spark, Table
from covalign.report.tables import frame_table, saying
from covalign.studies.comparison.columns import EQ6, LayerRow, PairRow
from covalign.studies.comparison.conditions import ConditionRow
from covalign.studies.comparison.orders import mean_of_orders, pairs, rows_of, unaligned

FOLDED_FROM = 24


LAYER_COLUMNS = (
    *headings(LayerRow, ("network", "layer", "depth")),
    Heading(
        "spectrum", None, "spectrum", "eigenvalues by rank, logarithmic; dashed: upper edge of the noise"
    ),
    *headings(LayerRow, ("form", "d", "neurons", "kept", "effective_rank", "bulk_ok", "bulk_reason")),
)

COMPARISON_COLUMNS = (
    *headings(PairRow, ("a", "b", "depth", "layer_a", "layer_b")),
    *headings(PairRow, ("debiased", "debiased_low", "debiased_high", "debiased_p", "debiased_unaligned")),
    *headings(PairRow, ("debiased_shuffled", "debiased_centred", "debiased_slots", "debiased_space")),
    *headings(PairRow, ("debiased_without_top", "debiased_without_5")),
    *headings(PairRow, ("reproducible_a", "reproducible_b", "coverage", "debiased_reason")),
    Heading("S, published", 2, "mean", f"mean of both orders ({EQ6})"),
    *headings(PairRow, ("calibrated", "low", "high", "p_value", "cosine", "chance", "ceiling", "unaligned")),
    *headings(PairRow, ("shuffled", "alignment_correlation", "bulk_ok")),
    Heading("remarks", None, "kinds", "kinds of reasons, explained in the table of reasons"),
)


def layer_table(layers: pd.DataFrame, spectra: Mapping[tuple[str, str], Tensor]) -> Table:
    """Return a row per network and layer, with its spectrum as a sparkline.

    Args:
        layers: `Comparison.layers`.
        spectra: `Comparison.spectra`.
    """
    sparks = [
        spectrum_spark(spectra[network, layer], edge)
        for network, layer, edge in zip(layers["network"], layers["layer"], layers["upper_edge"], strict=True)
    ]
    shown = layers.assign(spectrum=pd.Series(sparks, index=layers.index, dtype=object))
    return frame_table(shown, LAYER_COLUMNS, "What each layer learned by itself.")


def comparison_table(table: pd.DataFrame) -> Table:
    """Return a row per pair and layer.

    Args:
        table: `Comparison.table`.
    """
    kinds = [", ".join(code.replace("_", " ") for code in codes) for codes in table["reason_codes"]]
    of_r = table["debiased_reason"].fillna("").str.replace("_", " ")
    shown = table.assign(mean=mean_of_orders(table), kinds=kinds, debiased_reason=of_r)
    return frame_table(shown, COMPARISON_COLUMNS, "Every pair at every layer.", len(table) > FOLDED_FROM)


def condition_table_by_layer(by_condition: pd.DataFrame) -> Table:
    """Return a row per pair of conditions and a column per layer: Q, with its interval.

    Args:
        by_condition: `Comparison.by_condition`.
    """
    depths = sorted(set(by_condition["depth"]))
    rows = []
    for pair, found in by_condition.groupby(["condition_a", "condition_b"], sort=False):
        cells = {row.depth: _with_interval(row.q, row.low, row.high) for row in found.itertuples()}
        rows.append((*pair, *(cells.get(depth, "") for depth in depths)))
    columns = (*headings(ConditionRow, ("condition_a", "condition_b")),)
    return Table(
        (
            *(Column(each.title, None, each.meaning) for each in columns),
            *(Column(f"layer {depth}", None, "Q, 95 % interval over seeds") for depth in depths),
        ),
        tuple(rows),
        "Q with its 95 % interval over seeds, layer by layer; 1: as alike as two seeds of one condition.",
    )


def _with_interval(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if math.isfinite(low) else f"{value:.2f}"


def pair_table(table: pd.DataFrame) -> Table:
    """Return a row per pair: its course over depth, and its means beyond the first layer.

    Args:
        table: `Comparison.table`.
    """
    rows = []
    for pair in pairs(table):
        own = rows_of(table, pair)
        beyond = own[own["depth"] > 1] if (own["depth"] > 1).any() else own
        course = Spark(tuple(own["debiased"].tolist()), 0.0)
        controls = beyond[["debiased_unaligned", "debiased_shuffled"]].mean()
        published = (mean_of_orders(beyond).mean(), unaligned(beyond).mean(), beyond["calibrated"].mean())
        means = (beyond["debiased"].mean(), *controls, *published)
        row: tuple[Cell, ...] = (*pair, course, *map(float, means), int(own["bulk_ok"].sum()), len(own))
        rows.append(row)
    columns = (
        Column("network a"),
        Column("network b"),
        Column("over depth", meaning="R by layer; the dashed line is chance"),
        Column("R", 2, "mean over the layers beyond the first that have a value"),
        Column("R unaligned", 2, "the same without alignment"),
        Column("R shuffled", 2, "the same, aligned on images in shuffled order"),
        Column("S, published", 2, f"mean of both orders ({EQ6})"),
        Column("S unaligned", 2, "the same without alignment"),
        Column("calibrated", 2, "mean over the layers beyond the first that have a calibrated value"),
        Column("noise bulk", 0, "layers where both networks keep a bulk that looks like noise"),
        Column("layers", 0),
    )
    return saying(Table(columns, tuple(rows), "Every pair: means over the layers beyond the first."))


def reason_table(table: pd.DataFrame) -> Table | None:
    """Return the kinds of reasons for missing or restricted numbers, or None where there are none.

    Args:
        table: `Comparison.table`.
    """
    places: dict[tuple[str, str], list[int]] = {}
    found = zip(table["depth"], table["debiased_reason"], table["reason_codes"], strict=True)
    for depth, of_r, codes in found:
        kinds = [(of_r, OfR(of_r).sentence)] * bool(of_r)
        kinds += [(code, Reason[code.upper()].sentence) for code in codes]
        for kind in kinds:
            places.setdefault(kind, []).append(depth)
    rows = tuple(
        (code.replace("_", " "), sentence, len(depths), spans(depths))
        for (code, sentence), depths in places.items()
    )
    columns = (Column("remark"), Column("reason"), Column("comparisons", 0), Column("layers"))
    return Table(columns, rows, "Where a number is missing or restricted, and why.") if rows else None


def spans(depths: Sequence[int]) -> str:
    """Return layers as ranges: "1, 3-5"."""
    found: list[list[int]] = []
    for depth in sorted(set(depths)):
        if found and depth == found[-1][-1] + 1:
            found[-1].append(depth)
        else:
            found.append([depth])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in found)


def spectrum_spark(eigenvalues: Tensor, edge: float) -> Spark:
    """Return a spectrum by rank, in decades, thinned to at most 60 ranks, with the upper bulk edge.

    Args:
        eigenvalues: shape ``[r]``.
        edge: NaN draws none.
    """
    positive = np.sort(eigenvalues[eigenvalues > 0].cpu().numpy())[::-1]
    ranks = np.linspace(0, len(positive) - 1, min(60, len(positive))).astype(int)
    return Spark(tuple(np.log10(positive[ranks]).tolist()), math.log10(edge) if edge > 0 else math.nan)

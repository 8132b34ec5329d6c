"""Which numbers of a comparison are printed, and under what names?"""

import math
import re

import numpy as np
import pandas as pd
from torch import Tensor

from covalign.report.page import Cell, Column, Spark, Table
from covalign.report.tables import Heading, frame_table
from covalign.studies.comparison.orders import mean_of_orders, pairs, rows_of, unaligned

NUMBER = re.compile(r"\d[\d.,]*(?:e[+-]?\d+)?\b")


FOLDED_FROM = 24


LAYER_COLUMNS: tuple[Heading, ...] = (
    ("network", None, "network", ""),
    ("layer", None, "layer", ""),
    ("depth", 0, "depth", ""),
    ("spectrum", None, "spectrum", "eigenvalues by rank, logarithmic; dashed: upper edge of the noise"),
    ("form", None, "form", "joint: space and channels learned together; factorized: channels alone"),
    ("d", 0, "d", "length of a neuron"),
    ("neurons", 0, "neurons", ""),
    ("kept", 0, "kept", "eigenvalues above the noise bulk"),
    ("effective rank", 1, "effective_rank", "mean rank weighted by the shrunk eigenvalues"),
    ("noise bulk", None, "bulk_ok", "whether the unlearned part of the weights looks like noise"),
    ("remark", None, "bulk_reason", ""),
)


COMPARISON_COLUMNS: tuple[Heading, ...] = (
    ("network a", None, "a", ""),
    ("network b", None, "b", ""),
    ("depth", 0, "depth", ""),
    ("layer a", None, "layer_a", ""),
    ("layer b", None, "layer_b", ""),
    ("similarity", 2, "mean", "eq. 6, mean of both orders"),
    ("calibrated", 2, "calibrated", ""),
    ("low", 2, "low", "lower end of the 95 % interval"),
    ("high", 2, "high", "upper end of the 95 % interval"),
    ("p", 3, "p_value", "against chance"),
    ("cosine", 2, "cosine", "Bures–Wasserstein cosine"),
    ("chance", 2, "chance", "cosine with a randomly rotated self"),
    ("ceiling", 2, "ceiling", "cosine with a resampled self"),
    ("unaligned", 2, "unaligned", "the same without alignment"),
    ("shuffled", 2, "shuffled", "the same, aligned on images in shuffled order"),
    ("alignment", 2, "alignment_correlation", "correlation of aligned inputs on held-out images"),
    ("noise bulk", None, "bulk_ok", "whether both unlearned parts look like noise"),
    ("remark", None, "reason", ""),
)


def layer_table(layers: pd.DataFrame, spectra: dict[tuple[str, str], Tensor]) -> Table:
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
    shown = table.assign(mean=mean_of_orders(table))
    return frame_table(shown, COMPARISON_COLUMNS, "Every pair at every layer.", len(table) > FOLDED_FROM)


def pair_table(table: pd.DataFrame) -> Table:
    """Return a row per pair: its course over depth, and its means beyond the first layer.

    Args:
        table: `Comparison.table`.
    """
    rows = []
    for pair in pairs(table):
        own = rows_of(table, pair)
        beyond = own[own["depth"] > 1] if (own["depth"] > 1).any() else own
        course = Spark(tuple(mean_of_orders(own).tolist()), 0.0)
        means = (mean_of_orders(beyond).mean(), unaligned(beyond).mean(), beyond["calibrated"].mean())
        row: tuple[Cell, ...] = (*pair, course, *map(float, means), int(own["bulk_ok"].sum()), len(own))
        rows.append(row)
    columns = (
        Column("network a"),
        Column("network b"),
        Column("over depth", meaning="similarity by layer; the dashed line is chance"),
        Column("similarity", 2, "mean over layers beyond the first"),
        Column("unaligned", 2, "the same without alignment"),
        Column("calibrated", 2, "mean over the layers beyond the first that have a calibrated value"),
        Column("noise bulk", 0, "layers where both networks keep a bulk that looks like noise"),
        Column("layers", 0),
    )
    return Table(columns, tuple(rows), "Every pair: means over the layers beyond the first.")


def reason_table(table: pd.DataFrame) -> Table | None:
    """Return the stated reasons for missing or restricted numbers, or None where there are none.

    Reasons that differ by their numbers alone are one row, with an ellipsis for each number.

    Args:
        table: `Comparison.table`.
    """
    places: dict[str, list[int]] = {}
    for depth, reasons in zip(table["depth"], table["reason"].fillna(""), strict=True):
        for reason in dict.fromkeys(NUMBER.sub("…", reason) for reason in reasons.split("; ") if reason):
            places.setdefault(reason, []).append(depth)
    rows = tuple(
        (reason, len(depths), ", ".join(str(depth) for depth in sorted(set(depths))))
        for reason, depths in places.items()
    )
    columns = (Column("reason"), Column("comparisons", 0), Column("layers"))
    return Table(columns, rows, "Where a number is missing or restricted, and why.") if rows else None


def spectrum_spark(eigenvalues: Tensor, edge: float) -> Spark:
    """Return a spectrum by rank, in decades, thinned to at most 60 ranks, with the upper bulk edge.

    Args:
        eigenvalues: shape ``[r]``.
        edge: NaN draws none.
    """
    positive = np.sort(eigenvalues[eigenvalues > 0].cpu().numpy())[::-1]
    ranks = np.linspace(0, len(positive) - 1, min(60, len(positive))).astype(int)
    return Spark(tuple(np.log10(positive[ranks]).tolist()), math.log10(edge) if edge > 0 else math.nan)

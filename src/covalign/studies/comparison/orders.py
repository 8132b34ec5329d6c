"""How are a comparison's rows read: by pair, and as the mean of both orders?"""

from collections.abc import Mapping, Sequence

import pandas as pd

from covalign.encoding.reasons import Reason
from covalign.figures.style import DASHES, PALETTE, plain


def mean_of_orders(table: pd.DataFrame) -> pd.Series:
    """Return (S_ab + S_ba) / 2 per row; NaN where either order is undefined."""
    return (table["similarity"] + table["similarity_reversed"]) / 2


def unaligned(table: pd.DataFrame) -> pd.Series:
    """Return the similarity without alignment per row; NaN where no similarity is defined."""
    return table["unaligned"].where(mean_of_orders(table).notna())


def has_reason(table: pd.DataFrame, reason: Reason) -> pd.Series:
    """Say for each row whether a kind of reason is among its remarks."""
    return table["reason_codes"].map(lambda found: reason.code in found).astype(bool)


def beyond_first(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return the rows with a value beyond the first layer (all rows with one, if there is only one layer)."""
    deep = rows[rows["depth"] > 1]
    chosen = rows if deep.empty else deep
    return chosen[chosen[name].notna()]


def pairs(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return the compared pairs in order of appearance."""
    return list(dict.fromkeys(zip(table["a"], table["b"], strict=True)))


def group_places(
    every: Sequence[tuple[str, str]], conditions: Mapping[str, str]
) -> dict[tuple[str, str], int]:
    """Return which series each pair is drawn as: one colour for each two conditions, and dashes within.

    Args:
        every: the pairs that are drawn.
        conditions: by network; where there are none, every pair is a series of its own.
    """
    kinds: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for pair in every:
        kinds.setdefault(tuple(sorted(conditions.get(name, "") for name in pair)), []).append(pair)
    if not 1 < len(kinds) <= len(PALETTE):
        return {pair: index for index, pair in enumerate(every)}
    return {
        pair: color + len(PALETTE) * (turn % len(DASHES))
        for color, own in enumerate(kinds.values())
        for turn, pair in enumerate(own)
    }


def rows_of(table: pd.DataFrame, pair: tuple[str, str]) -> pd.DataFrame:
    """Return the rows of one pair, by depth."""
    return table[(table["a"] == pair[0]) & (table["b"] == pair[1])].sort_values("depth", kind="stable")


def pair_label(pair: tuple[str, str]) -> str:
    """Return the pair's name for a legend."""
    return f"{plain(pair[0])} – {plain(pair[1])}"

"""How does every network agree with every other, layer by layer, as matrices?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.studies.comparison.conditions import independent


@dataclass(frozen=True, eq=False)
class LayerAgreements:
    """One layer of all networks; NaN on the diagonal, and where two networks are no pair or have no value.

    Attributes:
        layer: its name in the first network that was compared.
        depth: from 1.
        agreement: R of every two networks, ``[m, m]``, symmetric.
        contained: share of the row's variance among the directions that the column learned reproducibly.
        directions: number of these, by network, mean over pairs.
    """

    layer: str
    depth: int
    agreement: Float64[Tensor, "m m"]
    contained: Float64[Tensor, "m m"]
    directions: Float64[Tensor, " m"]


def layer_agreements(
    table: pd.DataFrame, curves: Mapping[tuple[str, str, str], SharedVariance], names: Sequence[str]
) -> Iterator[LayerAgreements]:
    """Yield the layers of a comparison that have a value, in order of depth.

    Args:
        table: `Comparison.table`.
        curves: `Comparison.curves`.
        names: of the networks, in the order of the matrices.
    """
    place = {name: index for index, name in enumerate(names)}
    for depth, rows in table.groupby("depth", sort=True):
        free = independent(rows)
        if not free["debiased"].notna().any():
            continue
        agreement, contained, counts = _empty(len(names)), _empty(len(names)), _empty(len(names))
        for row in free.itertuples():
            a, b = place[row.a], place[row.b]
            agreement[a, b] = agreement[b, a] = row.debiased
            if (curve := curves.get((row.a, row.b, row.layer_a))) is not None:
                contained[a, b] = _at(curve.containment_1_in_2, curve.ranks, curve.reproducible_2)
                contained[b, a] = _at(curve.containment_2_in_1, curve.ranks, curve.reproducible_1)
                counts[a, b], counts[b, a] = curve.reproducible_1, curve.reproducible_2
        layer = str(rows["layer_a"].iloc[0])
        yield LayerAgreements(layer, int(depth), agreement, contained, counts.nanmean(1))


def _empty(count: int) -> Float64[Tensor, "m m"]:
    return torch.full((count, count), torch.nan, dtype=torch.float64)


def _at(curve: Float64[Tensor, " r"], ranks: Sequence[int], count: int) -> float:
    """Return a curve at the last rank that ``count`` directions reach; NaN where they reach none."""
    reached = [index for index, rank in enumerate(ranks) if rank <= count]
    return float(curve[reached[-1]]) if reached else float("nan")

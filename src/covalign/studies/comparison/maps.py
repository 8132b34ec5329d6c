"""Which directions of two layers correspond?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from covalign.figures.eigenvectors import darkness
from covalign.report.page import Gallery, Raster
from covalign.report.plots import PANELS, pair_title
from covalign.report.tables import left_out
from covalign.studies.comparison.orders import pairs, rows_of


def cosine_maps(table: pd.DataFrame, maps: Mapping[tuple[str, str, str], Tensor]) -> Gallery | None:
    """Return the eigenvector-cosine maps, a row a pair, at most 12 by 12; None where there are none.

    Args:
        table: `Comparison.table`.
        maps: `Comparison.cosine_maps`.
    """
    strips = ((pair, _pair_maps(table, maps, pair)) for pair in pairs(table))
    rows = [(pair_title(pair), tiles[:PANELS]) for pair, tiles in strips if tiles]
    caption = (
        "Absolute cosines between the aligned eigenvectors of two networks, rank 1 at the upper left, the first "
        "network downwards. A dark diagonal: the same directions in the same order. Arrows: effective ranks."
    )
    deepest = max((len(tiles) for _, tiles in rows), default=0)
    cut = left_out(len(rows), PANELS, "pairs") + left_out(deepest, PANELS, "layers")
    return Gallery(tuple(rows[:PANELS]), caption + cut, scale=("1/√d, chance", "5/√d")) if rows else None


def _pair_maps(
    table: pd.DataFrame, maps: Mapping[tuple[str, str, str], Tensor], pair: tuple[str, str]
) -> tuple[Raster, ...]:
    tiles = []
    for row in rows_of(table, pair).itertuples():
        if (cosines := maps.get((*pair, row.layer_a))) is None:
            continue
        pixels = (255 * (1 - darkness(cosines, row.d))).round().cpu().numpy().astype(np.uint8)
        alt = f"Eigenvector cosines of {pair_title(pair)} at layer {row.depth}."
        arrows = (float(row.effective_rank_a), float(row.effective_rank_b))
        tiles.append(Raster(pixels, alt, f"layer {row.depth}", arrows))
    return tuple(tiles)

"""How much did each layer learn, beside the layers it was matched with?"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from covalign.report.page import Plots, Section
from covalign.report.plots import PANELS, legend, spectrum_panel


def spectrum_section(
    table: pd.DataFrame, layers: pd.DataFrame, spectra: Mapping[tuple[str, str], Tensor], names: Sequence[str]
) -> Section | None:
    """Spectra of every layer over the noise bulk, those of layers that were matched together."""
    if not spectra:
        return None
    known = layers.drop_duplicates(["network", "layer"]).set_index(["network", "layer"])
    depths = sorted(set(table["depth"]))
    chosen = [depths[round(place)] for place in np.linspace(0, len(depths) - 1, min(PANELS, len(depths)))]
    panels = []
    for depth in chosen:
        matched = matched_layers(table[table["depth"] == depth])
        places = [(name, matched.get(name, "")) for name in names]
        shown = [spectra[place] if place in known.index else torch.empty(0) for place in places]
        own = known.loc[[place for place in places if place in known.index]]
        same_bulk = own["upper_edge"].round(6).nunique() == 1
        edges = tuple(own[["lower_edge", "upper_edge"]].iloc[0]) if same_bulk else (math.nan, math.nan)
        panels.append(spectrum_panel(shown, edges, f"layer {depth}", names))
    caption = (
        "Eigenvalues of the weight covariances by rank, in units of the variance of the initial weights. "
        "Grey: where pure noise would lie, drawn where all networks share it; what stands above it was learned."
    )
    if len(chosen) < len(depths):
        caption += f" {len(chosen)} of {len(depths)} layers, evenly spaced."
    plots = Plots(tuple(panels), caption, legend(names))
    return Section("spectra", "How much was learned?", (), (plots,))


def matched_layers(rows: pd.DataFrame) -> dict[str, str]:
    """Return, by network, its layer among those that are compared at one depth.

    Args:
        rows: of `Comparison.table`, of one depth.
    """
    found: dict[str, str] = {}
    for row in rows.itertuples():
        found.setdefault(row.a, row.layer_a)
        found.setdefault(row.b, row.layer_b)
    return found

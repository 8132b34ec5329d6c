"""What does a person read about which layers of two networks correspond?"""

from typing import Any

import numpy as np
import pandas as pd

from covalign.report.columns import Heading
from covalign.report.page import Download, Gallery, Notes, Page, Raster, Section
from covalign.report.provenance import origin_section
from covalign.report.tables import csv_bytes, frame_table
from covalign.studies.cross_layer.words import findings

COLUMNS: tuple[Heading, ...] = (
    Heading("layer of a", None, "layer_a", ""),
    Heading("most like, in b", None, "layer_b", ""),
    Heading("measure", None, "measure", ""),
    Heading("value", 3, "value", ""),
    Heading("mutual", None, "mutual", "whether the layer of a is also the most like that of b"),
)
GREY = 232
"""Level of a pair that has no value; chance is 255, white."""


def cross_layer_page(
    table: pd.DataFrame, square: pd.DataFrame, best: pd.DataFrame, provenance: dict[str, Any]
) -> Page:
    """Arrange a map from layers to layers as a page.

    Args:
        table: a row per pair of layers, as in `CrossLayerMap.table`.
        square: the measure, layers of a down and layers of b across.
        best: as in `CrossLayerMap.best`.
        provenance: JSON-serializable.
    """
    a, b = (str(table[name].iloc[0]) if name in table else name for name in ("a", "b"))
    rows, columns = tuple(square.index), tuple(square.columns)
    file = Download("pairs.csv", "text/csv", csv_bytes(table), "every pair of layers, all columns")
    return Page(
        kicker="cross-layer report",
        title="Does depth correspond to depth?",
        subtitle=f"{a} · {b}",
        summary=findings(best, rows, columns),
        facts=(("Layers of a", f"{len(rows):,}"), ("Layers of b", f"{len(columns):,}")),
        sections=(
            map_section(square, best, a, b),
            Section(
                "method", "How this was measured", (), (Notes(("similarity", "alignment", "references")),)
            ),
            origin_section((file,), provenance),
        ),
    )


def map_section(square: pd.DataFrame, best: pd.DataFrame, a: str, b: str) -> Section:
    """The map as a picture, and the best matches."""
    label = f"{len(square)} layers of {a} down, {len(square.columns)} of {b} across"
    tile = Raster(pixels(square), "Similarity of every layer with every other.", label)
    caption = "Every layer of one network against every layer of the other; light grey: not comparable."
    gallery = Gallery((("Map", (tile,)),), caption, scale=("chance", "the same"), size=320)
    matches = frame_table(best, COLUMNS, "The best match of every layer.")
    return Section("map", "Which layer is like which?", (), (gallery, matches))


def pixels(square: pd.DataFrame) -> np.ndarray:
    """Return a map as a picture, white at chance (0) or below and black at 1."""
    values = square.to_numpy(dtype=float)
    greys = 255 * (1 - np.nan_to_num(values).clip(0, 1))
    return np.where(np.isnan(values), GREY, greys).round().astype(np.uint8)

"""How does the map of all layers against all look on the page?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from covalign.figures.heat import DARK, PRINTED, colors, shades
from covalign.figures.style import shorten
from covalign.report.heat import Heat, Heats
from covalign.report.page import Download, Section
from covalign.report.tables import csv_bytes, left_out
from covalign.report.words import number
from covalign.studies.comparison.layer_map import LayerMap
from covalign.studies.comparison.layer_map_words import correspondence

NAME = 28
"""Letters of a layer's name."""
POINTED_AT = 2000
"""Cells up to which each says its value when it is pointed at."""
STEPS = 9
"""Colours of the scale."""

Maps = Mapping[tuple[str, str], LayerMap]


def layer_map_section(maps: Maps, every: int) -> Section | None:
    """Return the maps, the first pair of networks large; None where there are none.

    Args:
        maps: `Comparison.layer_maps`.
        every: how many pairs of networks were compared.
    """
    if not maps:
        return None
    (first, *others), between = maps.values(), sum(a != b for a, b in maps)
    images = first.images
    caption = (
        "Every layer of one network (down) against every layer of another or of itself (across), in forward order: "
        f"debiased CKA of what they receive for {images:,} images, averaged over positions; 0 where unrelated, 1 "
        f"where both tell images apart alike.{left_out(every, between, 'pairs')} All values are among the downloads."
    )
    pictures = (heat(first), *(heat(each, small=True) for each in others))
    scale = tuple(to_hex(colors()(step / (STEPS - 1))) for step in range(STEPS))
    ends = ("0 or less: unrelated", "1: alike")
    keys = ("layers whose weights are compared", "in each row, the layer that is most alike")
    figure = Heats(pictures, caption, scale, ends, keys)
    prose = correspondence(list(maps.values()), every)
    return Section("correspondence", "Which layers correspond?", prose, (figure,))


def heat(found: LayerMap, small: bool = False) -> Heat:
    """Return a map as a picture of the page.

    Args:
        found: of two networks, or of one with itself.
        small: without names and numbers in the cells.
    """
    values = found.values.numpy()
    alone = found.a == found.b
    with_text = not small and max(values.shape) <= PRINTED
    with_notes = not small and values.size <= POINTED_AT
    return Heat(
        shades(values),
        tuple(shorten(name, NAME) for name in found.layers_a),
        tuple(shorten(name, NAME) for name in found.layers_b),
        (found.depths_a, found.depths_b),
        found.places,
        () if alone else found.nearest,
        shorten(found.a),
        "itself" if alone else shorten(found.b),
        f"Debiased CKA of every layer of {found.a} with every layer of {'itself' if alone else found.b}.",
        _texts(values) if with_text else (),
        _notes(found) if with_notes else (),
        small,
    )


def _texts(values: np.ndarray) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Return what is printed in each cell, without the leading 0, and its colour."""
    return tuple(tuple((_short(value), _ink(value)) for value in row) for row in values.tolist())


def _short(value: float) -> str:
    return number(value).replace("0.", ".") if value == value else ""


def _ink(value: float) -> str:
    return "#ffffff" if value > DARK else "#10202c"


def _notes(found: LayerMap) -> tuple[tuple[str, ...], ...]:
    return tuple(
        tuple(
            f"{one} – {other}: {number(value) if value == value else 'no value'}"
            for other, value in zip(found.layers_b, row, strict=True)
        )
        for one, row in zip(found.layers_a, found.values.tolist(), strict=True)
    )


def layer_map_files(maps: Maps) -> tuple[Download, ...]:
    """Return all maps as one table, a row per two layers (`LayerMap.table`); nothing where there are none."""
    if not maps:
        return ()
    table = pd.concat([each.table for each in maps.values()], ignore_index=True)
    meaning = "every layer against every layer: debiased CKA of what they receive"
    return (Download("layer-maps.csv", "text/csv", csv_bytes(table), meaning),)

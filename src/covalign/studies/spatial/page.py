"""What does a person read about the spatial patterns of a set of networks?

`spatial_page` arranges tables and spatial covariances as a `Page`: whether layers share their patterns, the patterns
themselves, and the overlap of every layer with every other.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from covalign.encoding.spatial import SpatialCovariance
from covalign.report.columns import Heading
from covalign.report.galleries import spatial_eigenvectors
from covalign.report.page import Download, Gallery, Notes, Page, Part, Raster, Section
from covalign.report.provenance import origin_section
from covalign.report.sections import skipped_section
from covalign.report.tables import csv_bytes, frame_table
from covalign.report.words import number
from covalign.storage.plain import json_bytes
from covalign.studies.spatial.words import answers, findings

LAYER_COLUMNS: tuple[Heading, ...] = (
    Heading("network", None, "network", ""),
    Heading("layer", None, "layer", ""),
    Heading("depth", 0, "depth", ""),
    Heading("of", None, "of", "weights, or the update: what training added to the initial weights"),
    Heading("kernel", None, "kernel", ""),
    Heading("kernels", 0, "kernels", "how many the covariance averages over"),
    *(
        Heading(f"share {rank}", 3, f"share_{rank}", "of the variance along this eigenvector")
        for rank in range(1, 10)
    ),
)

PAIR_COLUMNS: tuple[Heading, ...] = (
    Heading("network a", None, "a", ""),
    Heading("network b", None, "b", ""),
    Heading("kernel", None, "kernel", ""),
    Heading("rank", 0, "rank", "dimension of the compared subspaces"),
    Heading("overlap", 3, "overlap", "mean over pairs of layers beyond the first"),
    Heading("lowest", 3, "lowest", "over pairs of layers beyond the first"),
    Heading("chance", 3, "chance", "for unrelated subspaces"),
    Heading("cosine", 3, "cosine", "of matched eigenvectors, mean"),
    Heading("pairs", 0, "pairs", "pairs of layers"),
)


def spatial_page(
    layers: pd.DataFrame,
    table: pd.DataFrame,
    spatial: Mapping[tuple[str, str], SpatialCovariance],
    skipped: dict[str, list[tuple[str, str]]],
    provenance: dict[str, Any],
) -> Page:
    """Arrange spatial patterns as a page.

    Args:
        layers, table, spatial, skipped, provenance: as in `SpatialSummary`.
    """
    names = list(dict.fromkeys(layers["network"]))
    overlap = overlap_gallery(layers, table)
    pairs = frame_table(by_networks(table), PAIR_COLUMNS, "Every pair of networks, and each with itself.")
    patterns: list[Part] = [part for part in (spatial_eigenvectors(spatial),) if part is not None]
    patterns.append(frame_table(layers, LAYER_COLUMNS, "How the variance of the kernels is shared out."))
    sections = (
        Section("patterns", "The patterns", (), tuple(patterns)),
        Section("overlap", "How alike are they?", (), (overlap, pairs)) if overlap is not None else None,
        skipped_section(skipped),
        Section("method", "How this was measured", (), (Notes(("spatial", "overlap", "references")),)),
        origin_section(files(layers, table, spatial, provenance), provenance),
    )
    return Page(
        kicker="spatial report",
        title="Do all layers use the same spatial patterns?",
        subtitle=" · ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else ""),
        summary=findings(table),
        facts=(
            ("Networks", f"{len(names):,}"),
            ("Layers", f"{len(layers):,}"),
            ("Kernels", ", ".join(dict.fromkeys(layers["kernel"]))),
            ("Patterns of", ", ".join(f"the {what}" for what in dict.fromkeys(layers["of"]))),
        ),
        sections=tuple(section for section in sections if section is not None),
        answers=answers(table, layers),
    )


def by_networks(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and lowest overlap by pair of networks, kernel and rank, over layers beyond the first.

    Args:
        table: `SpatialSummary.table`.
    """
    beyond = table[table["beyond_first"].astype(bool)]
    return beyond.groupby(["a", "b", "kernel", "rank"], sort=False, as_index=False).agg(
        overlap=("overlap", "mean"),
        lowest=("overlap", "min"),
        chance=("chance", "first"),
        cosine=("cosine", "mean"),
        pairs=("overlap", "size"),
    )


def overlap_gallery(layers: pd.DataFrame, table: pd.DataFrame) -> Gallery | None:
    """Return the overlap of every layer with every other, a picture for each kernel size and rank."""
    rows = []
    for kernel, pairs in table.groupby("kernel", sort=False):
        own = layers[layers["kernel"] == kernel]
        places = {key: index for index, key in enumerate(zip(own["network"], own["layer"], strict=True))}
        tiles = tuple(
            Raster(
                overlap_pixels(part, places),
                f"Overlap of {kernel} layers at rank {rank}.",
                f"rank {rank}, chance {number(part['chance'].iloc[0])}",
            )
            for rank, part in pairs.groupby("rank", sort=False)
        )
        rows.append((f"{kernel} kernels, {len(own)} layers", tiles))
    caption = (
        "Share in common of the leading subspaces of every two layers, network after network and from the first "
        "layer to the last, downwards and to the right."
    )
    return Gallery(tuple(rows), caption, scale=("chance", "the same"), size=230) if rows else None


def overlap_pixels(table: pd.DataFrame, places: dict[tuple[str, str], int]) -> np.ndarray:
    """Return overlaps as a symmetric picture, white at chance or below and black at 1.

    Args:
        table: rows of `SpatialSummary.table` of one kernel size and rank.
        places: row of each network and layer in the picture.
    """
    pixels = np.zeros((len(places), len(places)), dtype=np.uint8)
    above = ((table["overlap"] - table["chance"]) / (1 - table["chance"])).clip(0, 1)
    grey = (255 * (1 - above)).round().astype(np.uint8)
    rows = [places[key] for key in zip(table["a"], table["layer_a"], strict=True)]
    columns = [places[key] for key in zip(table["b"], table["layer_b"], strict=True)]
    pixels[rows, columns] = pixels[columns, rows] = grey
    return pixels


def files(
    layers: pd.DataFrame,
    table: pd.DataFrame,
    spatial: Mapping[tuple[str, str], SpatialCovariance],
    provenance: dict[str, Any],
) -> tuple[Download, ...]:
    """Return the numbers as files."""
    numbers = {
        "provenance": provenance,
        "spatial": [
            {"network": name, "layer": layer, "eigenvalues": space.eigenvalues.tolist()}
            for (name, layer), space in spatial.items()
        ],
    }
    return (
        Download("layers.csv", "text/csv", csv_bytes(layers), "every network and layer"),
        Download("results.json", "application/json", json_bytes(numbers), "eigenvalues, provenance"),
        Download("pairs.csv", "text/csv", csv_bytes(table), "every pair of layers and rank"),
    )

"""What was measured on a set of networks?"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jaxtyping import Float, Float64
from torch import Tensor

from covalign.encoding.spatial import SpatialCovariance


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything measured on a set of networks.

    Attributes:
        table: a row per pair and layer: ``a, b, layer_a, layer_b, depth, form, d, neurons_a, neurons_b,
            kept_a, kept_b, effective_rank_a, effective_rank_b, bulk_ok, alignment_correlation, cosine, chance,
            ceiling, similarity, similarity_reversed, calibrated, low, high, p_value, unaligned, shuffled,
            reason``. ``similarity`` is eq. 6 of Guth & Menard (2024) with a as the reference, and
            ``similarity_reversed`` with b; ``unaligned`` and ``shuffled`` are the mean of both orders without
            alignment, and with an alignment fitted to images in shuffled order. Where the weights show no
            noise bulk, ``cosine``, ``chance`` and the two controls describe unshrunk covariances (``reason``
            says so) and the similarities are NaN.
        layers: a row per network and layer: what it learned by itself.
        spectra: unshrunk eigenvalues by (network, layer), in units of the initialization variance.
        spatial: spatial covariances by (network, layer), for kernels larger than 1x1.
        cosine_maps: aligned |eigenvector cosines| by (a, b, layer of a).
        training: history by network, a dictionary per epoch; empty where unknown.
        skipped: by network, what was not read as a layer, and why.
        filters: the frozen spatial filters of the first factorized network; None where there is none.
        provenance: where all this comes from, JSON-serializable.
    """

    table: pd.DataFrame
    layers: pd.DataFrame
    spectra: dict[tuple[str, str], Float64[Tensor, " r"]]
    spatial: dict[tuple[str, str], SpatialCovariance] = field(default_factory=dict)
    cosine_maps: dict[tuple[str, str, str], Float64[Tensor, "r1 r2"]] = field(default_factory=dict)
    training: dict[str, list[dict[str, float | int]]] = field(default_factory=dict)
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    filters: Float[Tensor, "count k k"] | None = None

    def save(self, folder: str | Path) -> Path:
        """Write tables (parquet and CSV), tensors (safetensors) and ``results.json`` into a folder."""
        from covalign.storage.results import save_comparison

        return save_comparison(self, Path(folder))

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page."""
        from covalign.studies.comparison.page import write_report

        return write_report(self, Path(path))

"""What are the spatial patterns of a set of networks?"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch

from covalign.encoding.spatial import SpatialCovariance
from covalign.storage.atomic import write_durably
from covalign.storage.results import SCHEMA_VERSION, records


@dataclass(frozen=True, eq=False)
class SpatialSummary:
    """The spatial patterns of a set of networks.

    Attributes:
        layers: a row per network and layer: ``network, layer, depth, first, of`` ("weights" or "update"),
            ``kernel, kernels`` (how many), ``share_1 ... share_9`` of the variance along each of the leading
            eigenvectors.
        table: a row per pair of layers of equal kernel size and rank: ``a, layer_a, depth_a, b, layer_b, depth_b,
            kernel, rank, overlap, chance`` (r / k^2), ``cosine`` (mean matched), ``lowest_cosine``, and
            ``beyond_first``: neither is its network's first layer, whose patterns differ.
        spatial: eigenvalues and eigenvectors by network and layer.
        skipped: by network, what has no spatial pattern or was not read, and why.
        provenance: where all this comes from, JSON-serializable.
    """

    layers: pd.DataFrame
    table: pd.DataFrame
    spatial: dict[tuple[str, str], SpatialCovariance]
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: str | Path) -> Path:
        """Write tables (parquet and CSV), eigenvectors (safetensors) and ``results.json``; return the folder."""
        folder = Path(folder)
        tensors = {}
        for index, space in enumerate(self.spatial.values()):
            tensors[f"{index}/eigenvalues"] = space.eigenvalues.contiguous()
            tensors[f"{index}/eigenvectors"] = space.eigenvectors.contiguous()
        document = {
            "schema_version": SCHEMA_VERSION,
            "kind": "spatial",
            "provenance": self.provenance,
            "layers": records(self.layers),
            "table": records(self.table),
            "eigenvalues": [space.eigenvalues.tolist() for space in self.spatial.values()],
            "skipped": self.skipped,
        }
        for name, frame in (("layers", self.layers), ("table", self.table)):
            write_durably(folder / f"{name}.parquet", frame.to_parquet(index=False))
            write_durably(folder / f"{name}.csv", frame.to_csv(index=False).encode())
        write_durably(folder / "tensors.safetensors", safetensors.torch.save(tensors))
        write_durably(folder / "results.json", json.dumps(document, indent=1, allow_nan=False).encode())
        return folder

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page."""
        from covalign.studies.spatial.page import write_spatial_report

        return write_spatial_report(self, Path(path))

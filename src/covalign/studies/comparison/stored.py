"""How is a comparison kept on disk, so that it can be read by anything and redrawn without its weights?

One folder: ``table`` and ``layers`` as parquet (and the table as CSV), all tensors in one safetensors file,
and ``results.json`` with everything else, a schema version, and which tensor belongs where. Every file is
written whole or not at all.
"""

import json
from pathlib import Path

import pandas as pd
import safetensors.torch
from safetensors import SafetensorError

from covalign.encoding.spatial import SpatialCovariance
from covalign.errors import InputError
from covalign.storage.atomic import write_durably
from covalign.storage.results import records
from covalign.studies.comparison.record import Comparison

SCHEMA_VERSION = 1


def save_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write a comparison into ``folder``, replacing an earlier one, and return the folder."""
    tensors, keys = {}, {}
    for group in ("spectra", "cosine_maps"):
        keys[group] = [list(key) for key in getattr(comparison, group)]
        for index, value in enumerate(getattr(comparison, group).values()):
            tensors[f"{group}/{index}"] = value.contiguous()
    keys["spatial"] = [[*key, list(c.kernel_size), c.kernels] for key, c in comparison.spatial.items()]
    for index, c in enumerate(comparison.spatial.values()):
        tensors[f"spatial/{index}/eigenvalues"] = c.eigenvalues.contiguous()
        tensors[f"spatial/{index}/eigenvectors"] = c.eigenvectors.contiguous()
    if comparison.filters is not None:
        tensors["filters"] = comparison.filters.contiguous()
    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "provenance": comparison.provenance,
        "table": records(comparison.table),
        "layers": records(comparison.layers),
        "training": comparison.training,
        "skipped": comparison.skipped,
        "keys": keys,
    }
    for name, frame in (("table", comparison.table), ("layers", comparison.layers)):
        write_durably(folder / f"{name}.parquet", frame.to_parquet(index=False))
    write_durably(folder / "table.csv", comparison.table.to_csv(index=False).encode())
    write_durably(folder / "tensors.safetensors", safetensors.torch.save(tensors))
    write_durably(folder / "results.json", json.dumps(document, indent=1, allow_nan=False).encode())
    return folder


def load_comparison(folder: str | Path) -> Comparison:
    """Read what `Comparison.save` wrote.

    Raises:
        InputError: the folder holds no comparison, or a damaged one.
    """
    folder = Path(folder)
    try:
        document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        if document.get("kind") != "comparison" or document["schema_version"] > SCHEMA_VERSION:
            raise InputError(
                f"{folder}: got kind {document.get('kind')!r}, schema {document.get('schema_version')}, expected "
                f"a comparison of schema {SCHEMA_VERSION} or older"
            )
        tensors = safetensors.torch.load_file(folder / "tensors.safetensors")
        keys = document["keys"]
        return Comparison(
            pd.read_parquet(folder / "table.parquet"),
            pd.read_parquet(folder / "layers.parquet"),
            {tuple(key): tensors[f"spectra/{i}"] for i, key in enumerate(keys["spectra"])},
            {
                (network, layer): SpatialCovariance(
                    tensors[f"spatial/{i}/eigenvalues"],
                    tensors[f"spatial/{i}/eigenvectors"],
                    tuple(size),
                    kernels,
                )
                for i, (network, layer, size, kernels) in enumerate(keys["spatial"])
            },
            {tuple(key): tensors[f"cosine_maps/{i}"] for i, key in enumerate(keys["cosine_maps"])},
            document["training"],
            {name: [tuple(entry) for entry in entries] for name, entries in document["skipped"].items()},
            document["provenance"],
            tensors.get("filters"),
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{folder}: no readable comparison ({error}); expected what Comparison.save wrote"
        ) from error

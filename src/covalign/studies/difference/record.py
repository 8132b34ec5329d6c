"""What changed between two networks?"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from covalign.storage.atomic import write_durably


@dataclass(frozen=True, eq=False)
class Difference:
    """What changed between two networks.

    Attributes:
        table: a row per layer of the base: ``layer, kind, neurons, d, relative_change``, then every measure of
            `covalign.encoding.update` with its ``_reference`` (mean over draws), ``_low`` and ``_high``
            (extremes over draws), ``learned_rank`` (r) and ``rank_rule``, ``correlation``,
            ``correlation_shuffled, shares_basis``, and ``reason`` where something limits the reading. With a
            replicate also ``_spread`` of the relative change and every measure, and ``update_cosine``.
        base, other: names of the networks.
        provenance: draws, seed and where the networks come from, JSON-serializable.
    """

    table: pd.DataFrame
    base: str
    other: str
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def largest_change(self) -> float:
        """The largest relative change of a layer."""
        return float(self.table["relative_change"].max())

    def save(self, folder: str | Path) -> Path:
        """Write the table (parquet and CSV) and ``results.json`` into ``folder``; return the folder."""
        from covalign.storage.results import SCHEMA_VERSION, records

        folder = Path(folder)
        document = {
            "schema_version": SCHEMA_VERSION,
            "kind": "difference",
            "base": self.base,
            "other": self.other,
            "provenance": self.provenance,
            "table": records(self.table),
        }
        write_durably(folder / "table.parquet", self.table.to_parquet(index=False))
        write_durably(folder / "table.csv", self.table.to_csv(index=False).encode())
        write_durably(folder / "results.json", json.dumps(document, indent=1, allow_nan=False).encode())
        return folder

"""How is a figure kept, so that one knows years later where it came from?

As PNG and as PDF, each carrying its provenance (specs, seeds, package versions ...) as JSON in its metadata.
No time of writing is stored: the same figure gives the same bytes.
"""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def save_figure(figure: Figure, stem: Path, provenance: dict[str, Any]) -> tuple[Path, Path]:
    """Write ``stem.png`` and ``stem.pdf`` and return their paths.

    Args:
        figure: what to save.
        stem: path without a suffix; missing folders are made.
        provenance: JSON-serializable; stored as PNG text ``covalign`` and PDF keywords.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    record = json.dumps(provenance, sort_keys=True)
    png, pdf = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "pdf"))
    figure.savefig(png, metadata={"Software": "covalign", "covalign": record})
    figure.savefig(pdf, metadata={"Creator": "covalign", "Keywords": record, "CreationDate": None})
    return png, pdf

"""How is a figure kept, so that one knows years later where it came from?

As PNG and as PDF, each carrying its provenance (specs, seeds, package versions ...) as JSON in its metadata.
No time of writing is stored: the same figure gives the same bytes.
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


def save_figure(figure: Figure, stem: Path, provenance: dict[str, Any]) -> tuple[Path, ...]:
    """Write ``stem.png`` and ``stem.pdf`` and return their paths.

    Args:
        figure: what to save.
        stem: path without a suffix; missing folders are made.
        provenance: JSON-serializable; stored as PNG text ``covalign`` and PDF keywords.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    files = {
        stem.with_name(f"{stem.name}.{kind}"): content for kind, content in drawn(figure, provenance).items()
    }
    for path, content in files.items():
        path.write_bytes(content)
    return tuple(files)


def drawn(figure: Figure, provenance: dict[str, Any]) -> dict[str, bytes]:
    """Return a figure as the bytes of a PNG and of a PDF, by kind."""
    record, png, pdf = json.dumps(provenance, sort_keys=True), BytesIO(), BytesIO()
    figure.savefig(png, format="png", metadata={"Software": "covalign", "covalign": record})
    metadata = {"Creator": "covalign", "Keywords": record, "CreationDate": None}
    figure.savefig(pdf, format="pdf", metadata=metadata)
    return {"png": png.getvalue(), "pdf": pdf.getvalue()}

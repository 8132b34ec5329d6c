"""What did all reproduced exhibits together say? One page of Markdown beside their folders."""

import json
import math
from pathlib import Path
from typing import Any

from covalign.papers.catalogue import NAMES
from covalign.storage.atomic import write_durably

PAGE = "README.md"
SIGNS = {"holds": "holds", "does not hold": "**does not hold**", "not testable": "not testable"}


def write_summary(out: Path) -> Path:
    """Write the page of everything that is in ``out``: figures, claims with their numbers, differences, cost.

    Args:
        out: folder of results, a folder an exhibit.
    """
    documents = []
    for name in NAMES:
        path = out / name / "results.json"
        if path.exists():
            documents.append(json.loads(path.read_text(encoding="utf-8")))
    text = "\n".join([_opening(documents), *map(_section, documents)])
    write_durably(out / PAGE, text.encode())
    return out / PAGE


def _opening(documents: list[dict[str, Any]]) -> str:
    claims = [claim for document in documents for claim in document["claims"]]
    counts = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in SIGNS}
    missing = [name for name in NAMES if name not in {document["exhibit"] for document in documents}]
    scales = ", ".join(dict.fromkeys(document["scale"] for document in documents))
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    lines = [
        "# Both papers, reproduced",
        "",
        f"Scale: {scales}. Of {len(claims)} claims: {said}. Numbers in brackets are 95 % intervals over networks.",
    ]
    if missing:
        lines.append(f"Not reproduced here: {', '.join(missing)}.")
    return "\n".join([*lines, ""])


def _section(document: dict[str, Any]) -> str:
    name, provenance = document["exhibit"], document["provenance"]
    networks = provenance["networks"]
    lines = [
        f"## {name}: {document['title']}",
        "",
        f"{document['source']}.",
        "",
        *(f"![{figure}]({name}/{figure}.png)\n" for figure in document.get("figures", [name])),
    ]
    lines += ["| claim | expected | measured | verdict | how it was judged |", "|-|-|-|-|-|"]
    lines += [_row(claim) for claim in document["claims"]]
    if networks:
        train = [run["train_accuracy"] for run in networks.values()]
        lines += [
            "",
            f"{len(networks)} networks, training accuracy {min(train):.2f} to {max(train):.2f}; "
            f"{provenance['training_seconds'] / 60:.0f} minutes of training in all, "
            f"{provenance['measuring_seconds'] / 60:.1f} of measuring.",
        ]
    lines += ["", "Differences from the paper:", ""]
    lines += [f"- {line}" for line in provenance["differences"]]
    return "\n".join([*lines, ""])


def _row(claim: dict[str, Any]) -> str:
    interval = claim["interval"]
    measured = _number(claim["measured"])
    if interval and None not in interval:
        measured += f" [{_number(interval[0])}, {_number(interval[1])}]"
    cells = (claim["sentence"], claim["expected"], measured, SIGNS[claim["verdict"]], claim["why"])
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _number(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.2f}"

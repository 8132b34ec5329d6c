"""How does a command speak? Known without what others compute with: what computes nothing answers at once."""

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from covalign.progress import Told, shown
from covalign.storage.plain import plain_numbers


@Parameter(name="*")
@dataclass(frozen=True)
class Manner:
    """How a command speaks."""

    json: Annotated[
        bool,
        Parameter(negative=(), help="print one JSON document on standard output, and nothing else there."),
    ] = False
    quiet: Annotated[
        bool, Parameter(negative=(), help="no progress and no findings: print the path alone.")
    ] = False

    def progress(self) -> AbstractContextManager[Told]:
        """Give what is told how far it is."""
        return shown(not self.quiet)

    def hint(self, text: str) -> None:
        """Say on standard error what may help."""
        if not self.quiet:
            print(f"covalign: {text}", file=sys.stderr)

    def say(self, path: Path, findings: Sequence[str] = (), **numbers: Any) -> None:
        """Say what was written or looked at, and what was found.

        Args:
            path: of what was written.
            findings: a sentence each.
            numbers: for programs; JSON-serializable.
        """
        if self.json:
            print_json({"path": str(path), "findings": list(findings), **numbers})
        else:
            print(path)
            for sentence in () if self.quiet else findings:
                print(sentence)


PLAIN = Manner()


def print_json(document: Any) -> None:
    """Print one document on standard output; numbers that are not finite are null."""
    print(json.dumps(plain_numbers(document), indent=1, allow_nan=False, default=str))


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, the first of them headings; a thousand rows at once, which a drawn table is slow for."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

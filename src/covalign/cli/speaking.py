"""How does a command say what it found, and where?

On standard output: the path of what was written and a line or two of findings; or with ``--json`` one document and
nothing else; or with ``--quiet`` the path alone. Progress, hints and complaints go to standard error.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Annotated, Any

from cyclopts import Parameter

from covalign.cli.saying import PLAIN, Manner
from covalign.errors import InputError, unwritable
from covalign.progress import Told
from covalign.report.page import Page
from covalign.storage.folder import EARLIER, NEXT, Folder
from covalign.storage.results import DOCUMENT
from covalign.studies.result import REPORT, Result

MANNERS = {"--json", "--quiet", "--overwrite", "--static"}
"""Options that change nothing of what is computed."""


@Parameter(name="*")
@dataclass(frozen=True)
class Writing:
    """How a result is written."""

    overwrite: Annotated[
        bool, Parameter(negative=(), help="replace what another command wrote into the folder.")
    ] = False
    static: Annotated[
        bool,
        Parameter(negative=(), help="pictures instead of interactive plots: a report without any script."),
    ] = False


NEW = Writing()


def typed() -> str:
    """Return what was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


@contextmanager
def place(out: Path, writing: Writing = NEW, manner: Manner = PLAIN) -> Iterator[Path]:
    """Make the folder of a result and see that it can be written, before the work starts.

    A result of the same command is replaced, which is said; that of another one only where that is wished. A folder
    that was made for nothing goes again.

    Raises:
        InputError: it cannot be written, or holds what would be lost.
    """
    folder = Folder(out)
    folder.refuse(EARLIER)
    _keep_others(out, writing, manner)
    made = [path for path in (out, *out.parents) if not path.exists()]
    check_writable(out)
    try:
        yield out
    finally:
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def check_writable(folder: Path) -> None:
    """Make a folder, and see that a file can be written there.

    Raises:
        InputError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(f"--out: {folder}", error) from error


def _keep_others(out: Path, writing: Writing, manner: Manner) -> None:
    """Refuse to replace another command's result; say so where the same one's is replaced."""
    if not (out / DOCUMENT).is_file() or (out / NEXT).exists():
        return
    try:
        document = json.loads((out / DOCUMENT).read_text(encoding="utf-8"))
        kind, before = document.get("kind", "result"), document.get("provenance", {}).get("command", "")
    except (OSError, ValueError, AttributeError):
        kind, before = "result that cannot be read", ""
    if _decisive(before) == _decisive(typed()):
        manner.hint(f"{out}: replaces what the same command wrote there before")
    elif not writing.overwrite:
        by = f" of `{before}`" if before else ""
        raise InputError(
            f"--out: {out} holds a {kind}{by}; give another folder, or --overwrite to replace it"
        )


def _decisive(command: str) -> list[str]:
    """Return the words of a command that decide its result."""
    return [word for word in command.split()[1:] if word not in MANNERS]


def save(result: Result, out: Path, writing: Writing, told: Told) -> Page:
    """Save tables and report, and return its page."""
    told("writing the report", 0.0)
    page = result.page()
    result.save(out, report=page, static=writing.static)
    told("writing the report", 1.0)
    return page


def write(result: Result, out: Path, manner: Manner, writing: Writing, told: Told, **numbers: Any) -> None:
    """Save tables and report, and say where they are and what they show.

    Args:
        result: to be kept.
        out: its folder.
        manner: how the command speaks.
        writing: how it writes.
        told: how far it is.
        numbers: for programs; JSON-serializable.
    """
    page = save(result, out, writing, told)
    numbers |= {"kind": result.KIND, "results": str(out / DOCUMENT), "summary": list(page.summary)}
    manner.say(out / REPORT, [answer for _, answer in page.answers] or page.summary[:2], **numbers)

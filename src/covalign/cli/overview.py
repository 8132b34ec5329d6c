"""What can be printed without parsing what was typed?

The first page of help, and what shells complete with, as the library behind all other pages would print them, without
importing that library, which takes most of the time until something is there: the tests hold both against each other,
the page at many widths. Wherever something unusual is asked of the page (a narrow window, other letters, other
colours), that library prints it.
"""

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence

from covalign.cli.contents import ABOUT, COMMANDS, COMPLETION, GIVEN, GROUPS, SHELLS, completion_of, said

ASKED: tuple[list[str], ...] = ([], ["--help"], ["-h"])
"""What is typed for this page."""
SETTINGS = {"COLUMNS", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "CYCLOPTS_HELP"}
"""Variables by which a person asks for another look."""
NARROWEST, USUAL = 60, 80
"""Columns from which on this page is laid out here, and those of what is no terminal."""
NAMED, PLAIN, STRONG = "\x1b[36m", "\x1b[0m", "\x1b[1m"
"""How a terminal shows names and headings."""


def ready(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """Return what these arguments ask for, where it can be said at once; empty where it cannot."""
    if asked_for(arguments, environment):
        return overview(columns(), sys.stdout.isatty())
    command, *shells = arguments or [""]
    if command == "completion" and len(shells) == 1 and shells[0] in SHELLS:
        return completion_of(shells[0])
    return ""


def asked_for(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether the first page is what is wanted, in a form that it has."""
    ordinary = not SETTINGS & environment.keys() and environment.get("TERM") not in ("dumb", "unknown")
    letters = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" and sys.platform != "win32"
    return list(arguments) in ASKED and ordinary and letters and columns() >= NARROWEST


def columns() -> int:
    """Return the width of the terminal; the usual one where there is none."""
    for stream in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                return os.get_terminal_size(stream.fileno()).columns or USUAL
        except (ValueError, OSError):
            continue
    return USUAL


def overview(width: int, coloured: bool) -> str:
    """Return the page.

    Args:
        width: columns.
        coloured: whether names are shown as a terminal shows them.
    """
    name, plain, strong = (NAMED, PLAIN, STRONG) if coloured else ("", "", "")
    usage = f"{strong}Usage: {plain}{strong}covalign COMMAND{plain}"
    entries = _entries()
    widest = max(map(len, entries))
    rows = []
    for entry, sentence in entries.items():
        first, *more = textwrap.wrap(sentence, width - widest - 6, break_on_hyphens=False)
        rows.append((f"{name}{entry.ljust(widest)}{plain}{name}  {plain}", first))
        rows += [(f"{name}{' ' * widest}  {plain}", line) for line in more]
    body = [f"│ {before}{text.ljust(width - widest - 6)} │" for before, text in rows]
    top = f"╭─ Commands {'─' * (width - 13)}╮"
    panel = "\n".join([top, *body, f"╰{'─' * (width - 2)}╯"])
    return "\n\n".join([usage, *_wrapped(ABOUT, width), panel, *_wrapped(GIVEN, width)])


def _entries() -> dict[str, str]:
    """Return what is said of every command, and of the options, in the order in which they are shown."""
    sentences = {name: said(command).split("\n\n")[0] for name, command in COMMANDS.items()}
    commands = sorted({**sentences, **GROUPS, "completion": COMPLETION}.items())
    options = {"--help (-h)": "Display this message and exit.", "--version": "Display application version."}
    return {**dict(commands), **options}


def _wrapped(paragraphs: Sequence[str], width: int) -> list[str]:
    return [textwrap.fill(paragraph, width, break_on_hyphens=False) for paragraph in paragraphs]

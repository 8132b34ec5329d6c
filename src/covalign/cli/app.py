"""The command line: parse, call the library, print where the result is.

Every command is one library call that a notebook could make, and one file, which is imported when its command is
called, so that ``covalign --help`` answers at once. Bad input ends in one line on standard error and exit status 2.
"""

import os
import sys
import warnings
from importlib import import_module
from typing import Any

from covalign.cli.contents import COMMANDS
from covalign.cli.overview import ready
from covalign.errors import ADVICE, InputError, UncheckedWarning, printable

PARSING = "covalign.cli.commands"
"""Parses what was typed; imported when there is something to parse, since that takes longer than the first page."""
DEBUG = "--debug"
"""Shows where an error came from."""
MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory")
"""How libraries say that memory is exhausted."""

PAIRS_KEPT = (
    "compared pairs are kept (without --no-cache): the same command goes on; an old result is as it was"
)
KEPT = {
    "train": "the last checkpoint is kept: the same command resumes there",
    "demo": "trainings and their checkpoints are kept in OUT/runs: the same command resumes there",
    "reproduce": "trainings, checkpoints and finished figures are kept: the same command resumes there",
    "compare": PAIRS_KEPT,
    "atlas": PAIRS_KEPT,
}
"""What is kept of a command that is interrupted."""

NOTHING_KEPT = "nothing was written, and an earlier result is as it was; stored trainings are not touched"


def main() -> None:
    """Run the command line and exit with its status."""
    debug = DEBUG in sys.argv[1:]
    typed = [each for each in sys.argv[1:] if each != DEBUG]
    try:
        if text := ready(typed, os.environ):
            print(text, flush=True)
            return
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            warnings.simplefilter("always", UncheckedWarning)
            _starting()
            import_module(PARSING).app(typed, exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:  # whatever goes wrong, one line says it
        if debug:
            import traceback

            traceback.print_exc()
        _fail(told(error))
    except KeyboardInterrupt:
        command = next((word for word in sys.argv[1:] if word in COMMANDS), "")
        print(f"\ncovalign: interrupted; {KEPT.get(command, NOTHING_KEPT)}", file=sys.stderr)
        sys.exit(130)


def told(error: Exception) -> str:
    """Return what a person reads of an error: what was wrong, and what to do."""
    if isinstance(error, InputError) or _of_parsing(error):
        return str(error)
    if isinstance(error, MemoryError) or any(word in str(error) for word in MEMORY):
        return f"out of memory ({str(error) or 'MemoryError'}); use fewer images, a smaller --memory or --resolution"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        advice = ADVICE.get(error.errno or 0, "")
        return f"{place}{error.strerror or error}{advice and '; '}{advice}"
    return (
        f"{type(error).__name__}: {error}; this should have been a plainer message: run the command again with "
        f"{DEBUG} and report what it prints"
    )


def _of_parsing(error: Exception) -> bool:
    """Whether what was typed could not be understood."""
    return type(error).__module__.partition(".")[0] == "cyclopts"


def _warn(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Print what covalign warns of in one line, and any other warning as it is."""
    own = issubclass(category, UncheckedWarning)
    text = (
        f"covalign: {printable(str(message))}\n"
        if own
        else warnings.formatwarning(message, category, *place[:2])
    )
    print(text, end="", file=sys.stderr)


def _starting() -> None:
    """Say at once, on a terminal, that something happens: the tensor library takes its seconds to load."""
    words = sys.argv[1:]
    if sys.stderr.isatty() and words and words[0] in COMMANDS and not {"--help", "-h", "--quiet"} & {*words}:
        print("covalign: starting ...", end="\r", file=sys.stderr, flush=True)


def _fail(message: str) -> None:
    line = printable(" ".join(message.split()))
    if "--json" in sys.argv:
        import json

        print(json.dumps({"error": line}))
    print(f"covalign: {line}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()

"""What covalign raises when the caller can mend it, and what it warns of.

Every message says three things: what was received, what was expected, and what to do.
The command line prints it as one line and exits with status 2.
"""

import errno
import os
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType


def printable(text: str) -> str:
    """Return text that a terminal shows as it is: names in files may hold sequences that it would obey."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape", "replace").decode()
        for each in text
    )


class InputError(ValueError):
    """Input that cannot be used: a file, an option, an array or a combination of them.

    Example:
        One line says what was received and what was expected; the command line prints it and exits with status 2.

        >>> from covalign import vgg11
        >>> try:
        ...     vgg11(form="jont")
        ... except InputError as error:
        ...     print(error)
        vgg form: got 'jont', expected one of joint, factorized
    """


class UncheckedWarning(UserWarning):
    """Results were read whose files carry no checksums: damage to them would not be noticed."""


ADVICE = {
    errno.ENOSPC: "free some space, or give a folder on another disk",
    errno.EDQUOT: "free some of your quota, or give a folder on another disk",
    errno.ENOLCK: "its file system has no locks: give a folder on a local disk",
    errno.EACCES: "give a folder that you may read and write",
    errno.EROFS: "give a writable folder",
}
"""What to do about an error of the operating system."""


def unwritable(
    what: str | os.PathLike[str], error: OSError, remedy: str = "give a writable folder"
) -> InputError:
    """Return the error about a place that cannot be written.

    Args:
        what: the place, or how it was given.
        error: of the operating system.
        remedy: what to do where the kind of error does not say it.
    """
    said = f"{os.fspath(what)}: cannot be written ({error.strerror or error})"
    return InputError(f"{said}; {ADVICE.get(error.errno or 0, remedy)}")


def unknown(what: str, got: str, known: Iterable[str], more: str = "") -> InputError:
    """Return the error about a name that does not exist, with the nearest one that does.

    Args:
        what: that was named.
        got: the name.
        known: the names there are.
        more: what else would have been accepted.
    """
    names = [*known]
    said = f"{what}: got {got!r}, expected one of {', '.join(names)}{more}"
    return InputError(f"{said}{nearest(got, names)}")


SHORTEST = 3
"""Letters from which on a part of a name is taken for the name."""


def nearest(got: str, known: Iterable[str]) -> str:
    """Ask whether the nearest of the known names was meant, or one that holds it; empty where none does."""
    names = [*known]
    near = get_close_matches(got.lower(), names, n=1)
    held = [name for name in names if len(got) >= SHORTEST and got.lower() in name]
    meant = " or ".join(map(repr, near or held[:3]))
    return f"; did you mean {meant}?" if meant else ""


def optional(library: str, extra: str = "", *, package: str = "") -> ModuleType:
    """Import a library that nothing here requires.

    Args:
        library: the module's name.
        extra: of covalign, that brings it.
        package: that brings it, where no extra does.

    Raises:
        InputError: whatever goes wrong, with the line that installs it.
    """
    try:
        return import_module(library)
    except Exception as error:  # torchvision raises RuntimeError beside a torch it was not built for
        said = " ".join(str(error).split())
        raise InputError(
            f"{library} cannot be imported ({type(error).__name__}: {said}); install it, in a version that fits "
            f"your torch, with: pip install '{package or f'covalign[{extra}]'}'"
        ) from error

"""What covalign raises when the caller can mend it, and what it warns of.

Every message says three things: what was received, what was expected, and what to do.
The command line prints it as one line and exits with status 2.
"""


def printable(text: str) -> str:
    """Return text that a terminal shows as it is: names in files may hold sequences that it would obey."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape", "replace").decode()
        for each in text
    )


class InputError(ValueError):
    """Input that cannot be used: a file, an option, an array or a combination of them."""


class UncheckedWarning(UserWarning):
    """Results were read whose files carry no checksums: damage to them would not be noticed."""

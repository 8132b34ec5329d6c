"""What covalign raises when the caller can mend it, and what it warns of.

Every message says three things: what was received, what was expected, and what to do.
The command line prints it as one line and exits with status 2.
"""


class InputError(ValueError):
    """Input that cannot be used: a file, an option, an array or a combination of them."""


class UncheckedWarning(UserWarning):
    """Results were read whose files carry no checksums: damage to them would not be noticed."""

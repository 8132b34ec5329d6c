"""How is a TOML file of settings read, so that whatever is wrong with it is one line that names it?"""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from covalign.errors import InputError

Made = TypeVar("Made")


def from_toml(path: str | Path, make: Callable[[Mapping[str, Any]], Made]) -> Made:
    """Return what ``make`` makes of a file's values.

    Args:
        path: of the file, in UTF-8.
        make: takes the values; its `InputError` gets the file's name.

    Raises:
        InputError: the file cannot be read or is not TOML, and what ``make`` raises.
    """
    try:
        return make(tomllib.loads(Path(path).read_text(encoding="utf-8")))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); expected a TOML file"
        ) from error
    except (ValueError, RecursionError) as error:  # nested too deeply, or a number of thousands of digits
        raise InputError(f"{path}: cannot be read as TOML ({error}); expected key = value lines") from error

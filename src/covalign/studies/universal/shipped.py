"""Which encodings come with the package, and where are they?

Files of `covalign universal build`, one an encoding, called by their names alone; `shipped/README.md` says what each
holds, which data stand behind it and which terms its numbers carry.
"""

from importlib.resources import files
from pathlib import Path

from covalign.errors import InputError

ENDING = ".safetensors"
_FOLDER = files("covalign.studies.universal").joinpath("shipped")


def shipped_names() -> tuple[str, ...]:
    """Return the names of the encodings that come with the package."""
    found = (each.name for each in _FOLDER.iterdir())
    return tuple(sorted(name.removesuffix(ENDING) for name in found if name.endswith(ENDING)))


def file_of(name: str | Path) -> Path:
    """Return the file of an encoding, given by its path or by the name of one that comes with the package.

    A file that is there goes before a name; what has a folder or the ending of a file is never taken for a name.

    Raises:
        InputError: neither a file nor a name that there is.
    """
    path = Path(name)
    if path.is_file() or path.suffix == ENDING or len(path.parts) != 1:
        return path
    if path.name in shipped_names():
        return Path(str(_FOLDER.joinpath(path.name + ENDING)))
    raise InputError(
        f"{name}: no such file, and no encoding of that name comes with covalign; give the path of a {ENDING} file "
        f"that covalign universal build wrote, or one of {', '.join(shipped_names())}"
    )

"""Where does lie what could be made again, and only costs time to make?"""

import os
from pathlib import Path

from platformdirs import user_cache_path

from covalign.errors import InputError

KINDS = {"images": ".safetensors", "pairs": ".pair"}
"""What is cached, and how its files end."""


def cache_folder(kind: str | None = None) -> Path:
    """Return a folder under COVALIGN_CACHE, or the platform's cache folder: of one kind of things, or of all.

    Args:
        kind: "images" or "pairs".

    Raises:
        RuntimeError: there is no home.
    """
    own = os.environ.get("COVALIGN_CACHE")
    folder = Path(own).expanduser() if own else user_cache_path("covalign", appauthor=False, opinion=False)
    return folder / kind if kind else folder


def cached_files() -> dict[str, list[Path]]:
    """Return the files of each kind of cached things; what else lies in these folders is not ours and not returned.

    Raises:
        InputError: there is no home, and so no folder.
    """
    try:
        return {
            kind: sorted(path for path in cache_folder(kind).glob(f"*{end}") if path.is_file())
            for kind, end in KINDS.items()
        }
    except RuntimeError as error:
        raise InputError(
            "nothing is cached, since there is no home folder; set COVALIGN_CACHE to a folder that may be written"
        ) from error

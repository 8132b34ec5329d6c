"""Where does a report's content come from, as lines a person can read?"""

from collections.abc import Iterator
from typing import Any

LENGTH = 400


def provenance_facts(provenance: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return nested provenance as pairs of a dotted path and a text.

    Args:
        provenance: JSON-serializable; long texts are cut after 400 characters (the download has them whole).
    """
    return tuple((" · ".join(path), text) for path, text in _leaves(provenance, ()))


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _leaves(entry, (*path, str(key).replace("_", " ")))
    elif isinstance(value, list | tuple) and any(isinstance(entry, dict | list) for entry in value):
        for index, entry in enumerate(value, start=1):
            yield from _leaves(entry, (*path, str(index)))
    elif value is not None and value != "":
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        yield path, text if len(text) <= LENGTH else f"{text[:LENGTH]} …"

"""Where does a report's content come from, and how does a reader take its numbers along?"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from covalign.report.page import Download, Downloads, Facts, Section

LENGTH = 1200
EMPTY: tuple[Any, ...] = (None, "", [], ())
CARRIED = 300_000
"""Bytes of downloads in one page, which stays below 2 MB (our choice)."""


def origin_section(files: Sequence[Download], provenance: Mapping[str, Any]) -> Section:
    """Return the last section of a report: the numbers as files, then where they come from.

    Args:
        files: in order of importance; those that would make the page too large are named instead.
        provenance: JSON-serializable.
    """
    kept: list[Download] = []
    for file in files:
        if sum(len(other.content) for other in kept) + len(file.content) <= CARRIED:
            kept.append(file)
    missing = ", ".join(file.name for file in files if file not in kept)
    prose = (f"Too large for this page, but saved with the results: {missing}.",) if missing else ()
    return Section(
        "origin", "Origin and numbers", prose, (Downloads(tuple(kept)), Facts(provenance_facts(provenance)))
    )


def provenance_facts(provenance: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return nested provenance as pairs of a path and a text; what holds values alone is one line.

    Args:
        provenance: JSON-serializable; long texts are cut after 1200 characters (the download has them whole).
    """
    networks = provenance.get("networks")
    several = dict(enumerate(networks, 1)) if isinstance(networks, list | tuple) else networks
    if not isinstance(several, Mapping) or len(several) < 2:
        return _facts(provenance)
    others = {name: value for name, value in provenance.items() if name != "networks"}
    return (*_facts(others), *_differences(several))


def _facts(provenance: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((" · ".join(path), text) for path, text in _leaves(provenance, ()))


def _differences(networks: Mapping[Any, Any]) -> tuple[tuple[str, str], ...]:
    """Return what all networks have in common once, and after it what each has of its own."""
    stated = {str(name): dict(_facts(_flat(value))) for name, value in networks.items()}
    first, *others = stated.values()
    common = {key for key, text in first.items() if all(each.get(key) == text for each in others)}
    shared = tuple((f"all networks · {key}", first[key]) for key in first if key in common)
    own = tuple(
        (f"{name} · {key}", text)
        for name, facts in stated.items()
        for key, text in facts.items()
        if key not in common
    )
    return (*shared, *own)


def _flat(value: Any) -> dict[str, Any]:
    """Return details with a place of its own for every value, so that equal ones are found one by one."""
    if not isinstance(value, Mapping):
        return {"network": value}
    found: dict[str, Any] = {}
    for key, entry in value.items():
        inner = isinstance(entry, Mapping) and not any(map(_nested, entry.values()))
        found |= {f"{key} {name}": part for name, part in entry.items()} if inner else {str(key): entry}
    return found


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping) and path and not any(map(_nested, value.values())):
        stated = {key: entry for key, entry in value.items() if entry not in EMPTY}
        yield from _leaves("; ".join(f"{_words(key)} {_text(entry)}" for key, entry in stated.items()), path)
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _leaves(entry, (*path, _words(key)))
    elif _nested(value):
        for index, entry in enumerate(value, start=1):
            yield from _leaves(entry, (*path, str(index)))
    elif value not in EMPTY:
        text = _text(value)
        yield path, text if len(text) <= LENGTH else f"{text[:LENGTH]} …"


def _nested(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list | tuple) and any(map(_nested, value)))


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _words(key: Any) -> str:
    return str(key).replace("_", " ")

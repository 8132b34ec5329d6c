"""In which order do the layers of a file follow one another that does not say so?

Each layer receives as many channels as the one before gives, as far as that is possible; numbers in names are
an order.
"""

import re
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DEPTH = 32
"""How deep names are taken apart (our choice; real networks stay below ten)."""


@dataclass(frozen=True)
class Ends:
    """Channels that a weight receives and gives, and how many axes it has."""

    receives: int
    gives: int
    axes: int

    def passes(self, channels: int) -> bool:
        """Whether it may be a depthwise convolution of these channels."""
        return (
            self.axes == 4 and self.receives == 1 < self.gives and self.gives % channels == 0 and channels > 3
        )


def chained(ends: Mapping[str, Ends]) -> list[str]:
    """Order names so that each weight receives as many channels as the one before gives, as far as possible.

    Numbered parts of a module follow their numbers. Parts with other names start with what fits the
    channels at hand, first in natural order where several do; the first channels are those of an image.
    """
    tree: dict[str, Any] = {}
    for name in ends:
        node = tree
        *path, leaf = name.split(".", DEPTH)
        for part in path:
            node = node.setdefault(f"{part}.", {})
        node[leaf] = name
    return _walk(tree, ends, _image_channels(ends.values()))[0]


def _image_channels(ends: Collection[Ends]) -> int:
    """Return the likeliest number of input channels: 3, 1, 4 or 2, or what no layer gives."""
    received = [end.receives for end in ends if end.axes == 4]
    if received:
        return next((count for count in (3, 1, 4, 2) if count in received), min(received))
    given = {end.gives for end in ends}
    return next((end.receives for end in ends if end.receives not in given), 1)


def _walk(node: Any, ends: Mapping[str, Ends], channels: int) -> tuple[list[str], int]:
    """Return the names below ``node`` in order, and how many channels the last of them gives."""
    if isinstance(node, str):
        return [node], ends[node].gives
    keys = sorted(node, key=_natural)
    ordered: list[str] = []
    words = sum(not _numbered([key]) for key in keys)
    alike: dict[
        tuple[Ends, ...], deque[int]
    ] = {}  # parts that start alike fit alike: the first of them counts
    for place, key in enumerate(keys):
        starts = tuple(dict.fromkeys(ends[name] for name in _starts(node[key])))
        alike.setdefault(starts, deque()).append(place)
    while alike:
        place, starts = min(
            ((places[0], starts) for starts, places in alike.items()),
            key=lambda first: (words and _misfit(first[1], channels), first[0]),
        )
        alike[starts].popleft()
        if not alike[starts]:
            del alike[starts]
        words -= not _numbered([keys[place]])
        names, channels = _walk(node[keys[place]], ends, channels)
        ordered += names
    return ordered, channels


def _starts(node: Any) -> list[str]:
    """Return the names with which ``node`` may start: the first of numbered parts, any of others."""
    if isinstance(node, str):
        return [node]
    keys = sorted(node, key=_natural)
    return [name for key in (keys[:1] if _numbered(keys) else keys) for name in _starts(node[key])]


def _numbered(keys: Iterable[str]) -> bool:
    return all(key.removesuffix(".").isdigit() for key in keys)


def _misfit(starts: Sequence[Ends], channels: int) -> int:
    """Return 0 if some layer receives ``channels``, 1 if a linear one may receive several positions, else 2."""
    if any(start.receives == channels or start.passes(channels) for start in starts):
        return 0
    return 2 - any(start.axes == 2 and start.receives % channels == 0 for start in starts)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which part 10 follows part 9."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [_place(piece) if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def _place(digits: str) -> tuple[int, int, str]:
    """Return a number's place by its length and its digits: it may have thousands of them."""
    significant = digits.lstrip("0")
    return 0, len(significant), significant

"""What is known of images before they are decoded?

A `Source` is a set of files that hold one split; opening it gives a `Listing`: labels and class names, and
a way to read the encoded bytes of chosen rows. Classes and random subsets are chosen on the listing, so
that only images that are wanted are decoded.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from jaxtyping import Int64
from torch import Tensor

from covalign.errors import InputError

TRAINING = ("train", "training")
HELD_OUT = ("test", "valid", "validation", "val", "dev")
SPLITS = TRAINING + HELD_OUT

Reader: TypeAlias = Callable[[list[int]], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True, eq=False)
class Listing:
    """Labelled images that are not yet decoded.

    Attributes:
        rows: shape ``[n]``, where the source keeps each image.
        labels: shape ``[n]``, indices into ``classes``.
        classes: class names, in label order.
        read: ascending rows -> (origin, encoded bytes) of each; the origin names file and row in errors.
    """

    rows: Int64[Tensor, " n"]
    labels: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    read: Reader

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "Listing":
        """Return the entries at ``indices``, in that order."""
        return replace(self, rows=self.rows[indices], labels=self.labels[indices])


@dataclass(frozen=True, eq=False)
class Source:
    """Files that hold one split, not yet opened.

    Attributes:
        name: short name for tables and captions.
        split: what the source calls the split; "all" where it has none.
        files: every file that is read; their sizes and times identify the content.
        open: read labels and class names.
    """

    name: str
    split: str
    files: tuple[Path, ...]
    open: Callable[[], Listing]


def choose_split(available: Iterable[str], wanted: str, where: str) -> str:
    """Return which of the available splits answers to ``wanted``.

    A held-out set goes by several names: "test" falls back to "valid", "validation", "val" or "dev".

    Raises:
        InputError: no available split answers.
    """
    names = list(available)
    synonyms: tuple[str, ...] = next((group for group in (TRAINING, HELD_OUT) if wanted in group), ())
    for name in (wanted, *synonyms):
        if name in names:
            return name
    raise InputError(f"{where}: split {wanted!r} not found; it has {', '.join(map(repr, sorted(names)))}")

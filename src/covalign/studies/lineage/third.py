"""Which of two related networks is older? Only something beyond the two can tell.

That is: initial weights that a training stored, which are older than all that came of them, and further networks
of the family, which show who stands between whom (`covalign.encoding.lineage.middle`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch

from covalign.encoding.lineage.middle import corner_cosines, is_merge, middle
from covalign.networks.network import Layer


class Place(Enum):
    """Where a third network stands; the value says it."""

    START_OF_BOTH = "both were trained from the initial weights {third}"
    A_FIRST = "{a} stands between the initial weights {third} and {b}"
    B_FIRST = "{b} stands between the initial weights {third} and {a}"
    STARTED_FROM_A = "the stored initial weights of {b} are the weights of {a}"
    STARTED_FROM_B = "the stored initial weights of {a} are the weights of {b}"
    THIRD_BETWEEN = "{third} stands between the two"
    A_BETWEEN = "{a} stands between {b} and {third}"
    B_BETWEEN = "{b} stands between {a} and {third}"
    A_MERGED = "{a} lies on the line between {b} and {third}: it is a merge of them"
    B_MERGED = "{b} lies on the line between {a} and {third}: it is a merge of them"
    THIRD_MERGED = "{third} lies on the line between the two: it is a merge of them"

    def of(self, a: str, b: str, third: str) -> str:
        """Return the sentence for three networks."""
        return self.value.format(a=a, b=b, third=third)


OLDER_A = (Place.A_FIRST, Place.STARTED_FROM_A, Place.B_MERGED)
OLDER_B = (Place.B_FIRST, Place.STARTED_FROM_B, Place.A_MERGED)
APART = (Place.START_OF_BOTH, Place.THIRD_BETWEEN)


@dataclass(frozen=True, eq=False)
class Third:
    """A network beside the two.

    Attributes:
        name: of the network.
        layers: its layers.
        start_of: "a" or "b" where these are the stored initial weights of one of the two; else "".
    """

    name: str
    layers: tuple[Layer, ...]
    start_of: str = ""


def place(a: Sequence[Layer], b: Sequence[Layer], third: Third) -> Place | None:
    """Return where a third network stands; None where shapes differ or nothing shows.

    Args:
        a, b: layers of two related networks whose neurons have the same order.
        third: a relative of both.
    """
    names = [
        (one, two, three)
        for one, two, three in zip(a, b, third.layers, strict=False)
        if one.weight.shape == two.weight.shape == three.weight.shape
    ]
    if not len(a) == len(b) == len(third.layers) or not names:
        return None
    other, own = (b, Place.STARTED_FROM_B) if third.start_of == "a" else (a, Place.STARTED_FROM_A)
    if third.start_of and _equal(third.layers, other):
        return own
    networks = [[layers[which].weight.double() for layers in names] for which in range(3)]
    cosines = corner_cosines(networks)
    corner = middle(cosines)
    if corner is None:
        return None
    if third.start_of:
        return (Place.A_FIRST, Place.B_FIRST, Place.START_OF_BOTH)[corner]
    if is_merge(cosines[corner]):
        return (Place.A_MERGED, Place.B_MERGED, Place.THIRD_MERGED)[corner]
    return (Place.A_BETWEEN, Place.B_BETWEEN, Place.THIRD_BETWEEN)[corner]


def start_of(name: str, layers: Sequence[Layer], which: str) -> Third | None:
    """Return a network as it was before training, where all initial weights were kept."""
    kept = [layer.initial for layer in layers if layer.initial is not None]
    if not kept or len(kept) < len(layers):
        return None
    before = tuple(
        Layer(layer.name, layer.kind, weight, groups=layer.groups)
        for layer, weight in zip(layers, kept, strict=True)
    )
    return Third(f"{name} before training", before, which)


def _equal(one: Sequence[Layer], two: Sequence[Layer]) -> bool:
    """Whether most layers are equal; the readout of a fine-tune is new."""
    same = [
        x.weight.shape == y.weight.shape and torch.equal(x.weight, y.weight.to(x.weight))
        for x, y in zip(one, two, strict=True)
    ]
    return 2 * sum(same) > len(same)

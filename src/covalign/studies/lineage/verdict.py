"""What are two networks to each other, given what their layers have in common?

In this order: the same file; the same weights; a relation, which is only claimed from layers that no maker's
pattern explains; no relation, where one would have shown; otherwise undecided. Weights alone say whether networks
are related. Whether unrelated weights learned alike shows on images alone.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum

from covalign.encoding.lineage.change import Change, Kind
from covalign.encoding.lineage.trace import Relation, Role, Trace
from covalign.studies.lineage.correspondence import Correspondence

POWER = 0.5
"""Mean cosine that a layer must be able to show, so that its silence says something (our choice)."""
EQUAL = (Kind.SAME, Kind.ROUNDED, Kind.RESCALED)
RELATED = (Relation.SAME_ORDER, Relation.OTHER_ORDER)


class Verdict(Enum):
    """What two networks are to each other; the value is what records and programs call it."""

    SAME_FILE = "same_file"
    SAME_WEIGHTS = "same_weights"
    DERIVED = "derived"
    COMMON_ANCESTOR = "common_ancestor"
    INDEPENDENT = "independent"
    UNRELATED = "unrelated"
    UNDECIDED = "undecided"


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one pair of layers says.

    Attributes:
        where: the layers.
        trace: what their neurons have in common.
        change: how one became the other; None where that means nothing.
    """

    where: Correspondence
    trace: Trace
    change: Change | None

    @property
    def tested(self) -> bool:
        """Whether there were orders enough for a test."""
        return self.trace.relation not in (Relation.FIXED, Relation.UNTESTED, Relation.MEANINGS)

    @property
    def related(self) -> bool:
        """Whether a test found a relation."""
        return self.trace.relation in RELATED

    @property
    def telling(self) -> bool:
        """Whether a relation here counts by itself: no filter bank or list of classes can be the reason."""
        return self.tested and self.where.pair.role is Role.HIDDEN

    @property
    def equal(self) -> bool:
        """Whether the weights are the same up to order, positive factors and rounding."""
        return self.change is not None and self.change.kind in EQUAL


@dataclass(frozen=True, eq=False)
class Findings:
    """All that the weights of two networks say.

    Attributes:
        layers: of equal shape.
        left_out: number of layers, of either network, without a counterpart.
        same_shapes: whether both have one architecture, as far as shapes tell.
        same_file: whether both were read from equal files.
    """

    layers: tuple[Evidence, ...]
    left_out: int
    same_shapes: bool
    same_file: bool

    @property
    def related(self) -> bool:
        """Whether a relation is established: by a telling layer, or by two others where no telling one was tested."""
        found = [layer for layer in self.layers if layer.related]
        if any(layer.telling for layer in self.layers):
            return any(layer.telling for layer in found)
        return len(found) > 1

    @property
    def only_filters(self) -> bool:
        """Whether all that agrees could be filters from elsewhere."""
        return not self.related and any(layer.related or layer.equal for layer in self.layers)

    @property
    def detectable(self) -> float:
        """The smallest cosine that a telling layer could have shown; infinite without one."""
        tests = sum(layer.tested for layer in self.layers)
        return min(
            (layer.trace.detectable(tests) for layer in self.layers if layer.telling), default=float("inf")
        )

    @property
    def p_value(self) -> float:
        """The smallest corrected p-value, of telling layers where there are some; 1 without a test."""
        tested = [layer for layer in self.layers if layer.tested]
        chosen = [layer for layer in tested if layer.telling] or tested
        return min((layer.trace.p_value for layer in chosen), default=1.0)

    @property
    def kinds(self) -> tuple[tuple[Kind, int], ...]:
        """Kinds of change, and how many layers show each, the commonest first."""
        kinds = Counter(layer.change.kind for layer in self.layers if layer.change)
        return tuple(kinds.most_common())


def verdict(found: Findings, alike: bool | None) -> Verdict:
    """Return what the weights say, and images where they were given.

    Args:
        found: of the weights.
        alike: whether the two learned alike, from images; None where that is not known.
    """
    if found.same_file:
        return Verdict.SAME_FILE
    if found.layers and not found.left_out and all(layer.equal for layer in found.layers):
        return Verdict.SAME_WEIGHTS
    if found.related:
        return Verdict.DERIVED
    if found.only_filters:
        return Verdict.UNDECIDED
    tested = found.detectable <= POWER
    if alike is not None and (tested or not found.layers):
        return Verdict.INDEPENDENT if alike else Verdict.UNRELATED
    return Verdict.INDEPENDENT if tested and found.same_shapes else Verdict.UNDECIDED

"""Which of three related networks stands between the other two?

Updates of weights from independent trainings are nearly orthogonal. In a chain X -> M -> Z, and in a family X <-
M -> Z,

    cos = <X - M, Z - M> / (||X - M|| ||Z - M||)

is about 0, and at the other two corners of the triangle it is positive, because the angles of a triangle add up
to 180 degrees. At a mean M = t X + (1 - t) Z it is -1. So the middle is known, a direction is not, unless one of
the three is known to be the oldest. Which sets are nearly orthogonal is our choice (`WITHIN`).
"""

import math
from collections.abc import Sequence

from jaxtyping import Float64
from torch import Tensor

WITHIN = 0.35
"""Cosine up to which two updates count as independent of each other."""
APART = 0.2
"""By how much the next corner's cosine must be larger."""
MERGED = -0.995
"""Cosine up to which a network counts as the mean of two others; parents' relatives come up to -.9 (measured)."""


def corner_cosines(networks: Sequence[Sequence[Float64[Tensor, "..."]]]) -> tuple[float, float, float]:
    """Return the cosine at each of three networks, given by the same layers, each layer weighed equally.

    A layer of which two networks are equal says nothing about angles at them, and counts with cosine 1 at the third.
    """
    totals = [0.0, 0.0, 0.0]
    lengths = [[0.0, 0.0] for _ in range(3)]
    for layers in zip(*networks, strict=True):
        unit = max(float(layer.norm()) for layer in layers) or 1.0
        for corner in range(3):
            others = [layers[other] - layers[corner] for other in range(3) if other != corner]
            totals[corner] += float((others[0] * others[1]).sum()) / unit**2
            for side, difference in enumerate(others):
                lengths[corner][side] += float(difference.square().sum()) / unit**2
    found = [
        total / math.sqrt(one * two) if one * two > 0 else math.nan
        for total, (one, two) in zip(totals, lengths, strict=True)
    ]
    return found[0], found[1], found[2]


def middle(cosines: tuple[float, float, float]) -> int | None:
    """Return which of three stands between the others; None where that does not show."""
    if any(math.isnan(cosine) for cosine in cosines):
        return None
    least, following, _ = sorted(cosines)
    return cosines.index(least) if least <= WITHIN and following - least >= APART else None


def is_merge(cosine: float) -> bool:
    """Whether a corner lies on the line between the others."""
    return cosine <= MERGED

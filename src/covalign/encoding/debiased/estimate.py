"""How much of what two layers learned is the same?

With S_a = E w w^T / |w|^2 the second moment of a neuron's direction in network a, and P the projection orthogonal to
what all networks share (multiples of the identity, for plain layers),

    R = <P S_1, P S_2> / (||P S_1|| ||P S_2||).

R is 0 on average where orientations are unrelated, 1 only where the traceless parts are proportional, and negative
where one network avoids what the other uses. It is a property of the populations of neurons: noise that was added
to S, as a multiple of I, does not change it, nor do the scale and the order of neurons. All three inner products are
estimated without bias from different neurons (U-statistics, Hoeffding 1948; spectral moments are estimated so by
Kong & Valiant 2017), so that no model of the noise, no initial weights and no spectral gap are needed. The matter of
the cosine of the plug-in moments, which counts each neuron with itself, is thereby avoided; it is given beside it.

R weighs directions by the square of their excess variance. It is not the similarity of Guth & Menard (2024, eq. 6),
which is a Bures-Wasserstein cosine and weighs them linearly.

What R assumes: neurons of a layer are independent draws, and those of the two networks too. Related networks are
recognized and said so. Neurons of one layer that repel each other make R too large (above 1 in the extreme), those
that copy each other too small, and no statistic of a single network can tell: with several seeds use
`covalign.encoding.debiased.groups`.
"""

import math
from dataclasses import dataclass

from covalign.arrays import ArrayLike
from covalign.encoding.debiased import chance
from covalign.encoding.debiased.interval import ratio_with_interval
from covalign.encoding.debiased.measurement import Counts, Measured, incomparable, measured
from covalign.encoding.debiased.pairing import Pair, Scales, aligned_pair, without_top
from covalign.encoding.debiased.products import Products
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.statistics import NEURONS
from covalign.showing import Shown

COPY = 1e-12
"""Distance from 1 of the cosine of second moments up to which matched networks are copies, not relatives."""


@dataclass(frozen=True, repr=False)
class DebiasedSimilarity(Shown):
    """R of two layers, with what is needed to read it.

    Attributes:
        value: R, not clipped; NaN where withheld.
        low: lower end of the 95 % interval over draws of neurons; NaN where there is none.
        high: upper end.
        z: U_12 in standard deviations of its distribution over random rotations.
        p_value: probability of so large an agreement by chance (one-sided).
        reason: why the value or its interval is withheld, or how it has to be read; its ``sentence`` says it.
        cross: U_12, without pairs of neurons that belong together.
        within_1: U_11.
        within_2: U_22.
        plug_in: cosine of the second moments, each neuron counted with itself; at most 1, not near 0 by chance.
        coverage: how much of what the wider network learned lies where the narrower one's inputs map to; 1 for
            equal widths, NaN where it cannot be told.
        neurons_1: number of neurons used.
        neurons_2: number of neurons used.
        dimension: number of columns compared.
        dropped: neurons of either network that were zero.
        matched: pairs of neurons that belong together and were left out of U_12.

    References:
        Hoeffding, "A class of statistics with asymptotically normal distribution", Annals of Mathematical
        Statistics 19, 1948; R itself is our own, derived in ``docs/site/theory/debiased.md``.
    """

    INTERVAL = ("value", "low", "high")

    value: float
    low: float
    high: float
    z: float
    p_value: float
    reason: Reason
    cross: float
    within_1: float
    within_2: float
    plug_in: float
    coverage: float
    neurons_1: int
    neurons_2: int
    dimension: int
    dropped: int = 0
    matched: int = 0


def debiased_similarity(
    rows_1: ArrayLike,
    rows_2: ArrayLike,
    rotation: ArrayLike | None = None,
    *,
    unit_length: bool = True,
    spatial: int = 1,
    slots: int = 1,
    input_scales: Scales | None = None,
    remove_top: int = 0,
) -> DebiasedSimilarity:
    """Estimate R of two layers, with a 95 % interval and an exact test against chance.

        R = U_12 / sqrt(U_11 U_22),    U_ab = mean of (x . y)^2 - 1/d over neurons x of a and *other* neurons y of b,

    of directions of neurons in common coordinates (see the head of the module for layers with more structure). R
    has no unit: 0 for unrelated networks, 1 for the same learned weights; it is not clipped.

    Args:
        rows_1: ``[n1, d1]``, a row per neuron: what multiplies the layer input.
        rows_2: ``[n2, d2]``; where widths differ, R is that inside the narrower network's inputs.
        rotation: alignment A ``[d2, d1]`` of the inputs, on channels for convolutions; None for shared inputs.
        unit_length: compare directions of neurons. Only where length is no gauge (a normalization *after* the layer
            is followed by a residual sum) pass rows ``|gamma| / sigma w`` and False.
        spatial: k^2 of a joint convolution, columns ordered (channel, space).
        slots: K of a factorized layer whose alignment keeps slots, columns ordered (channel, slot).
        input_scales: root-mean-square of every input channel of both networks, where channels can be rescaled; the
            rotation is then the alignment of inputs divided by them. With it z is approximate.
        remove_top: leading common directions (of channels) to remove first; the interval takes them as given, and
            there is no test against chance.

    Raises:
        InputError: unusable rows, shapes that do not fit, or both ``spatial`` and ``slots``.

    Example:
        A network and its copy with neurons in another order and of other lengths:

        >>> import torch
        >>> rows = torch.randn(20, 30, generator=torch.Generator().manual_seed(0)).double()
        >>> rows[:, :3] *= 3
        >>> found = debiased_similarity(rows, 2 * rows.flip(0))
        >>> round(found.value, 6), found.reason.value, found.matched
        (1.0, 'related', 20)

    References:
        Hoeffding, "A class of statistics with asymptotically normal distribution", Annals of Mathematical
        Statistics 19, 1948; R itself is our own, derived in ``docs/site/theory/debiased.md``.
    """
    pair = aligned_pair(
        rows_1,
        rows_2,
        rotation,
        unit_length=unit_length,
        spatial=spatial,
        slots=slots,
        input_scales=input_scales,
    )
    products = Products.of(pair.first, pair.second)
    return compared(*without_top(pair, remove_top, products))


def compared(pair: Pair, products: Products | None = None, *, test: bool = True) -> DebiasedSimilarity:
    """Return R of two layers that are in common coordinates.

    Args:
        pair: the layers.
        products: inner products of their neurons where they are known.
        test: whether the test against chance is wanted; without it z and p-value are NaN.
    """
    counts = Counts.of(pair)
    reason = incomparable(pair)
    return without_value(reason, counts) if reason else described(measured(pair, products, test=test), counts)


def described(found: Measured, counts: Counts) -> DebiasedSimilarity:
    """Turn what was measured into R, its interval and its test."""
    value, low, high, reason = _ratio(found, counts)
    z = found.all_pairs / math.sqrt(found.variance) if found.variance > 0 else math.nan
    cross, within_1, within_2 = found.averages.means.tolist()
    return DebiasedSimilarity(
        value,
        low,
        high,
        z,
        chance.upper_tail(z, found.skewness),
        reason or (Reason.ZERO_ROWS if counts.dropped else Reason.NONE),
        cross,
        within_1,
        within_2,
        found.plug_in,
        found.coverage,
        counts.neurons_1,
        counts.neurons_2,
        counts.dimension,
        counts.dropped,
        found.matched,
    )


def without_value(reason: Reason, counts: Counts) -> DebiasedSimilarity:
    """Return a result of which nothing but the reason is known."""
    unknown = math.nan
    return DebiasedSimilarity(
        *(unknown, unknown, unknown, unknown, unknown),
        reason,
        *(unknown, unknown, unknown, unknown, unknown),
        counts.neurons_1,
        counts.neurons_2,
        counts.dimension,
        counts.dropped,
    )


def _ratio(found: Measured, counts: Counts) -> tuple[float, float, float, Reason]:
    """Return value, bounds and reason."""
    unknown = (math.nan, math.nan, math.nan)
    within_1, within_2 = found.averages.means[1:].tolist()
    if min(counts.neurons_1, counts.neurons_2) < NEURONS or math.isnan(within_1 + within_2):
        return *unknown, Reason.TOO_FEW_NEURONS
    if found.matched:
        return *_related_ratio(found, counts), Reason.RELATED
    if min(within_1, within_2) <= 0:
        return *unknown, Reason.TOO_LITTLE_LEARNED
    if not bool(found.averages.degenerate.isfinite().all()):
        return *unknown, Reason.TOO_FEW_NEURONS
    return ratio_with_interval(found.averages)


def _related_ratio(found: Measured, counts: Counts) -> tuple[float, float, float]:
    """Return value and bounds of related networks: 1 for copies, no bounds where only some neurons match."""
    cross, within_1, within_2 = found.averages.means.tolist()
    everyone = found.matched == counts.neurons_1 == counts.neurons_2
    if everyone and found.plug_in > 1 - COPY:
        return 1.0, 1.0, 1.0
    if min(within_1, within_2) <= 0:
        return math.nan, math.nan, math.nan
    if not bool(found.averages.scatter.isfinite().all()):
        return cross / math.sqrt(within_1 * within_2), math.nan, math.nan
    return ratio_with_interval(found.averages)[:3]

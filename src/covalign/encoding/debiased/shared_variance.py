"""In how many directions do two layers agree, strong ones first?

The neurons of network a are dealt into halves. Let U_r be the r leading eigenvectors of one half's second moment, and

    excess(X, r) = mean over neurons x of X of |U_r^T x|^2 - r/d,

what neurons that did not choose U_r have along it beyond chance: unbiased, whatever the spectra. Numerators and
denominators are averaged over halves and splits before they are divided.

    forward   rho_r(a -> b) = excess(b, U_a) / excess(a's other half, U_a)     of a's directions, used by b
    shared    sqrt(rho_r(a -> b) rho_r(b -> a))                                  free of the strength of either
    containment of b in a: excess(b, U_a) / excess(b's other half, U_b)          b's variance among a's directions

A ratio of strengths alone (the same shape at a quarter of the strength) changes forward and backward, not `shared`.
Containment is asymmetric: a few directions may all lie among another network's many.

r ends at half the neurons: the other eigenvectors of a half are an arbitrary basis of its null space.

forward and backward have Fieller intervals (1954): every neuron has one score a rank, its squared length along U_r
averaged over the splits in which it did not choose U_r, and numerator and denominator have the variance of a mean of
scores of *different* networks. `shared` has none: strengths cancel in it, so that what is left of its spread is how
the halves chose U_r, which scores do not see: intervals from them held .70 to .90 of planted values, and those of a
jackknife over groups of neurons, in which it counts several times, held all of them at twice the width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike
from covalign.encoding.debiased.captured import captured
from covalign.encoding.debiased.interval import student_quantile
from covalign.encoding.debiased.pairing import Pair, aligned_pair
from covalign.encoding.debiased.products import Products
from covalign.encoding.debiased.statistics import NEURONS
from covalign.errors import InputError
from covalign.showing import Shown

POINTS = 16
"""Ranks at which a curve is given where none are asked for; our choice."""


@dataclass(frozen=True, eq=False, repr=False)
class SharedVariance(Shown):
    """Agreement of two layers as a function of the number r of leading directions; NaN where undefined.

    Attributes:
        ranks: numbers of directions.
        forward: rho_r(1 -> 2), ``[ranks]``.
        forward_interval: its 95 % interval over neurons, ``[ranks, 2]``: low and high; NaN where it has no bound.
        backward: rho_r(2 -> 1), ``[ranks]``.
        backward_interval: its interval, ``[ranks, 2]``.
        shared: their geometric mean ``[ranks]``, which no strength changes; with the sign of both, 0 where signs
            differ.
        containment_1_in_2: share ``[ranks]`` of network 1's variance found among network 2's directions.
        containment_2_in_1: share ``[ranks]`` of network 2's found among network 1's.
        reproducible_1: number of directions that network 1 learned reproducibly, at least.
        reproducible_2: of network 2.

    References:
        Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society B 16, 1954, for the
        intervals; the measure is our own, derived in ``docs/site/theory/debiased.md``.
    """

    ranks: tuple[int, ...]
    forward: Float64[Tensor, " ranks"]
    forward_interval: Float64[Tensor, "ranks 2"]
    backward: Float64[Tensor, " ranks"]
    backward_interval: Float64[Tensor, "ranks 2"]
    shared: Float64[Tensor, " ranks"]
    containment_1_in_2: Float64[Tensor, " ranks"]
    containment_2_in_1: Float64[Tensor, " ranks"]
    reproducible_1: int
    reproducible_2: int


def shared_variance(
    rows_1: ArrayLike,
    rows_2: ArrayLike,
    rotation: ArrayLike | None = None,
    *,
    spatial: int = 1,
    ranks: Sequence[int] | None = None,
    splits: int = 10,
    seed: int = 0,
) -> SharedVariance:
    """Compare two layers direction by direction.

    With U_r the r leading eigenvectors of half of network 1's neurons, and excess(X) = mean ``|U_r^T x|^2`` - r / d
    over neurons x of unit length,

        rho_r(1 -> 2) = excess(network 2) / excess(the other half of network 1),    shared = sqrt(rho_12 rho_21).

    All are shares, in no unit: 0 for unrelated layers, 1 for the same learned directions.

    Args:
        rows_1: ``[n1, d1]``, a row per neuron; lengths do not count.
        rows_2: ``[n2, d2]``; different widths meet in the narrower network's inputs.
        rotation: alignment A ``[d2, d1]``, on channels for convolutions; None for shared inputs.
        spatial: k^2 of a joint convolution, columns ordered (channel, space).
        ranks: numbers of directions, each at most min(n1 / 2, n2 / 2, d); by default 16 of them, evenly in log r.
        splits: ways to deal neurons into halves.
        seed: of the splits.

    Raises:
        InputError: unusable rows, fewer than four neurons, ranks out of range, or no splits.

    Example:
        A layer that uses two of eight directions beside one that uses four, those two among them. What the first
        learned is all found in the second, of which the first has a part:

        >>> generator = torch.Generator().manual_seed(0)
        >>> few, many = (torch.randn(400, 8, generator=generator) for _ in range(2))
        >>> few[:, :2] *= 4
        >>> many[:, :4] *= 4
        >>> found = shared_variance(few, many, ranks=[4])
        >>> round(float(found.containment_1_in_2), 1), round(float(found.containment_2_in_1), 1)
        (1.0, 0.3)
        >>> found.reproducible_1, found.reproducible_2
        (2, 4)

    References:
        Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society B 16, 1954, for the
        intervals; the measure is our own, derived in ``docs/site/theory/debiased.md``.
    """
    pair = aligned_pair(rows_1, rows_2, rotation, spatial=spatial)
    products = Products.of(pair.first, pair.second)
    return curve_of(pair, products, ranks=ranks, splits=splits, seed=seed)


def curve_of(
    pair: Pair,
    products: Products | None,
    *,
    ranks: Sequence[int] | None = None,
    splits: int = 10,
    seed: int = 0,
) -> SharedVariance:
    """Return the curve of unit-length neurons that are in common coordinates; arguments as of `shared_variance`.

    Raises:
        InputError: as `shared_variance`.
    """
    first, second = pair.first.rows, pair.second.rows
    most = min(len(first) // 2, len(second) // 2, first.shape[1])
    if min(len(first), len(second)) < NEURONS or splits < 1:
        raise InputError(
            f"shared variance: got {len(first)} and {len(second)} neurons that are not zero and {splits} splits, "
            f"expected at least {NEURONS} of each and a split"
        )
    chosen = _ranks(ranks, most)
    generator = torch.Generator().manual_seed(seed)
    inner = (products.first, products.cross.T) if products else None
    one = captured(first, second, inner, most, splits, generator)
    inner = (products.second, products.cross) if products else None
    two = captured(second, first, inner, most, splits, generator)
    index = torch.tensor(chosen) - 1
    own_1, forth = (one.excess(each)[index] for each in (one.own, one.other))
    own_2, back = (two.excess(each)[index] for each in (two.own, two.other))
    forward, backward = _divided(forth, own_1), _divided(back, own_2)
    quantile = student_quantile(min(len(first), len(second)) - 1)
    return SharedVariance(
        chosen,
        forward,
        _fieller(forth, own_1, one.spread(index), quantile),
        backward,
        _fieller(back, own_2, two.spread(index), quantile),
        _geometric(forward, backward),
        _divided(back, own_1),
        _divided(forth, own_2),
        one.reproducible(),
        two.reproducible(),
    )


def _ranks(ranks: Sequence[int] | None, most: int) -> tuple[int, ...]:
    if ranks is None:
        spaced = {round(most ** (i / (POINTS - 1))) for i in range(POINTS)}
        return tuple(sorted(spaced))
    if not len(ranks) or min(ranks) < 1 or max(ranks) > most:
        raise InputError(
            f"ranks: got {list(ranks)}, expected 1 to {most}: half the neurons, or the dimension; pass fewer"
        )
    return tuple(int(rank) for rank in ranks)


def _divided(over: Float64[Tensor, " r"], under: Float64[Tensor, " r"]) -> Float64[Tensor, " r"]:
    return torch.where(under > 0, over / under, torch.nan)


def _fieller(
    over: Float64[Tensor, " r"],
    under: Float64[Tensor, " r"],
    variances: tuple[Float64[Tensor, " r"], Float64[Tensor, " r"]],
    quantile: float,
) -> Float64[Tensor, "r 2"]:
    """Return all ratios rho whose `over - rho under` is not significant; independent numerators and denominators."""
    v_under, v_over = (quantile**2 * each for each in variances)
    leading = under.square() - v_under
    reach = (under.square() * v_over + over.square() * v_under - v_under * v_over).clamp(min=0).sqrt()
    ends = torch.stack([over * under - reach, over * under + reach], 1) / leading[:, None]
    return torch.where(((under > 0) & (leading > 0))[:, None], ends, torch.nan)


def _geometric(a: Float64[Tensor, " r"], b: Float64[Tensor, " r"]) -> Float64[Tensor, " r"]:
    product = a * b
    signed = torch.where(product > 0, a.sign() * product.clamp(min=0).sqrt(), 0.0)
    return torch.where(product.isnan(), torch.nan, signed)

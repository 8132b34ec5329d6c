"""What is measured of a pair of layers, before it becomes a ratio?

U_12, U_11 and U_22 with their uncertainty; how U_12 of all neurons is distributed over random rotations; whether
neurons of the two networks match one to one; and how much of the wider network the alignment covers.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor

from covalign.encoding.debiased import chance
from covalign.encoding.debiased.kernels import Features
from covalign.encoding.debiased.pairing import Pair
from covalign.encoding.debiased.products import Products
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.relatives import counterparts
from covalign.encoding.debiased.statistics import (
    Averages,
    Between,
    Within,
    between,
    independent,
    own_pairs,
    paired,
    within,
)


@dataclass(frozen=True)
class Counts:
    """How many neurons, columns, and neurons that were dropped."""

    neurons_1: int
    neurons_2: int
    dimension: int
    dropped: int

    @classmethod
    def of(cls, pair: Pair) -> "Counts":
        """Count a pair of layers."""
        first, second = pair.first, pair.second
        return cls(len(first.kept), len(second.kept), first.rows.shape[1], first.dropped + second.dropped)


@dataclass(frozen=True, eq=False)
class Measured:
    """What is measured of one pair of layers, before it becomes a ratio.

    Attributes:
        averages: U_12, U_11, U_22 and their uncertainty; U_12 without matched neurons.
        all_pairs: U_12 of all neurons.
        energy_1, energy_2: squared norms of the projected second moments.
        variance, skewness: of ``all_pairs`` over random rotations.
        matched: pairs of neurons left out.
        coverage: see `DebiasedSimilarity`.
    """

    averages: Averages
    all_pairs: float
    energy_1: float
    energy_2: float
    variance: float
    skewness: float
    matched: int
    coverage: float

    @property
    def plug_in(self) -> float:
        """Cosine of the projected second moments."""
        energy = math.sqrt(self.energy_1 * self.energy_2)
        return self.all_pairs / energy if energy > 0 else math.nan


def incomparable(pair: Pair) -> Reason:
    """Return why not even U_12 exists."""
    channels = pair.first.blocks.shape[1]
    if channels < 2 or (pair.axes is not None and len(pair.axes) >= channels * (channels + 1) / 2):
        return Reason.NO_CHANNELS
    return Reason.NONE if len(pair.first.kept) and len(pair.second.kept) else Reason.TOO_FEW_NEURONS


def measured(pair: Pair, products: Products | None = None, *, test: bool = True) -> Measured:
    """Measure one pair of layers; without ``test`` the variance over random rotations is NaN."""
    products = products or Products.of(pair.first, pair.second)
    features_1, features_2 = (
        pair.features(layer.blocks).widened(layer.leverage) for layer in (pair.first, pair.second)
    )
    first, second, cross = _averaged(features_1, features_2, _widened(pair, products))
    averages = independent(cross, first, second)
    matches = counterparts(pair.first, pair.second, products.cross if products else None)
    if len(matches):
        averages = without_pairs(features_1, features_2, averages, matches)
    spread = chance_moments(pair, first, second, products) if test else (math.nan, 0.0)
    energies = first.energy, second.energy
    return Measured(averages, cross.mean, *energies, *spread, len(matches), coverage(pair))


def _widened(pair: Pair, products: Products | None) -> Products | None:
    """Inner products of rows with the columns that a projection made necessary."""
    one, two = pair.first.leverage, pair.second.leverage
    return products if products is None or one is None or two is None else products.widened(one, two)


def _averaged(first: Features, second: Features, products: Products | None) -> tuple[Within, Within, Between]:
    if products is None:
        return within(first), within(second), between(first, second)
    return (
        within(first, products.first),
        within(second, products.second),
        between(first, second, products.cross),
    )


def without_pairs(
    first: Features, second: Features, averages: Averages, matches: Int64[Tensor, "m 2"]
) -> Averages:
    """Leave matched neurons out of U_12; where all are matched, pairs are the units that are drawn."""
    one, two = first.take(matches[:, 0]), second.take(matches[:, 1])
    if len(first) == len(second) == len(matches):
        return paired(one, two)
    pairs, means = len(first) * len(second), averages.means.clone()
    means[0] = (pairs * means[0] - float(own_pairs(one, two).sum())) / (pairs - len(matches))
    unknown = torch.full_like(averages.scatter, math.nan)
    return Averages(means, unknown, unknown, averages.freedom)


def chance_moments(
    pair: Pair, first: Within, second: Within, products: Products | None = None
) -> tuple[float, float]:
    """Return variance and skewness of U_12 over random rotations; NaN where common directions were removed.

    What is fitted to both networks and removed leaves them slightly alike: rotations of one would not be its chance.
    """
    if pair.first.leverage is not None:
        return math.nan, 0.0
    blocks_1, blocks_2 = pair.first.blocks, pair.second.blocks
    if pair.slots:
        return chance.slot_variance(blocks_1, blocks_2), 0.0
    energies = first.energy, second.energy
    if blocks_1.shape[2] > 1:
        return chance.joint_variance(blocks_1, blocks_2) * _left_by_axes(pair, *energies), 0.0
    inner = (products.first, products.second) if products else (None, None)
    skewness = chance.plain_skewness(pair.first.rows, pair.second.rows, *energies, inner)
    return chance.plain_variance(*energies, blocks_1.shape[1]), skewness


def coverage(pair: Pair) -> float:
    """Return sqrt(U^A / U) of the wider network: U^A from what the alignment leaves of its neurons.

    0 where nothing of it is seen; NaN with folded scales, where noise has another shape inside the range of A than
    outside.
    """
    if pair.wide is None or pair.covered is None:
        return 1.0
    if pair.axes is not None:
        return math.nan
    whole, inside = (within(pair.features(blocks)).mean for blocks in (pair.wide, pair.covered))
    return math.sqrt(max(0.0, inside) / whole) if whole > 0 else math.nan


def _left_by_axes(pair: Pair, energy_1: float, energy_2: float) -> float:
    """Share of the squared norms of both second moments that is left without what is diagonal in the channels."""
    if pair.axes is None:
        return 1.0
    plain = [within(pair.plain_features(layer.blocks)).energy for layer in (pair.first, pair.second)]
    return energy_1 * energy_2 / (plain[0] * plain[1]) if plain[0] * plain[1] > 0 else 0.0

"""What would be seen of populations that agree to a known degree?"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.calibration.plausible import Spectrum, plausible_populations
from covalign.encoding.calibration.statistics import (
    Visible,
    above_chance,
    agreement_statistics,
    chance_statistics,
)
from covalign.encoding.haar import haar_block
from covalign.encoding.resampling import sample_eigenvectors, sample_overlaps
from covalign.encoding.spiked import bulk_edges

SAMPLES, PAIRINGS = 12, 5
"""Simulated pairs of spectra, and degrees of agreement tried with each."""


CHANCE_ROTATIONS = 16
"""Rotations per simulated pair from which its chance level is averaged."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated statistics above chance with the S* behind them, and the power of the test against chance."""

    statistics: Float64[Tensor, "b 3"]
    truth: Float64[Tensor, " b"]
    power: float


def simulate(first: Spectrum, second: Spectrum, dimension: int, generator: torch.Generator) -> Simulation:
    """Samples of plausible populations in all degrees of agreement.

    An eighth of the populations share no direction and a quarter all of them. Otherwise a uniform share of the
    directions is common, at random ranks or (in two thirds of the cases, more or less) preferring strong ones,
    and in two fifths of the cases with a uniform cosine between u_i and v_i.
    """
    spikes1, spikes2 = plausible_populations(first, second, SAMPLES, generator)
    (visible1, axes1), (visible2, axes2) = (
        _draw(spikes, spectrum, generator) for spikes, spectrum in ((spikes1, first), (spikes2, second))
    )
    chance = chance_statistics(visible1, visible2, dimension, CHANCE_ROTATIONS, generator)
    level = _population_chance(spikes1, spikes2, dimension, generator)
    pick = torch.arange(SAMPLES * PAIRINGS) % SAMPLES
    agreement, full = _agreements(spikes1.shape[1], spikes2.shape[1], dimension, generator)
    overlaps = sample_overlaps(axes1[pick], axes2[pick], agreement, dimension, generator)
    statistics = agreement_statistics(visible1.take(pick), visible2.take(pick), overlaps, dimension)
    mean = chance.mean(0)[pick]
    cosine = _population_cosine(spikes1[pick], agreement, spikes2[pick])
    threshold = mean[:, 0] + 1.645 * chance[..., 0].std(0).mean()
    return Simulation(
        above_chance(statistics, mean),
        (cosine - level[pick]) / (1 - level[pick]),
        float((statistics[:, 0] > threshold)[full].double().mean()),
    )


def _draw(
    spikes: Float64[Tensor, "b r"], spectrum: Spectrum, generator: torch.Generator
) -> tuple[Visible, Float64[Tensor, "b r k"]]:
    """Sample eigenvalues and eigenvector coordinates, as far as any sample shows them above the edge."""
    count = min(spikes.shape[1] + 3, len(spectrum.eigenvalues))
    values, axes = sample_eigenvectors(spikes, spectrum.neurons, spectrum.dimension, count, generator)
    seen = max(int((values > bulk_edges(spectrum.gamma)[1]).sum(1).max()), 2)
    return Visible.of(values[:, :seen], spectrum.gamma), axes[:, :, :seen]


def _agreements(
    rank1: int, rank2: int, dimension: int, generator: torch.Generator
) -> tuple[Float64[Tensor, "b r1 r2"], Tensor]:
    """Overlap matrices U₁ᵀU₂ of population eigenvectors, and which of them agree fully."""
    count, rank = SAMPLES * PAIRINGS, min(rank1, rank2)
    share = torch.rand(count, generator=generator, dtype=torch.float64)
    cosine = torch.where(
        torch.rand(count, generator=generator) < 0.6,
        1.0,
        torch.rand(count, generator=generator, dtype=torch.float64),
    )
    none, full = torch.zeros(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)
    none[: count // 8] = True
    full[count // 8 : 3 * count // 8] = True
    share = torch.where(none, 0.0, torch.where(full, 1.0, share))
    if rank1 + rank2 > dimension:
        cosine = torch.ones_like(cosine)
    cosine = torch.where(full, 1.0, cosine)
    favour = (3 * torch.rand(count, 1, generator=generator) - 1).clamp(min=0)
    order = torch.rand(count, rank, generator=generator) + favour * torch.linspace(0, 1, rank)
    order = order.argsort(1).argsort(1)
    shared = order < (share * rank).round()[:, None]
    overlap = haar_block(count, dimension, rank1, rank2, generator, shared)
    common = torch.nn.functional.pad(shared, (0, rank2 - rank))
    return torch.where(common[:, None], overlap * cosine[:, None, None], overlap), full


def _population_chance(
    spikes1: Float64[Tensor, "b r1"],
    spikes2: Float64[Tensor, "b r2"],
    dimension: int,
    generator: torch.Generator,
) -> Float64[Tensor, " b"]:
    """The level z of every simulated pair of populations."""
    batch, r1 = spikes1.shape
    r2 = spikes2.shape[1]
    blocks = haar_block(CHANCE_ROTATIONS * batch, dimension, r1, r2, generator).reshape(-1, batch, r1, r2)
    return _population_cosine(spikes1, blocks, spikes2).mean(0)


def _population_cosine(
    spikes1: Float64[Tensor, "b r1"],
    overlap: Float64[Tensor, "*draws b r1 r2"],
    spikes2: Float64[Tensor, "b r2"],
) -> Float64[Tensor, "*draws b"]:
    weighted = spikes1.sqrt()[:, :, None] * overlap * spikes2.sqrt()[:, None]
    nuclear: Tensor = torch.linalg.svdvals(weighted).sum(-1)
    return nuclear / (spikes1.sum(1) * spikes2.sum(1)).sqrt()

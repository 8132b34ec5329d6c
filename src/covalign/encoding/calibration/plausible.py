"""Which populations could two noisy spectra have come from?

The spikes of a population are fitted so that samples drawn from it show the observed eigenvalues. What lies
below the bulk edge is not thrown away: the traces

    m = tr Σ̂ - d,    s = (tr Σ̂² - (tr Σ̂)²/n) n²/((n - 1)(n + 2)) - 2 tr Σ̂ + d

estimate tr C and tr C² of the signal C = Σ - I without bias, missed spikes included (Srivastava 2005). The
first says how many spikes there are, the second how unequal they are: the fitted spectrum, widened by noise,
is contracted towards its mean until tr C²/(tr C)² is as measured. Spectra of two matrices that differ no more
than two samples of one population are pooled.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.resampling import sample_eigenvalues
from covalign.encoding.spiked import bulk_edges, population_spike

ROUNDS, DRAWS = 3, 8
"""Rounds of fitting, and samples drawn in each."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Sample eigenvalues of one weight covariance.

    Attributes:
        eigenvalues: all non-zero ones, descending, in units of the noise variance.
        neurons: n.
        dimension: d of one neuron.
    """

    eigenvalues: Float64[Tensor, " r"]
    neurons: int
    dimension: int

    @property
    def gamma(self) -> float:
        """Aspect ratio d/n."""
        return self.dimension / self.neurons

    @property
    def kept(self) -> int:
        """Number of eigenvalues above the upper bulk edge."""
        return int((self.eigenvalues > bulk_edges(self.gamma)[1]).sum())

    @property
    def trace(self) -> float:
        """Unbiased estimate of tr C."""
        return float(self.eigenvalues.sum()) - self.dimension

    @property
    def concentration(self) -> float:
        """Estimate of tr C²/(tr C)², from the unbiased estimates of both."""
        n, total = self.neurons, float(self.eigenvalues.sum())
        square = (float(self.eigenvalues.square().sum()) - total**2 / n) * n**2 / ((n - 1) * (n + 2))
        return (square - 2 * total + self.dimension) / self.trace**2


def fit_spikes(spectrum: Spectrum, *, seed: int = 0) -> Float64[Tensor, " r"]:
    """Population spikes whose samples show the observed eigenvalues on average, descending.

    Starts from the inverse map of the spiked model, which holds for few and well separated spikes, and moves
    each spike by what its simulated eigenvalue misses (always the same noise, so that this converges). As
    many spikes below the edge are added as the trace asks for, at the weakest strength √γ that could show.
    """
    kept, root = spectrum.kept, math.sqrt(spectrum.gamma)
    most = min(kept + kept // 2 + 4, len(spectrum.eigenvalues) - 1)
    observed = _visible_spike(spectrum.eigenvalues[:most], spectrum.gamma)
    spikes = observed.clamp(min=root)
    for _ in range(ROUNDS):
        population = _with_trace(spikes, kept, spectrum.trace)
        simulated = sample_eigenvalues(
            population.expand(DRAWS, -1),
            spectrum.neurons,
            spectrum.dimension,
            most,
            torch.Generator().manual_seed(seed),
        )
        missed = observed - _visible_spike(simulated, spectrum.gamma).mean(0)
        moved = spikes + torch.where(torch.arange(most) < len(population), missed, 0.0)
        spikes = moved.clamp(min=root).sort(descending=True).values
    return _with_trace(spikes, kept, spectrum.trace)


def plausible_populations(
    first: Spectrum, second: Spectrum, draws: int, generator: torch.Generator
) -> tuple[Float64[Tensor, "b r1"], Float64[Tensor, "b r2"]]:
    """Draw pairs of populations that could have shown these spectra.

    Between draws, trace and concentration vary by their standard errors; the shape of the fitted spectrum
    and its rank stay.
    """
    spectra = (first, second)
    fits = (fit_spikes(first), fit_spikes(second))
    own = _distinctness(first, second, *fits)
    share = first.neurons / (first.neurons + second.neurons)
    shapes = _pooled_shapes(*fits, own, share)
    measured = [spectrum.concentration for spectrum in spectra]
    common = share * measured[0] + (1 - share) * measured[1]
    wanted = [own * value + (1 - own) * common for value in measured]
    errors = [
        _standard_errors(contract(shape, value) * float(fit.sum()), spectrum)
        for shape, value, fit, spectrum in zip(shapes, wanted, fits, spectra, strict=True)
    ]
    z = torch.randn(4, draws, generator=generator, dtype=torch.float64)
    z = (z - z.mean(1, keepdim=True)) / z.std(1, correction=0, keepdim=True)
    shift = [errors[0].concentration * z[0], errors[1].concentration * z[1]]
    both = share * shift[0] + (1 - share) * shift[1]
    first_draws, second_draws = (
        torch.stack(
            [
                contract(shapes[i], wanted[i] * math.exp(log_change))
                * float(fits[i].sum())
                * math.exp(log_size)
                for log_change, log_size in zip(
                    (own * shift[i] + (1 - own) * both).tolist(),
                    (errors[i].trace * z[2 + i]).tolist(),
                    strict=True,
                )
            ]
        )
        for i in (0, 1)
    )
    return first_draws, second_draws


def contract(shape: Float64[Tensor, " r"], concentration: float) -> Float64[Tensor, " r"]:
    """Spikes of sum 1, moved towards their mean until Σx² is ``concentration``; never further apart.

    A tenth of the spread always remains.
    """
    share = shape / shape.sum()
    mean = 1 / len(share)
    spread = float((share - mean).square().sum())
    wanted = max(concentration - mean, 0.0)
    factor = math.sqrt(wanted / spread) if spread > 0 else 1.0
    return mean + min(max(factor, 0.1), 1.0) * (share - mean)


@dataclass(frozen=True)
class _Errors:
    trace: float
    concentration: float


def _standard_errors(spikes: Float64[Tensor, " r"], spectrum: Spectrum) -> _Errors:
    """Standard errors of log m and log s/m² for Gaussian neurons, by the delta method."""
    n, m, s = spectrum.neurons, float(spikes.sum()), float(spikes.square().sum())
    energy = spectrum.dimension + 2 * m + s
    in_trace = 2 * energy / n
    in_square = 4 * energy**2 / n**2 + 8 * float((spikes * (1 + spikes)).square().sum()) / n
    in_both = 4 * float((spikes * (1 + spikes) ** 2).sum()) / n
    ratio = in_square / s**2 + 4 * in_trace / m**2 - 4 * in_both / (s * m)
    return _Errors(math.sqrt(in_trace) / m, math.sqrt(max(ratio, 0.0)))


def _visible_spike(eigenvalues: Float64[Tensor, "..."], gamma: float) -> Float64[Tensor, "..."]:
    """The inverse map of the spiked model, continued below the edge with slope 1."""
    edge = bulk_edges(gamma)[1]
    return torch.where(
        eigenvalues > edge, population_spike(eigenvalues, gamma), math.sqrt(gamma) + eigenvalues - edge
    )


def _with_trace(spikes: Float64[Tensor, " r"], kept: int, trace: float) -> Float64[Tensor, " s"]:
    """The leading spikes whose sum reaches ``trace``, at least the visible ones; the last one is cut to fit."""
    total = spikes.cumsum(0)
    rank = min(max(int((total < trace).sum()) + 1, kept), len(spikes))
    chosen = spikes[:rank].clone()
    if rank > kept:
        excess = max(float(total[rank - 1]) - trace, 0.0)
        chosen[-1] = max(float(chosen[-1]) - excess, 0.1 * float(chosen[-1]))
    return chosen


def _distinctness(
    first: Spectrum, second: Spectrum, spikes1: Float64[Tensor, " r1"], spikes2: Float64[Tensor, " r2"]
) -> float:
    """How much of the difference between two spectra is more than sampling, from 0 (none) to 1.

    1 - D₀/D, at least 0, where D = 1 - cosine of the root spectra and D₀ is what two samples of the pooled
    population show.
    """
    rank = max(len(spikes1), len(spikes2))
    pooled = _pooled_shapes(spikes1, spikes2, 0.0, first.neurons / (first.neurons + second.neurons), rank)[0]
    count = min(rank, len(first.eigenvalues), len(second.eigenvalues))
    seen, simulated = [], []
    for seed, (spectrum, spikes) in enumerate(((first, spikes1), (second, spikes2))):
        population = (pooled * spikes.sum()).expand(2 * DRAWS, -1)
        generator = torch.Generator().manual_seed(seed + 1)
        values = sample_eigenvalues(population, spectrum.neurons, spectrum.dimension, count, generator)
        seen.append(_direction(spectrum.eigenvalues[:count], spectrum.gamma))
        simulated.append(_direction(values, spectrum.gamma))
    difference = 1 - float((seen[0] * seen[1]).sum())
    expected = 1 - float((simulated[0] * simulated[1]).sum(1).mean())
    return max(1 - expected / difference, 0.0) if difference > 0 else 0.0


def _direction(eigenvalues: Float64[Tensor, "*b r"], gamma: float) -> Float64[Tensor, "*b r"]:
    root = _visible_spike(eigenvalues, gamma).clamp(min=0).sqrt()
    return torch.div(root, root.norm(dim=-1, keepdim=True))


def _pooled_shapes(
    spikes1: Float64[Tensor, " r1"],
    spikes2: Float64[Tensor, " r2"],
    own: float,
    share: float,
    rank: int | None = None,
) -> tuple[Float64[Tensor, " s1"], Float64[Tensor, " s2"]]:
    """Spectra of unit sum between the own one (``own`` = 1) and the mean of both root spectra (0).

    Ranks follow in the same way, unless ``rank`` is given.
    """
    longest = max(len(spikes1), len(spikes2))
    roots = [torch.nn.functional.pad((x / x.sum()).sqrt(), (0, longest - len(x))) for x in (spikes1, spikes2)]
    mean_root = share * roots[0] + (1 - share) * roots[1]
    mean_root = mean_root / mean_root.norm()
    mean_rank = share * len(spikes1) + (1 - share) * len(spikes2)
    shapes = []
    for root, spikes in zip(roots, (spikes1, spikes2), strict=True):
        length = rank or round(own * len(spikes) + (1 - own) * mean_rank)
        mixed = (own * root + (1 - own) * mean_root).square()[:length]
        shapes.append(mixed / mixed.sum())
    return shapes[0], shapes[1]

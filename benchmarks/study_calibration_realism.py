"""Does the calibrated similarity hold for layers that were trained, and do its intervals tell the truth?

The calibration study plants what the estimator assumes. Here the planted layers are as two trained networks show
theirs, one departure at a time: neurons whose lengths vary as measured, heavy tails, the trained networks' own
initial weights as noise, amplified along what was learned as measured, and agreement that depends on rank. Two more
explain why the bulk of trained layers lies above that of their initial weights: spectra that decay through the edge
instead of ending there ("tail": x_k ∝ exp(-(k/τ)^β), trace and concentration as measured, β from the whole spectrum),
and noise that training raised in all directions ("raised": by the level of the bulk's median). Some rows are
estimated a second time in units of that level instead of the initial variance.

Two checks need no planted truth. Random halves of one layer's neurons are samples of one population, so that their
similarity is 1. And groups of neurons are left out in turn (delete-group jackknife, Shao & Wu 1989).

    python benchmarks/study_calibration_realism.py RUN_A RUN_B --images DATA [--planted 3 6] [--repeats 8]

The store is the one that COVALIGN_STORE names. Prints Markdown tables.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from covalign.data.loading import load_images
from covalign.encoding.calibration.estimate import Calibration, calibrated_similarity
from covalign.encoding.calibration.plausible import Spectrum, plausible_populations
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.haar import haar_block, normal
from covalign.encoding.noise import noise_level
from covalign.studies.comparison.measure import align
from covalign.training.store import load_run

BETAS = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 2.0)
GROUPS, SEEDS = 8, 2
"""Groups of neurons left out in turn, and seeds over which each estimate is averaged."""


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True, eq=False)
class Pair:
    """One layer of both networks: rows in units of the initial standard deviation, in common coordinates."""

    weights: tuple[Tensor, Tensor]
    initial: tuple[Tensor, Tensor]

    @property
    def spectra(self) -> list[Spectrum]:
        """In units of the initial variance."""
        return [spectrum(rows) for rows in self.weights]

    @property
    def shape(self) -> tuple[int, int]:
        """Neurons and dimensions."""
        return tuple(self.weights[0].shape)

    @property
    def level(self) -> float:
        """Noise variance that the bulks show, in units of the initial one."""
        return sum(bulk_level(rows) for rows in self.weights) / 2

    @property
    def relative_lengths(self) -> list[Tensor]:
        """Length of each neuron, root mean square 1."""
        return [w.norm(dim=1) / w.square().sum(1).mean().sqrt() for w in self.weights]

    @property
    def amplification(self) -> Tensor:
        """What the update adds to the initial weights along its own k-th direction, as a multiple of them."""
        found = []
        for trained, initial in zip(self.weights, self.initial, strict=True):
            update = trained - initial
            axes = torch.linalg.svd(update, full_matrices=False).Vh.T
            along = ((update @ axes) * (initial @ axes)).sum(0) / (initial @ axes).square().sum(0)
            found.append(torch.cat([part.mean().expand(len(part)) for part in along.split(8)]))
        return (found[0] + found[1]) / 2


def spectrum(rows: Tensor) -> Spectrum:
    return Spectrum(weight_covariance(rows).eigenvalues, *rows.shape)


def bulk_level(rows: Tensor) -> float:
    return noise_level(spectrum(rows).eigenvalues, *rows.shape)


def in_own_units(rows: Tensor) -> Tensor:
    """Rows in units of the noise that their own bulk shows."""
    return rows / bulk_level(rows) ** 0.5


def estimate(first: Tensor, second: Tensor, seed: int = 0) -> Calibration:
    return calibrated_similarity(weight_covariance(first), weight_covariance(second), seed=seed)


def pairs(run_a: str, run_b: str, images: str, depths: list[int]) -> Iterator[tuple[int, Pair]]:
    a, b = load_run(run_a), load_run(run_b)
    names = [a.network.layers[depth - 1].name for depth in depths]
    found = align(a, b, load_images(images).sample(10_000, seed=0), names)
    for depth, name in zip(depths, names, strict=True):
        one, two = a.network.layer(name), b.network.layer(name)
        turn = found[name].rotation.T
        rows = [
            tuple(w.double().flatten(1) / layer.init_variance**0.5 for w in (layer.weight, layer.initial))
            for layer in (one, two)
        ]
        yield depth, Pair((rows[0][0] @ turn, rows[1][0]), (rows[0][1] @ turn, rows[1][1]))


def decaying(beta: float, concentration: float, rank: int) -> Tensor:
    """exp(-(k/τ)^β) of unit sum and of the given sum of squares."""
    k, low, high = torch.arange(rank, dtype=torch.float64), 0.01, 1e4
    for _ in range(60):
        tau = math.sqrt(low * high)
        share = torch.softmax(-((k / tau) ** beta), 0)
        low, high = (tau, high) if float(share.square().sum()) > concentration else (low, tau)
    return share


def misfit(spikes: Tensor, pair: Pair, level: float = 1.0) -> tuple[float, float]:
    """Root mean square error of log eigenvalues, above the edge and below, of mean samples."""
    n, d = pair.shape
    seen = torch.stack([s.eigenvalues for s in pair.spectra]).log().mean(0)
    draws = [
        torch.linalg.eigvalsh(rows @ rows.T * level / n).flip(0)
        for rows in (planted_rows(spikes, n, d, seeded(seed)) for seed in range(12))
    ]
    error = (torch.stack(draws).log().mean(0) - seen).square()
    kept = min(s.kept for s in pair.spectra)
    return float(error[:kept].mean().sqrt()), float(error[kept:].mean().sqrt())


def planted_rows(spikes: Tensor, n: int, d: int, generator: torch.Generator) -> Tensor:
    rows = normal(n, d, generator=generator)
    rows[:, : len(spikes)] *= (1 + spikes).sqrt()
    return rows


@dataclass(frozen=True, eq=False)
class Population:
    """Spikes that could be a layer's, in units of the noise, which is ``level`` times the initial variance."""

    spikes: Tensor
    beta: float = math.nan
    level: float = 1.0


def populations(pair: Pair) -> tuple[Population, Population, Population]:
    """As the estimator assumes them; decaying through the edge; ending there, above raised noise."""
    d, spectra = pair.shape[1], pair.spectra
    trace = sum(s.trace for s in spectra) / 2
    concentration = sum(s.concentration for s in spectra) / 2
    cut = plausible_populations(*spectra, 12, seeded(0))[0].mean(0)
    tails = {beta: trace * decaying(beta, concentration, d // 2) for beta in BETAS}
    best = min(BETAS, key=lambda beta: math.hypot(*misfit(tails[beta], pair)))
    own = [spectrum(in_own_units(rows)) for rows in pair.weights]
    above = plausible_populations(*own, 12, seeded(0))[0].mean(0)
    return Population(cut), Population(tails[best], best), Population(above, level=pair.level)


@dataclass(frozen=True, eq=False)
class Departure:
    """A planted pair of layers, and what in it departs from the estimator's assumptions."""

    name: str
    population: Population
    cosines: Callable[[torch.Generator], Tensor]
    lengths: list[Tensor] | None = None
    freedom: float | None = None
    noise: tuple[Tensor, Tensor] | None = None
    amplification: Tensor | None = None
    twice: bool = False

    def draw(self, n: int, d: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Two weight matrices, and the overlaps UᵀV of their populations' eigenvectors."""
        spikes, cosines = self.population.spikes, self.cosines(generator)
        r = len(spikes)
        overlap = haar_block(1, d, r, r, generator, (cosines > 0)[None])[0]
        overlap = torch.where(cosines > 0, cosines * overlap, overlap)
        values, vectors = torch.linalg.eigh(torch.eye(r, dtype=torch.float64) - overlap.T @ overlap)
        second = torch.cat([overlap, values.clamp(min=0).sqrt()[:, None] * vectors.T])
        frame = torch.eye(d, 2 * r, dtype=torch.float64)
        if self.noise is not None:
            frame = torch.linalg.qr(normal(d, 2 * r, generator=generator)).Q
        first = self._rows(frame[:, :r], n, 0, generator)
        return first, self._rows(frame @ second, n, 1, generator), overlap

    def _rows(self, basis: Tensor, n: int, which: int, generator: torch.Generator) -> Tensor:
        spikes = self.population.spikes
        noise = normal(n, len(basis), generator=generator) if self.noise is None else self.noise[which]
        scores = normal(n, len(spikes), generator=generator)
        if self.freedom is not None:
            half = torch.full((n, 1), self.freedom / 2, dtype=torch.float64)
            chi = 2 * torch._standard_gamma(half, generator=generator)
            scores = scores * ((self.freedom - 2) / chi).sqrt()
        if self.amplification is None:
            signal = scores * spikes.sqrt()
        else:
            rank = torch.arange(len(spikes)).clamp(max=len(self.amplification) - 1)
            gain = torch.minimum(self.amplification[rank], (1 + spikes).sqrt() - 1)
            signal = noise @ basis * gain + scores * (1 + spikes - (1 + gain) ** 2).clamp(min=0).sqrt()
        rows = noise + signal @ basis.T
        if self.lengths is not None:
            rows = rows * self.lengths[which][torch.randperm(n, generator=generator), None]
        return rows * self.population.level**0.5


def cosine(spikes: Tensor, overlap: Tensor) -> Tensor:
    weighted = spikes.sqrt()[:, None] * overlap * spikes.sqrt()
    return torch.linalg.svdvals(weighted).sum(-1) / spikes.sum()


def chance(spikes: Tensor, d: int) -> float:
    r = len(spikes)
    return float(cosine(spikes, haar_block(6, d, r, r, seeded(1))).mean())


def at_random_ranks(population: Population, share: float) -> Callable[[torch.Generator], Tensor]:
    r = len(population.spikes)
    return lambda generator: (torch.rand(r, generator=generator).argsort() < round(share * r)).double()


def strong_ones(population: Population, share: float) -> Callable[[torch.Generator], Tensor]:
    """The leading directions that hold ``share`` of the trace are common, the others unrelated."""
    spikes = population.spikes
    return lambda generator: (spikes.cumsum(0) <= share * spikes.sum()).double()


def all_in_part(population: Population, d: int, similarity: float) -> Callable[[torch.Generator], Tensor]:
    z = chance(population.spikes, d)
    level = torch.full((len(population.spikes),), z + similarity * (1 - z), dtype=torch.float64)
    return lambda generator: level


def departures(pair: Pair) -> list[Departure]:
    cut, tail, raised = populations(pair)
    d = pair.shape[1]
    base = Departure("as assumed, half shared", cut, at_random_ranks(cut, 0.5))
    real = {
        "lengths": pair.relative_lengths,
        "noise": pair.initial,
        "amplification": pair.amplification,
        "twice": True,
    }
    return [
        Departure("as assumed, all shared", cut, at_random_ranks(cut, 1), twice=True),
        replace(base, twice=True),
        replace(base, name="neuron lengths as measured", lengths=pair.relative_lengths),
        replace(base, name="heavy tails: Student's t, 5 degrees", freedom=5),
        replace(base, name="real initial weights, amplified as measured", noise=pair.initial,
                amplification=pair.amplification),
        replace(base, name="strong directions shared", cosines=strong_ones(cut, 0.5)),
        replace(base, name="all directions in part", cosines=all_in_part(cut, d, 0.5)),
        Departure("tail, all shared", tail, at_random_ranks(tail, 1), twice=True),
        Departure("tail, half shared", tail, at_random_ranks(tail, 0.5), twice=True),
        Departure("tail, strong shared, all else as measured", tail, strong_ones(tail, 0.6), **real),
        Departure("raised, all shared", raised, at_random_ranks(raised, 1), twice=True),
        Departure("raised, half shared", raised, at_random_ranks(raised, 0.5), twice=True),
        Departure("raised, strong shared, all else as measured", raised, strong_ones(raised, 0.6), **real),
    ]  # fmt: skip


def measure(planted: Departure, n: int, d: int, repeats: int) -> str:
    """A row: mean S*; bias, half-width and coverage in units of the initial variance, then of the bulk."""
    spikes = planted.population.spikes
    z = chance(spikes, d)
    truths, found = [], [[], []]
    for seed in range(repeats):
        first, second, overlap = planted.draw(n, d, seeded(seed))
        truths.append((float(cosine(spikes, overlap)) - z) / (1 - z))
        found[0].append(estimate(first, second, seed))
        if planted.twice:
            found[1].append(estimate(in_own_units(first), in_own_units(second), seed))
    columns = [summary(results, truths) for results in found]
    return f"{sum(truths) / repeats:.2f} | {' | '.join(columns)}"


def summary(results: list[Calibration], truths: list[float]) -> str:
    """Mean error with its standard error, mean half-width, and how many intervals hold the truth."""
    pairs = [(r, t) for r, t in zip(results, truths, strict=False) if not math.isnan(r.value)]
    if len(pairs) < 3:
        return f"withheld in {len(results) - len(pairs)} of {len(results)} | | " if results else " | | "
    error = torch.tensor([r.value - t for r, t in pairs], dtype=torch.float64)
    inside = sum(r.low <= t <= r.high for r, t in pairs)
    width = sum(r.high - r.low for r, _ in pairs) / 2 / len(pairs)
    return (
        f"{error.mean():+.3f} ± {error.std() / math.sqrt(len(pairs)):.3f} | {width:.3f} | "
        f"{inside} of {len(pairs)}"
    )


def halves(rows: Tensor, repeats: int = 8) -> str:
    """Mean, spread and coverage of the similarity of random halves of one layer's neurons, which is 1."""
    half = len(rows) // 2
    values, covers = [], []
    for seed in range(repeats):
        order = torch.randperm(len(rows), generator=seeded(seed))
        result = estimate(rows[order[:half]], rows[order[half : 2 * half]], seed)
        if not math.isnan(result.value):
            values.append(result.value)
            covers.append(result.low <= 1 <= result.high)
    if len(values) < 3:
        return f"withheld in {repeats - len(values)} of {repeats}"
    value = torch.tensor(values)
    return f"{value.mean():.2f} ± {value.std():.2f}, covers {sum(covers)} of {len(covers)}"


def averaged(first: Tensor, second: Tensor) -> tuple[float, float]:
    """Mean over seeds, and the variance of that mean."""
    values = torch.tensor([estimate(first, second, seed).value for seed in range(SEEDS)])
    return float(values.mean()), float(values.var()) / SEEDS


def jackknife(pair: Pair) -> tuple[float, int]:
    """Standard error without groups of neurons, less what the simulation's own noise adds; groups used."""
    variance, used = 0.0, 0
    for which in (0, 1):
        order = torch.randperm(pair.shape[0], generator=seeded(which))
        found = []
        for group in order.chunk(GROUPS):
            left = torch.ones(len(order), dtype=torch.bool)
            left[group] = False
            rows = list(pair.weights)
            rows[which] = rows[which][left]
            found.append(averaged(*rows))
        given = torch.tensor([entry for entry in found if not math.isnan(entry[0])], dtype=torch.float64)
        if len(given) > 1:
            used += len(given)
            variance += (GROUPS - 1) ** 2 / GROUPS * float(given[:, 0].var() - given[:, 1].mean())
    return math.sqrt(max(variance, 0.0)), used


def over_seeds(first: Tensor, second: Tensor) -> str:
    """Mean, spread and range of ten seeds, and mean half-width."""
    results = [estimate(first, second, seed) for seed in range(10)]
    values = torch.tensor([result.value for result in results])
    width = sum(result.high - result.low for result in results) / 20
    return (
        f"{values.mean():.2f} | {values.std():.3f} | {values.min():.2f} to {values.max():.2f} | {width:.3f}"
    )


def real(pair: Pair) -> str:
    error, used = jackknife(pair)
    return (
        f"{over_seeds(*pair.weights)} | {1.96 * error:.3f} ({used} of {2 * GROUPS}) | "
        f"{over_seeds(*map(in_own_units, pair.weights))}"
    )


def table(*columns: str) -> None:
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|", flush=True)


def main(run_a: str, run_b: str, images: str, depths: list[int], planted_as: list[int], repeats: int) -> None:
    torch.set_num_threads(1)
    layers = dict(pairs(run_a, run_b, images, depths))
    start = time.process_time()
    shapes = {depth: populations(pair) for depth, pair in layers.items()}
    table("layer", "n, d", "kept", "hard cut: error above, below the edge", "tail: β, errors",
          "raised: level, errors", "tail's trace below √γ", "spread of lengths",
          "amplification, first, last")  # fmt: skip
    for depth, pair in layers.items():
        _, tail, raised = shapes[depth]
        n, d = pair.shape
        weak = float(tail.spikes[tail.spikes < math.sqrt(d / n)].sum() / tail.spikes.sum())
        errors = ["{:.3f}, {:.3f}".format(*misfit(p.spikes, pair, p.level)) for p in shapes[depth]]
        lengths = sum(float(x.std()) for x in pair.relative_lengths) / 2
        gain = pair.amplification
        print(f"| {depth} | {n}, {d} | {', '.join(str(s.kept) for s in pair.spectra)} | {errors[0]} | "
              f"{tail.beta:g}: {errors[1]} | {raised.level:.2f}: {errors[2]} | {weak:.0%} | {lengths:.2f} | "
              f"{gain[0]:+.1f}, {gain[-1]:+.1f} |", flush=True)  # fmt: skip
    table("layer", "halves of real neurons", "planted, hard cut", "planted, tail", "planted, raised",
          "real, in the bulk's units")  # fmt: skip
    for depth, pair in layers.items():
        n, d = pair.shape
        rows = [planted_rows(p.spikes, n, d, seeded(9)) * p.level**0.5 for p in shapes[depth]]
        cells = [halves(w) for w in (pair.weights[0], *rows, in_own_units(pair.weights[0]))]
        print(f"| {depth} | {' | '.join(cells)} |", flush=True)
    table("layer", "mean of 10 seeds", "spread", "range", "half-width", "jackknife, 1.96 se (groups given)",
          "in the bulk's units", "spread", "range", "half-width")  # fmt: skip
    for depth, pair in layers.items():
        print(f"| {depth} | {real(pair)} |", flush=True)
    table("layer", "planted", "S*", "bias", "half-width", "covered", "bias in the bulk's units", "half-width",
          "covered")  # fmt: skip
    for depth in planted_as:
        for planted in departures(layers[depth]):
            row = measure(planted, *layers[depth].shape, repeats)
            print(f"| {depth} | {planted.name} | {row} |", flush=True)
    print(f"\n{time.process_time() - start:.0f} s of one core, after the alignment")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs=2)
    parser.add_argument("--images", required=True)
    parser.add_argument("--layers", nargs="+", type=int, default=[3, 5, 6, 7, 8])
    parser.add_argument("--planted", nargs="+", type=int, default=[3, 6])
    parser.add_argument("--repeats", type=int, default=8)
    options = parser.parse_args()
    main(*options.runs, options.images, options.layers, options.planted, options.repeats)

"""All Bures-Wasserstein distances of eight covariances of 60 spikes in 512 dimensions, from factors.

Rivals: POT (`ot.gaussian.bures_wasserstein_distance`) and pyRiemann (`distance_wasserstein`), which take square
roots of dense matrices, and the formula with one cached root a covariance. All start from covariances in the form
that they take.

    python benchmarks/bench_bures_wasserstein.py
"""

import itertools
from importlib.metadata import version

import ot
import torch
from harness import measured, products, write
from pyriemann.geometry.distance import distance_wasserstein

from covalign.encoding.bures import bures_wasserstein_distances
from covalign.encoding.covariance import WeightCovariance

COUNT, DIMENSION, SPIKES = 8, 512, 60
DEFINITE = 1e-5
"""Added to the diagonal for pyRiemann, which refuses the zeros of a covariance of few spikes."""
PAIRS = list(itertools.combinations(range(COUNT), 2))


def main() -> None:
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    spectrum = torch.linspace(30, 1, SPIKES, dtype=torch.float64)
    ours = [
        WeightCovariance(
            spectrum * torch.rand(SPIKES, generator=draw, dtype=torch.float64).sort(descending=True).values,
            torch.linalg.qr(torch.randn(DIMENSION, SPIKES, generator=draw, dtype=torch.float64)).Q,
            DIMENSION,
        )
        for _ in range(COUNT)
    ]
    dense = [c.eigenvectors * c.eigenvalues @ c.eigenvectors.T for c in ours]
    definite = [(c + DEFINITE * torch.eye(DIMENSION, dtype=torch.float64)).numpy() for c in dense]
    zero = torch.zeros(DIMENSION, dtype=torch.float64)

    def factored() -> list[float]:
        table = bures_wasserstein_distances(ours)
        return [float(table[pair]) for pair in PAIRS]

    def pot(pairs: list[tuple[int, int]]) -> list[float]:
        distance = ot.gaussian.bures_wasserstein_distance
        return [float(distance(zero, zero, dense[i], dense[j])) for i, j in pairs]

    def riemann(pairs: list[tuple[int, int]]) -> list[float]:
        return [float(distance_wasserstein(definite[i], definite[j])) for i, j in pairs]

    def cached(pairs: list[tuple[int, int]]) -> list[float]:
        roots = {}
        for i in {i for i, _ in pairs}:
            values, vectors = torch.linalg.eigh(dense[i])
            roots[i] = vectors * values.clamp(min=0).sqrt() @ vectors.T
        found = []
        for i, j in pairs:
            values = torch.linalg.eigvalsh(roots[i] @ dense[j] @ roots[i]).clamp(min=0)
            squared = dense[i].trace() + dense[j].trace() - 2 * values.sqrt().sum()
            found.append(float(squared.clamp(min=0).sqrt()))
        return found

    rows = []
    for name, rival, pairs, asked, allowed in (
        (f"POT {version('POT')}", pot, PAIRS[:4], 500, 1e-6),
        (f"pyRiemann {version('pyriemann')}", riemann, PAIRS[:4], 250, 1e-2),
        ("cached eigh", cached, PAIRS, 100, 1e-6),
    ):
        found = torch.tensor(rival(pairs)) / torch.tensor(factored()[: len(pairs)]) - 1
        rows.append(
            measured(
                f"{len(PAIRS)} Bures-Wasserstein distances, d = {DIMENSION}, {SPIKES} spikes",
                name,
                factored,
                lambda rival=rival, pairs=pairs: rival(pairs),
                difference=float(found.abs().max()),
                allowed=allowed,
                at_least=asked,
                limit=products(DIMENSION * (COUNT * SPIKES) ** 2 + len(PAIRS) * (1 + 4 / 3) * SPIKES**3),
                ours_times=10,
                theirs_times=len(PAIRS) / len(pairs),
            )
        )
    write("bures_wasserstein", rows)


if __name__ == "__main__":
    main()

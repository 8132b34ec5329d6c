"""Bures-Wasserstein barycenter of ten covariances of rank 100 in 5,120 dimensions, and of ten of full rank.

What is asked of the first is a time, a minute on two cores; dense matrices of that size take 210 MB each and a root
of each in every step. The second is held against POT's fixed point (`ot.gaussian.bures_wasserstein_barycenter`),
which needs matrices that can be inverted.

    python benchmarks/bench_barycenter.py

Members of the first: 60 directions that all share, with deviations of their own, and 40 of each member alone.
"""

import statistics
from importlib.metadata import version

import numpy as np
import ot
import torch
from harness import Row, measured, products, seconds_of, write
from torch import Tensor

from covalign.encoding.universal.barycenter import bures_barycenter

MEMBERS, DIMENSION, RANK, SHARED = 10, 5120, 100, 60
ASKED = 60.0
DENSE, ROUNDS = 200, 500


def planted(draw: torch.Generator) -> list[Tensor]:
    """Factors ``[d, RANK]`` that have `SHARED` directions in common."""

    def noise(*size: int) -> Tensor:
        return torch.randn(*size, generator=draw, dtype=torch.float64)

    common = torch.linalg.qr(noise(DIMENSION, SHARED)).Q * torch.linspace(5, 1, SHARED, dtype=torch.float64)
    return [
        torch.cat([common * (1 + 0.3 * noise(SHARED)), noise(DIMENSION, RANK - SHARED) / DIMENSION**0.5], 1)
        @ torch.linalg.qr(noise(RANK, RANK)).Q
        for _ in range(MEMBERS)
    ]


def large(draw: torch.Generator) -> Row:
    """Processor seconds of one barycenter on one thread, against the minute on two cores that is asked."""
    factors = planted(draw)
    found = bures_barycenter(factors, tolerance=1e-7)
    rounds = [seconds_of(lambda: bures_barycenter(factors, tolerance=1e-7)) for _ in range(3)]
    median, unknown = statistics.median(rounds), float("nan")
    limit = products(2 * DIMENSION * (MEMBERS * RANK) ** 2)
    print(f"{MEMBERS} members, d = {DIMENSION}: {median:.1f} s of the processor, {found.steps} steps")
    return Row(
        *(f"barycenter of {MEMBERS} covariances of rank {RANK}, d = {DIMENSION}, {found.steps} steps",),
        *("a minute on two cores asked", median, ASKED, ASKED / median),
        *(ASKED / max(rounds), ASKED / min(rounds), 1, unknown, unknown),
        *(f"the Gram matrix of all factors, {limit.words}", limit.seconds / median, 0.0),
    )


def dense(draw: torch.Generator) -> Row:
    """Members of full rank, against POT at the same accuracy."""
    factors = [
        torch.randn(DENSE, 2 * DENSE, generator=draw, dtype=torch.float64) / (2 * DENSE) ** 0.5
        for _ in range(MEMBERS)
    ]
    matrices = np.stack([(each @ each.T).numpy() for each in factors])

    def ours() -> Tensor:
        k = bures_barycenter(factors, tolerance=1e-9).factor
        return k @ k.T

    def theirs() -> Tensor:
        means = np.zeros((MEMBERS, DENSE))
        _, found = ot.gaussian.bures_wasserstein_barycenter(means, matrices, num_iter=ROUNDS, eps=1e-9)
        return torch.as_tensor(found)

    apart = float((ours() - theirs()).abs().max())
    return measured(
        f"barycenter of {MEMBERS} covariances of full rank, d = {DENSE}",
        f"POT {version('POT')}",
        ours,
        theirs,
        difference=apart,
        allowed=1e-6,
        at_least=1,
        limit=products(MEMBERS * 4 * DENSE**3),
    )


def main() -> None:
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    write("barycenter", [large(draw), dense(draw)])


if __name__ == "__main__":
    main()

"""Bures-Wasserstein distance of two weight covariances from factors, against POT, which forms d x d matrices.

Both start from the neurons of two layers: ours decomposes them and takes the singular values of a product of factors,
the rival (`ot.gaussian.bures_wasserstein_distance`) takes square roots of W^T W / n. One thread, processor seconds.

    python benchmarks/bench_bures_wasserstein.py [--dimensions 144 576] [--neurons 64] [--repeats 5]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import ot
import torch

from covalign.encoding.bures import bures_wasserstein_distance
from covalign.encoding.covariance import weight_covariance

SAME = 1e-6
"""Largest relative difference of two distances that count as equal: the rival takes square roots of zeros."""


def factored(one: torch.Tensor, other: torch.Tensor) -> float:
    """Ours."""
    return bures_wasserstein_distance(weight_covariance(one), weight_covariance(other))


def dense(one: torch.Tensor, other: torch.Tensor) -> float:
    """The rival."""
    means = torch.zeros(2, one.shape[1], dtype=torch.float64)
    moments = [rows.T @ rows / len(rows) for rows in (one, other)]
    return float(ot.gaussian.bures_wasserstein_distance(means[0], means[1], moments[0], moments[1]))


def median_seconds(
    method: Callable[[torch.Tensor, torch.Tensor], float], *rows: torch.Tensor, repeats: int
) -> float:
    """Return the median over repeats."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        method(*rows)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dimensions", type=int, nargs="+", default=[144, 576])
    parser.add_argument("--neurons", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    print("| Bures-Wasserstein distance | milliseconds | POT | ratio | difference |\n|-|-|-|-|-|")
    for dimension in options.dimensions:
        shape = (2, options.neurons, dimension)
        one, other = torch.randn(shape, generator=generator, dtype=torch.float64)
        ours, theirs = factored(one, other), dense(one, other)
        difference = abs(ours - theirs) / theirs
        assert difference < SAME, f"d = {dimension}: {ours} and {theirs} should be equal"
        fast, slow = (median_seconds(each, one, other, repeats=options.repeats) for each in (factored, dense))
        print(
            f"| d = {dimension}, {options.neurons} neurons | {1e3 * fast:.1f} | {1e3 * slow:.1f} | "
            f"{slow / fast:.0f} | {difference:.0e} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

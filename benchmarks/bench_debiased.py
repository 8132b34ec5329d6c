"""R with its interval, 512 neurons in 5120 dimensions: against recomputation, and against the calibrated value.

One rival is the formulas in float64, vectorized: kernels of all pairs, and every average again without each neuron
(n leave-one-out recomputations for each network, each from the kernels that are left). The other is what a user of
the calibrated similarity waits for, chance and ceiling included. Covariance and levels of 512 x 5120 are timed
against the decompositions that they replace.

    python benchmarks/bench_debiased.py [--dimension 5120] [--neurons 512]
"""

import argparse
import math

import torch
from harness import measured, products, write

from covalign.encoding.calibration.estimate import calibrated_similarity
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.debiased.estimate import debiased_similarity
from covalign.encoding.similarity import reference_levels


def recomputed(one: torch.Tensor, other: torch.Tensor) -> tuple[float, list[torch.Tensor]]:
    """U_12 / sqrt(U_11 U_22) and its three averages without every neuron, by the formulas."""
    rows = [each / each.norm(dim=1, keepdim=True) for each in (one, other)]
    d = one.shape[1]
    own = [(each @ each.T).square() - 1 / d for each in rows]
    cross = (rows[0] @ rows[1].T).square() - 1 / d

    def averages(u: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        within = [(x.sum() - x.trace()) / (len(x) * (len(x) - 1)) for x in (u, v)]
        return torch.stack([k.mean(), *within])

    everyone = averages(own[0], cross, own[1])
    left_out = []
    for i in range(len(one)):
        kept = torch.arange(len(one)) != i
        left_out.append(averages(own[0][kept][:, kept], cross[kept], own[1]))
    for i in range(len(other)):
        kept = torch.arange(len(other)) != i
        left_out.append(averages(own[0], cross[:, kept], own[1][kept][:, kept]))
    return float(everyone[0] / (everyone[1] * everyone[2]).sqrt()), left_out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dimension", type=int, default=5120)
    parser.add_argument("--neurons", type=int, default=512)
    options = parser.parse_args()
    torch.set_num_threads(1)
    n, d = options.neurons, options.dimension
    draw = torch.Generator().manual_seed(0)
    common = torch.linalg.qr(torch.randn(d, 20, generator=draw, dtype=torch.float64)).Q
    one, other = (
        torch.randn(n, 20, generator=draw, dtype=torch.float64) * math.sqrt(3 * d / n) @ common.T
        + torch.randn(n, d, generator=draw, dtype=torch.float64)
        for _ in range(2)
    )
    found = debiased_similarity(one, other)
    ratio = found.cross / math.sqrt(found.within_1 * found.within_2)
    flops = 3 * 2 * n * n * d
    title = f"R with interval, {n} neurons, d = {d}"
    rows = [
        measured(
            title,
            "formulas, leave-one-out recomputed",
            lambda: debiased_similarity(one, other),
            lambda: recomputed(one, other),
            difference=abs(recomputed(one, other)[0] - ratio),
            allowed=1e-10,
            at_least=20,
            limit=products(flops),
            rounds=2,
        )
    ]

    def calibrated() -> float:
        covariances = [weight_covariance(each) for each in (one, other)]
        for each in covariances:
            reference_levels(each)
        return calibrated_similarity(*covariances).value

    rows.append(
        measured(
            title,
            "the calibrated value",
            lambda: debiased_similarity(one, other),
            calibrated,
            difference=0.0,  # another quantity by design: what is compared is the wait
            allowed=0.0,
            at_least=100,
            limit=products(flops),
            rounds=2,
        )
    )
    expected = torch.linalg.svdvals(one).square() / n
    rows.append(
        measured(
            f"weight covariance of {n} x {d}",
            "torch.linalg.svd",
            lambda: weight_covariance(one),
            lambda: torch.linalg.svd(one, full_matrices=False),
            difference=float((weight_covariance(one).eigenvalues / expected - 1).abs().max()),
            allowed=1e-10,
            at_least=1,
            limit=products(4 * n * n * d),
        )
    )
    write("debiased", rows)


if __name__ == "__main__":
    main()

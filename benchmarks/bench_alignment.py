"""Alignments: distances of all pairs of eight networks, and leading directions of a large moment.

Distances, 2000 samples x 512 neurons: against a loop of the formula as netrep's `LinearMetric(alpha=1)` evaluates it
(netrep is on no package index), and the best loop over SciPy (singular values alone).

Leading directions, d = 5120: against a full `torch.linalg.svd`, on a moment whose singular values fall
like 1/k, as those of layer inputs do.

    python benchmarks/bench_alignment.py [--claims distances leading] [--dimension 5120] [--directions 100]
"""

import argparse
import itertools

import numpy as np
import torch
from harness import Row, measured, products, write
from scipy.linalg import svdvals

from covalign.encoding.alignment import alignment_distances, leading_alignment

CLAIMS = ("distances", "leading")
NETREP = "loop of netrep's formula"


def distances() -> list[Row]:
    """Rows of the first claim."""
    draw = torch.Generator().manual_seed(0)
    common = torch.randn(2000, 40, generator=draw, dtype=torch.float64)
    networks = [
        common @ torch.randn(40, 512, generator=draw, dtype=torch.float64)
        + torch.randn(2000, 512, generator=draw, dtype=torch.float64)
        for _ in range(8)
    ]
    arrays = [each.numpy() for each in networks]
    pairs = list(itertools.combinations(range(8), 2))

    def netrep(some: list[tuple[int, int]]) -> list[float]:
        found = []
        for i, j in some:  # fit: both centred, both rotations; score: the angle of what they give
            one, other = (arrays[k] - arrays[k].mean(0) for k in (i, j))
            left, _, right = np.linalg.svd(one.T @ other)
            one, other = one @ left, other @ right.T
            found.append(np.arccos((one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other))))
        return found

    def scipy(some: list[tuple[int, int]]) -> list[float]:
        found, centred = [], {i: arrays[i] - arrays[i].mean(0) for pair in some for i in pair}
        sizes = {i: np.linalg.norm(each) for i, each in centred.items()}
        for i, j in some:
            found.append(np.arccos(svdvals(centred[i].T @ centred[j]).sum() / (sizes[i] * sizes[j])))
        return found

    ours = alignment_distances(networks)
    rows = []
    for name, rival, some, asked in (
        (NETREP, netrep, pairs[:5], 10),
        ("loop over SciPy svdvals", scipy, pairs, 3),
    ):
        expected = torch.tensor(rival(some), dtype=torch.float64)
        found = torch.stack([ours[i, j] for i, j in some])
        rows.append(
            measured(
                "28 alignment distances of 8 networks, 2000 x 512",
                name,
                lambda: alignment_distances(networks),
                lambda rival=rival, some=some: rival(some),
                difference=float((found - expected).abs().max()),
                allowed=1e-10,
                at_least=asked,
                limit=products(len(pairs) * 2 * 2000 * 512**2),
                theirs_times=len(pairs) / len(some),
            )
        )
    return rows


def leading(dimension: int, directions: int) -> Row:
    """The second claim; the full decomposition runs once."""
    draw = torch.Generator().manual_seed(1)
    values = torch.arange(1, dimension + 1, dtype=torch.float64) ** -1.0
    moment = turned(turned(values.diag(), draw).T.contiguous(), draw)
    full = torch.linalg.svdvals(moment) if dimension <= 1024 else values
    found = leading_alignment(moment, directions)
    captured = float(((found.left @ found.right.T) * moment).sum())
    apart = (found.singular / full[:directions] - 1).abs().max()
    return measured(
        f"alignment at d = {dimension}, {directions} leading directions",
        "torch.linalg.svd",
        lambda: leading_alignment(moment, directions),
        lambda: torch.linalg.svd(moment, full_matrices=False),
        difference=max(float(apart), abs(captured / float(full[:directions].sum()) - 1)),
        allowed=1e-6,
        at_least=5,
        limit=products(4 * dimension**2 * (directions + 16)),
        rounds=1,
        memory=False,
    )


def turned(matrix: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Multiply by random reflections of many vectors at once, so that the singular values stay and are known."""
    frame = torch.linalg.qr(torch.randn(len(matrix), 256, generator=draw, dtype=torch.float64)).Q
    for _ in range(3):
        matrix = matrix - 2 * frame @ (frame.T @ matrix)
        signs = torch.randint(0, 2, (len(matrix),), generator=draw).double() * 2 - 1
        matrix = matrix[torch.randperm(len(matrix), generator=draw)] * signs[:, None]
    return matrix


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dimension", type=int, default=5120)
    parser.add_argument("--directions", type=int, default=100)
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, default=CLAIMS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = distances() if "distances" in options.claims else []
    if "leading" in options.claims:
        rows.append(leading(options.dimension, options.directions))
    write("alignment", rows)


if __name__ == "__main__":
    main()

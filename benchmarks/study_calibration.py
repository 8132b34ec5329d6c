"""Is the calibrated similarity unbiased, and do its intervals cover?

Planted populations: a layer of n neurons in d = γn dimensions with 16 spikes (d/4 where that is fewer), falling
evenly from 3s to s times √γ. Two such populations share a fraction f of their spike directions, rank by rank, at
random ranks; the other directions are uniformly random (Haar) in what remains. Each repeat draws new populations
and one weight matrix from each, and compares the calibrated similarity with the population's S*, which is known.

    python benchmarks/study_calibration.py run --worker 0 --workers 2    # resumable; repeats are the outer loop
    python benchmarks/study_calibration.py report                        # tables, verdict and figure

A cell is detectable if at f = 1 the 5 % test against chance rejects in at least half of the repeats. Asked of such
cells: |bias| ≤ 0.03, and a coverage whose 99 % binomial interval meets 90-99 %. The rival is the published S (mean
of both orders), from the first repeats of each cell.
"""

import argparse
import itertools
import json
import math
import time
from pathlib import Path

import pandas as pd
import torch

from covalign.encoding.calibration.estimate import calibrated_similarity
from covalign.encoding.covariance import WeightCovariance
from covalign.encoding.haar import haar_block, wishart_factor
from covalign.encoding.similarity import normalized_similarity

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "calibration"
GAMMAS, NEURONS, STRENGTHS = (0.5, 1.0, 5.0, 10.0), (64, 128, 512), (0.5, 1.5, 3.0, 8.0)
FRACTIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
REPEATS = {64: 200, 128: 200, 512: 50}
PUBLISHED = 5
BIAS, COVERAGE = 0.03, (0.90, 0.99)


def cells() -> list[tuple[float, int, float, float]]:
    return list(itertools.product(GAMMAS, NEURONS, STRENGTHS, FRACTIONS))


def covariance(weight: torch.Tensor, dimension: int) -> WeightCovariance:
    n, d = weight.shape
    values, vectors = torch.linalg.eigh(weight @ weight.T / n if n <= d else weight.T @ weight / n)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    if n <= d:
        vectors = weight.T @ vectors / (n * values.clamp(min=1e-12)).sqrt()
    return WeightCovariance(values, torch.nn.functional.pad(vectors, (0, 0, 0, dimension - d)), n)


def cosine(spikes: torch.Tensor, overlaps: torch.Tensor) -> torch.Tensor:
    weighted = spikes.sqrt()[:, None] * overlaps * spikes.sqrt()
    return torch.linalg.svdvals(weighted).sum(-1) / spikes.sum()


def planted(gamma: float, neurons: int, strength: float) -> tuple[int, torch.Tensor]:
    d = int(gamma * neurons)
    rank = min(16, d // 4)
    return d, math.sqrt(gamma) * torch.linspace(3 * strength, strength, rank, dtype=torch.float64)


def draw(
    gamma: float, neurons: int, strength: float, fraction: float, generator: torch.Generator
) -> tuple[WeightCovariance, WeightCovariance, float]:
    """Two covariances, and the cosine of their populations."""
    d, spikes = planted(gamma, neurons, strength)
    rank = len(spikes)
    shared = torch.rand(1, rank, generator=generator).argsort(1) < round(fraction * rank)
    overlap = haar_block(1, d, rank, rank, generator, shared)[0]
    outside = torch.eye(rank, dtype=torch.float64) - overlap.T @ overlap
    values, vectors = torch.linalg.eigh(outside)
    second = torch.cat([overlap, values.clamp(min=0).sqrt()[:, None] * vectors.T])
    weights = []
    for noise, basis in zip(noises(neurons, d, generator), (torch.eye(rank).double(), second), strict=True):
        signal = torch.randn(neurons, rank, generator=generator, dtype=torch.float64) * spikes.sqrt()
        noise[:, : len(basis)] += signal @ basis.T
        weights.append(covariance(noise, d))
    return weights[0], weights[1], float(cosine(spikes, overlap))


def noises(neurons: int, d: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two independent noise matrices.

    Where d > 4n, their directions beyond the first 32 (which hold all spikes) are rotated together until the
    first matrix is a triangle there and the second a block and a triangle: fewer columns, the same law.
    """
    if d <= 4 * neurons:
        return tuple(torch.randn(neurons, d, generator=generator, dtype=torch.float64) for _ in range(2))
    head = torch.randn(2, neurons, 32, generator=generator, dtype=torch.float64)
    block = torch.randn(neurons, neurons, generator=generator, dtype=torch.float64)
    first = wishart_factor(1, neurons, d - 32, generator)[0]
    second = wishart_factor(1, neurons, d - 32 - neurons, generator)[0]
    return torch.cat([head[0], first, torch.zeros_like(block)], 1), torch.cat([head[1], block, second], 1)


def chance(gamma: float, neurons: int, strength: float) -> float:
    d, spikes = planted(gamma, neurons, strength)
    blocks = haar_block(2000, d, len(spikes), len(spikes), torch.Generator().manual_seed(0))
    return float(cosine(spikes, blocks).mean())


def repeat(cell: tuple[float, int, float, float], index: int) -> dict:
    gamma, neurons, strength, fraction = cell
    seed = 1_000_000 + cells().index(cell) * 1000 + index
    first, second, level = draw(*cell, torch.Generator().manual_seed(seed))
    start = time.process_time()
    found = calibrated_similarity(first, second, seed=seed)
    row = {"gamma": gamma, "neurons": neurons, "strength": strength, "fraction": fraction, "repeat": index}
    row |= {"cosine": level, "value": found.value, "low": found.low, "high": found.high}
    row |= {"p_value": found.p_value, "reason": found.reason, "seconds": time.process_time() - start}
    if index < PUBLISHED:
        orders = [
            normalized_similarity(a, b, draws=2, seed=seed, calibrate=False).value
            for a, b in ((first, second), (second, first))
        ]
        row["published"] = sum(orders) / 2
    return row


def run(worker: int, workers: int) -> None:
    torch.set_num_threads(1)
    path = RESULTS / "raw" / f"worker-{worker}-of-{workers}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    done = set()
    for file in path.parent.glob("*.jsonl"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            done.add((row["gamma"], row["neurons"], row["strength"], row["fraction"], row["repeat"]))
    rounds = max(REPEATS.values())
    for turn in range(rounds):
        for number, cell in enumerate(cells()):
            every = rounds // REPEATS[cell[1]]
            index = turn // every
            if (
                turn % every == every - 1
                and (index + number) % workers == worker
                and (*cell, index) not in done
            ):
                with path.open("a") as file:
                    file.write(json.dumps(repeat(cell, index)) + "\n")


def binomial_interval(hits: int, total: int, level: float = 0.99) -> tuple[float, float]:
    """Exact binomial interval (Clopper & Pearson 1934), by bisection."""

    def tail(probability: float, start: int, stop: int) -> float:
        logs = [
            math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
            + k * math.log(probability) + (total - k) * math.log1p(-probability)
            for k in range(start, stop)
        ]  # fmt: skip
        return sum(map(math.exp, logs))

    def solve(increasing: bool) -> float:
        low, high = 1e-9, 1 - 1e-9
        for _ in range(50):
            middle = (low + high) / 2
            reached = tail(middle, hits, total + 1) if increasing else tail(middle, 0, hits + 1)
            above = reached > (1 - level) / 2
            low, high = (low, middle) if above == increasing else (middle, high)
        return (low + high) / 2

    return (solve(True) if hits > 0 else 0.0, solve(False) if hits < total else 1.0)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    levels = {key: chance(*key) for key in itertools.product(GAMMAS, NEURONS, STRENGTHS)}
    table = []
    for key, cell in rows.groupby(["gamma", "neurons", "strength", "fraction"]):
        z = levels[key[:3]]
        truth = (cell["cosine"] - z) / (1 - z)
        given = cell["value"].notna()
        error = (cell["value"] - truth)[given]
        hits = int(((cell["low"] <= truth) & (truth <= cell["high"]))[given].sum())
        interval = binomial_interval(hits, int(given.sum())) if given.any() else (math.nan, math.nan)
        table.append(
            dict(zip(("gamma", "neurons", "strength", "fraction"), key, strict=True))
            | {
                "repeats": len(cell),
                "given": given.mean(),
                "truth": truth.mean(),
                "calibrated": cell["value"].mean(),
                "published": cell["published"].mean(),
                "bias": error.mean(),
                "bias_error": error.std() / math.sqrt(max(len(error), 1)),
                "spread": error.std(),
                "coverage": hits / max(int(given.sum()), 1),
                "coverage_low": interval[0],
                "coverage_high": interval[1],
                "half_width": ((cell["high"] - cell["low"]) / 2).mean(),
                "rejected": (cell["p_value"] <= 0.05).mean(),
                "seconds": cell["seconds"].median(),
            }
        )
    result = pd.DataFrame(table)
    full = result[result["fraction"] == 1].set_index(["gamma", "neurons", "strength"])["rejected"]
    result["detectable"] = [
        full.get((g, n, s), 0.0) >= 0.5
        for g, n, s in zip(result["gamma"], result["neurons"], result["strength"], strict=True)
    ]
    result["bias_ok"] = result["bias"].abs() <= BIAS
    result["coverage_ok"] = (result["coverage_high"] >= COVERAGE[0]) & (result["coverage_low"] <= COVERAGE[1])
    return result


def figure(result: pd.DataFrame, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    style = {"font.size": 7, "axes.spines.top": False, "axes.spines.right": False, "pdf.fonttype": 42}
    colours = dict(zip(STRENGTHS, ("#888888", "#d95f02", "#7570b3", "#1b9e77"), strict=True))
    with plt.rc_context(style):
        fig, axes = plt.subplots(
            len(NEURONS), len(GAMMAS), figsize=(7.2, 5.6), sharex=True, sharey=True, squeeze=False
        )
        for (i, n), (j, gamma) in itertools.product(enumerate(NEURONS), enumerate(GAMMAS)):
            ax = axes[i, j]
            ax.plot([0, 1], [0, 1], color="0.85", lw=1, zorder=0)
            here = result[(result["neurons"] == n) & (result["gamma"] == gamma)]
            for strength, cell in here.groupby("strength"):
                ax.plot(cell["truth"], cell["published"], ":", color=colours[strength], lw=0.9)
                if cell["detectable"].any():
                    ax.errorbar(
                        cell["truth"],
                        cell["calibrated"],
                        yerr=cell["half_width"],
                        fmt="o-",
                        ms=2.5,
                        lw=0.9,
                        elinewidth=0.6,
                        color=colours[strength],
                    )
            ax.set_title(f"γ = {gamma:g}, {n} neurons", fontsize=7)
        handles = [
            plt.Line2D([], [], color=c, marker="o", ms=2.5, label=f"s = {s:g}") for s, c in colours.items()
        ]
        handles.append(plt.Line2D([], [], color="0.3", ls=":", label="published S"))
        fig.legend(handles=handles, loc="outside upper center", ncols=5, frameon=False)
        fig.supxlabel("similarity of the populations, S*")
        fig.supylabel("mean estimate, with mean 95 % interval")
        fig.set_layout_engine("constrained")
        fig.savefig(path.with_suffix(".pdf"))
        fig.savefig(path.with_suffix(".png"), dpi=200)


def verdict_of(seen: pd.DataFrame) -> dict:
    resolved = seen["bias"].abs() - 2.58 * seen["bias_error"] > BIAS
    figures = {
        "bias_within": seen["bias_ok"].mean(),
        "bias_not_shown_to_exceed": 1 - resolved.mean(),
        "mean_absolute_bias": seen["bias"].abs().mean(),
        "largest_bias": seen["bias"].abs().max(),
        "published_mean_absolute_bias": (seen["published"] - seen["truth"]).abs().mean(),
        "coverage_within": seen["coverage_ok"].mean(),
        "mean_coverage": seen["coverage"].mean(),
        "mean_half_width": seen["half_width"].mean(),
        "withheld": 1 - seen["given"].mean(),
    }
    return {"cells": len(seen)} | {name: round(float(value), 4) for name, value in figures.items()}


def report() -> None:
    lines = [
        json.loads(line)
        for file in (RESULTS / "raw").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    result = summary(pd.DataFrame(lines))
    result.round(4).to_csv(RESULTS / "cells.csv", index=False)
    seen = result[result["detectable"]]
    verdict = {
        "cells": len(result),
        "repeats": {str(n): int(cell["repeats"].min()) for n, cell in result.groupby("neurons")},
        "detectable_share": round(float(result["detectable"].mean()), 3),
        "detectable": verdict_of(seen),
        "by_strength": {f"{s:g}": verdict_of(cell) for s, cell in seen.groupby("strength")},
        "withheld_elsewhere": round(float(1 - result[~result["detectable"]]["given"].mean()), 3),
        "rejected_at_f0": round(float(result[result["fraction"] == 0]["rejected"].mean()), 3),
        "core_hours_of_estimates": round(sum(line["seconds"] for line in lines) / 3600, 2),
    }
    (RESULTS / "verdict.json").write_text(json.dumps(verdict, indent=2) + "\n")
    figure(result, RESULTS / "calibration")
    print(json.dumps(verdict, indent=2))
    columns = [
        "gamma",
        "neurons",
        "strength",
        "fraction",
        "truth",
        "bias",
        "bias_error",
        "spread",
        "coverage",
        "given",
    ]
    print(seen[~(seen["bias_ok"] & seen["coverage_ok"])][columns].round(3).to_string(index=False))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("action", choices=["run", "report"])
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.action == "run":
        run(arguments.worker, arguments.workers)
    else:
        report()

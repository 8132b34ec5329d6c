"""Does `compare` keep its memory budget, and what does a pair cost as networks are added?

    python benchmarks/study_pairs.py

All pairs of 4, 8 and 16 untrained VGG-11 of width 0.125 on 300 images, each in a process of its own: processor
seconds of alignment a pair, which falls since one pass through m networks serves m^2 / 4 pairs, and the peak of
resident memory beyond what the process held before, beside the budget.
"""

import argparse
import multiprocessing
import resource
from pathlib import Path

import pandas as pd
import torch
from harness import Stages
from study_scale import noise, opened

from covalign import compare

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "scale"
COUNTS, BUDGETS = (4, 8, 16), (0.5,)
IMAGES, WIDTH = 300, 0.125


def measured(count: int, budget: float) -> dict[str, float]:
    """Compare in this process, and return what it took."""
    torch.set_num_threads(1)
    networks = [opened(WIDTH, seed) for seed in range(count)]
    images, before, stages = noise(IMAGES), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, Stages()
    compare(
        networks,
        images,
        controls=False,
        calibrate=False,
        curves=False,
        layer_map=False,
        memory=int(budget * 2**30),
        progress=stages,
    )
    pairs = count * (count - 1) / 2
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    return {
        "networks": count,
        "budget, GB": budget,
        "peak beyond the start, GB": peak,
        "alignment, s a pair": stages.seconds["alignments"] / pairs,
        "similarity, s a pair": stages.seconds["similarities"] / pairs,
    }


def main() -> None:
    """Measure each in a process of its own, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    rows = []
    for budget in BUDGETS:
        for count in COUNTS:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                rows.append(pool.apply(measured, (count, budget)))
            print(rows[-1], flush=True)
    given.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).round(3).to_csv(given.out / "pairs.csv", index=False)


if __name__ == "__main__":
    main()

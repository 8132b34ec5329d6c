"""Does `compare` keep its memory budget, and what does a pair cost as networks are added?

    python benchmarks/study_pairs.py

All pairs of 4, 8 and 16 untrained VGG-11 of width 0.125 on 300 images, each in a process of its own: processor
seconds of alignment a pair, which falls since one pass through m networks serves m^2 / 4 pairs, and the peak of
resident memory beyond what the process held before, beside the budget.
"""

import argparse
import multiprocessing
import resource
import time
from pathlib import Path

import pandas as pd
import torch

from covalign import compare, load_network, vgg11
from covalign.data.images import Images
from covalign.data.normalization import Normalization

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "scale"
COUNTS, BUDGETS = (4, 8, 16), (0.5,)
IMAGES, WIDTH = 300, 0.125


def measured(count: int, budget: float) -> dict[str, float]:
    """Compare in this process, and return what it took."""
    torch.set_num_threads(1)
    networks = []
    for seed in range(count):
        torch.manual_seed(seed)
        module = vgg11(form="factorized", width=WIDTH, classes=10).eval()
        networks.append(
            load_network(module, name=str(seed), normalization=Normalization("none", (0.5,), (0.25,)))
        )
    pixels = torch.randint(
        256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    images = Images(pixels, torch.zeros(IMAGES, dtype=torch.int64), ("any",), "noise", "test")
    seconds: dict[str, float] = {}
    before, last = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

    def told(stage: str, share: float, note: str = "") -> None:
        nonlocal last
        now = time.process_time()
        seconds[stage] = seconds.get(stage, 0.0) + now - last
        last = now

    compare(
        networks,
        images,
        controls=False,
        calibrate=False,
        curves=False,
        memory=int(budget * 2**30),
        progress=told,
    )
    pairs = count * (count - 1) / 2
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    return {
        "networks": count,
        "budget, GB": budget,
        "peak beyond the start, GB": peak,
        "alignment, s a pair": seconds["alignments"] / pairs,
        "similarity, s a pair": seconds["similarities"] / pairs,
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

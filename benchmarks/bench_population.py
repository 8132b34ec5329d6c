"""How much faster do two workers of one thread train four networks than one worker, and than one after the other?

    python benchmarks/bench_population.py

Wall time, since that is what more processes save; so run it on a machine with nothing else to do. Rounds alternate.
The limit is the number of processes that may work at once.
"""

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from harness import Row, write

from covalign.tasks.executor import available_cores
from covalign.training.many import train_population
from covalign.training.presets import preset
from covalign.training.store import RunStore

ROUNDS = 2
NETWORKS = 4


def trained(workers: int, threads: int) -> tuple[float, list[bytes]]:
    """Train the networks anew; return seconds on the wall, and their weights."""
    one = replace(preset("demo"), images="photos:a", width=0.25, max_images=1600, epochs=2, threads=threads)
    specs = [replace(one, seed=seed) for seed in range(NETWORKS)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        runs = train_population(specs, RunStore(Path(folder)), workers=workers, progress=False)
        return time.perf_counter() - start, [run.files.read("final.safetensors") for run in runs]


def row(rival: str, ours: list[float], theirs: list[float], at_least: float) -> Row:
    """Return the ratio of medians, and its range over rounds."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    mine, other = statistics.median(ours), statistics.median(theirs)
    unknown = float("nan")
    cores = available_cores()
    return Row(
        *(
            f"{NETWORKS} trainings, 2 workers of one thread, seconds on the wall",
            rival,
            mine,
            other,
            other / mine,
        ),
        *(min(ratios), max(ratios), at_least, unknown, unknown),
        *(f"{cores} cores", other / mine / min(cores, 2), 0.0),
    )


def main() -> None:
    """Measure and write the rows."""
    seconds: dict[tuple[int, int], list[float]] = {(2, 1): [], (1, 1): [], (1, 2): []}
    weights: dict[tuple[int, int], list[bytes]] = {}
    for _ in range(ROUNDS):
        for how, taken in seconds.items():
            wall, weights[how] = trained(*how)
            taken.append(wall)
            print(how, f"{wall:.1f} s", flush=True)
    if weights[2, 1] != weights[1, 1]:
        raise SystemExit("two workers gave other weights than one")
    rows = [
        row("one worker of one thread", seconds[2, 1], seconds[1, 1], 1.7),
        row("one after another, two threads each", seconds[2, 1], seconds[1, 2], 1.3),
    ]
    for each in rows:
        print(f"{each.rival}: {each.ratio:.2f} ({each.at_least} asked)")
    write("population", rows)


if __name__ == "__main__":
    main()

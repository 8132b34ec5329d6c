"""How much faster do two workers of one thread train four networks than one worker, and than one after the other?

    python benchmarks/bench_population.py

Wall time, since that is what more processes save; so run it on a machine with nothing else to do. Rounds alternate.
The limit is what two trainings cost that know nothing of each other, started at once, against one alone: what
this machine's memory and caches leave of a second core.
"""

import multiprocessing
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from harness import Limit, Row, write

from covalign.training.many import train_population
from covalign.training.presets import preset
from covalign.training.store import RunStore

ROUNDS = 2
NETWORKS = 4


def trained(workers: int, threads: int, networks: int = NETWORKS) -> tuple[float, list[bytes]]:
    """Train networks anew; return seconds on the wall, and their weights."""
    one = replace(preset("demo"), images="photos:a", width=0.25, max_images=1600, epochs=16, threads=threads)
    specs = [replace(one, seed=seed) for seed in range(networks)]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        runs = train_population(specs, RunStore(Path(folder)), workers=workers, progress=False)
        return time.perf_counter() - start, [run.files.read("final.safetensors") for run in runs]


def alone(_: int) -> float:
    """Seconds on the wall of one training in this process."""
    return trained(1, 1, 1)[0]


def strangers(count: int) -> float:
    """Seconds on the wall of a training while as many run, each in a process that knows nothing of others."""
    with multiprocessing.get_context("spawn").Pool(count) as processes:
        return statistics.mean(processes.map(alone, range(count), chunksize=1))


def row(rival: str, ours: list[float], theirs: list[float], at_least: float, limit: Limit) -> Row:
    """Return the ratio of medians, and its range over rounds."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    mine, other = statistics.median(ours), statistics.median(theirs)
    unknown = float("nan")
    return Row(
        *(f"{NETWORKS} trainings, 2 workers of one thread, wall", rival, mine, other, other / mine),
        *(min(ratios), max(ratios), at_least, unknown, unknown, limit.words, limit.seconds / mine, 0.0),
    )


def reachable() -> Limit:
    """Time for all networks by pairs of trainings that know nothing of each other."""
    one, beside = strangers(1), strangers(2)
    gain = f"{2 * one / beside:.2f}x"
    return Limit(NETWORKS / 2 * beside, f"two trainings at once in processes of their own ({gain} one alone)")


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
    limit = reachable()
    print(limit.words)
    rows = [
        row("one worker of one thread", seconds[2, 1], seconds[1, 1], 1.7, limit),
        row("one after another, two threads each", seconds[2, 1], seconds[1, 2], 1.3, limit),
    ]
    for each in rows:
        print(f"{each.rival}: {each.ratio:.2f} ({each.at_least} asked)")
    write("population", rows)


if __name__ == "__main__":
    main()

"""How long do `covalign --help` and `covalign completion bash` take, from start to end?

python benchmarks/bench_start.py
"""

import statistics
import subprocess
import sys
import time
from resource import RUSAGE_CHILDREN, getrusage

from harness import Limit, Row, write

ASKED = 0.25


def timed(words: list[str], rounds: int = 15) -> tuple[float, list[float]]:
    """Median seconds on the wall, and those of the processor in every round."""
    wall, busy = [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], check=True, capture_output=True)
        after = getrusage(RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - start)
        busy.append(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)
    return statistics.median(wall), busy


def row(words: list[str], limit: Limit) -> Row:
    """Measure one command."""
    called = " ".join(["covalign", *words])
    timed(["-m", "covalign.cli", *words], 2)
    wall, busy = timed(["-m", "covalign.cli", *words])
    median, unknown = statistics.median(busy), float("nan")
    print(f"{called}: {wall:.2f} s on the wall, {median:.3f} s of the processor ({ASKED} asked)")
    return Row(
        *(f"{called}, processor seconds", f"{ASKED} s asked", median, ASKED, ASKED / median),
        *(ASKED / max(busy), ASKED / min(busy), 1, unknown, unknown),
        *(limit.words, limit.seconds / median, 0.0),
    )


def main() -> None:
    limit = Limit(statistics.median(timed(["-c", "pass"])[1]), "starting Python")
    write("start", [row(["--help"], limit), row(["completion", "bash"], limit)])


if __name__ == "__main__":
    main()

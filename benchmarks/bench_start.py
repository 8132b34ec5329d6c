"""How long does `covalign --help` take, from start to end?

python benchmarks/bench_start.py
"""

import statistics
import subprocess
import sys
import time
from resource import RUSAGE_CHILDREN, getrusage

from harness import Limit, Row, write

ASKED = 0.25
COMMAND = [sys.executable, "-m", "covalign.cli", "--help"]


def timed(command: list[str], rounds: int = 15) -> tuple[float, float]:
    """Median seconds on the wall and of the processor."""
    wall, busy = [], []
    for _ in range(rounds):
        start, used = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = getrusage(RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - start)
        busy.append(after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)
    return statistics.median(wall), statistics.median(busy)


def main() -> None:
    timed(COMMAND, 2)
    (wall, busy), (_, bare) = timed(COMMAND), timed([sys.executable, "-c", "import cyclopts, rich.console"])
    limit = Limit(bare, "importing cyclopts and rich")
    print(f"covalign --help: {wall:.2f} s on the wall, {busy:.2f} s of the processor ({ASKED} asked)")
    unknown = float("nan")
    write(
        "start",
        [
            Row(
                *(
                    "covalign --help, processor seconds",
                    f"{ASKED} s asked",
                    busy,
                    ASKED,
                    ASKED / busy,
                    ASKED / busy,
                ),
                *(ASKED / busy, 1, unknown, unknown, limit.words, limit.seconds / busy, 0.0),
            )
        ],
    )


if __name__ == "__main__":
    main()

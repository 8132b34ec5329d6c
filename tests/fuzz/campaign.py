"""A long run, `make fuzz`: many mutants of every format, each target in a process of its own with bounded time.

Prints a line a target: mutants, refused, read, tracebacks, the slowest, and peak memory; exits with 1 where there was
a traceback, a mutant over 20 seconds, or more than 2 GB.
"""

import argparse
import collections
import multiprocessing
import resource
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from covalign.errors import InputError
from fuzz.mutations import mutated
from fuzz.targets import RUN, TARGETS

SLOWEST, LARGEST = 20.0, 2 * 2**30


def attacked(index: int, first: int, count: int, seconds: float) -> dict[str, Any]:
    """Read so many mutants of a target, or as many as the time allows."""
    warnings.simplefilter("ignore")
    target, tally, faults = (*TARGETS, *RUN)[index], collections.Counter[str](), list[str]()
    slowest, begun = 0.0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / target.name
        for seed in range(first, first + count):
            started = time.monotonic()
            if started - begun > seconds:
                break
            path.write_bytes(mutated(target.whole, seed))
            try:
                target.read(path)
                tally["read"] += 1
            except InputError:
                tally["refused"] += 1
            except Exception:
                tally["tracebacks"] += 1
                faults.append(f"{target.name} seed {seed}: {traceback.format_exc(limit=-2)}")
            slowest = max(slowest, time.monotonic() - started)
    peak = (
        max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        * 1024
    )
    return {"tally": tally, "slowest": slowest, "peak": peak, "faults": faults[:5]}


def main() -> None:
    """Attack every target."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--seconds", type=float, default=600.0, help="of a target")
    options.add_argument("--only", default="")
    stated = options.parse_args()
    bad = False
    for index, target in enumerate((*TARGETS, *RUN)):
        if stated.only and stated.only != target.name:
            continue
        with multiprocessing.get_context("fork").Pool(1) as pool:
            found = pool.apply(attacked, (index, stated.first, stated.count, stated.seconds))
        tally = found["tally"]
        print(
            f"{target.name}: {sum(tally.values())} mutants, {tally['refused']} refused, {tally['read']} read, "
            f"{tally['tracebacks']} tracebacks, slowest {found['slowest']:.1f} s, "
            f"peak {found['peak'] / 2**20:.0f} MB",
            flush=True,
        )
        print(*found["faults"], sep="\n", end="")
        bad |= bool(tally["tracebacks"]) or found["slowest"] > SLOWEST or found["peak"] > LARGEST
    raise SystemExit(int(bad))


if __name__ == "__main__":
    main()

"""How do the blocks of one operation keep all cores busy?

By one thread a core, each with blocks of its own that stay in that core's cache. PyTorch's own way, which splits
every operation and waits for all parts, costs more than small operations take, and much more on a machine that has
other work to do.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

Part = TypeVar("Part")
Done = TypeVar("Done")


def each(work: Callable[[Part], Done], parts: Sequence[Part]) -> list[Done]:
    """Return ``work`` of every part, without gradients, each in a thread of its own that splits nothing further.

    A single part, or any number where `torch.get_num_threads` is 1, stays in the calling thread.
    """
    threads = torch.get_num_threads()

    def alone(part: Part) -> Done:
        with torch.no_grad():
            return work(part)

    if threads == 1 or len(parts) == 1:
        return [alone(part) for part in parts]
    return list(_pool(os.getpid(), threads).map(alone, parts))


@lru_cache(maxsize=1)
def numpy_threads() -> int:
    """Return how many threads NumPy's products take: as the environment says when it is loaded, or all cores."""
    stated = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(stated) if stated.isdecimal() and int(stated) > 0 else cores


@lru_cache(maxsize=2)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Start the threads of a process; a forked child has none of its parent's."""
    pool, started = ThreadPoolExecutor(threads), Barrier(threads)

    def start(_: int) -> None:
        torch.set_num_threads(1)
        started.wait()

    list(pool.map(start, range(threads)))
    # What was set last is what threads that start later take: let that be what was set before.
    torch.set_num_threads(threads)
    return pool

"""How do the blocks of one operation keep all cores busy?

By one thread a core, each with blocks of its own that stay in that core's cache. PyTorch's own way, which splits
every operation and waits for all parts, costs more than small operations take, and much more on a machine that has
other work to do.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from threading import Barrier
from typing import TypeVar

import torch

Part = TypeVar("Part")
Done = TypeVar("Done")

_BLOCK_THREADS: ContextVar[int] = ContextVar("block_threads", default=0)


@contextmanager
def taking(threads: int | None) -> Iterator[None]:
    """Let the tensor library take so many threads for the time being, where a number is stated."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def blocks_alone(threads: int) -> Iterator[None]:
    """Give blocks so many threads while PyTorch's operations between them keep to one, and restore what was set.

    PyTorch's workers go on spinning for milliseconds after an operation that they shared, on the cores that blocks
    are to have: a training step of blocks is faster where there are none.
    """
    told = _BLOCK_THREADS.set(threads)
    try:
        with taking(1):
            yield
    finally:
        _BLOCK_THREADS.reset(told)


def block_threads() -> int:
    """Return how many threads `each` has: what `blocks_alone` says, or as many as PyTorch's operations."""
    return _BLOCK_THREADS.get() or torch.get_num_threads()


def each(work: Callable[[Part], Done], parts: Sequence[Part]) -> list[Done]:
    """Return ``work`` of every part, without gradients, each in a thread of its own that splits nothing further.

    The first part, and all where `block_threads` is 1, stay in the calling thread.
    """
    threads = block_threads()

    def alone(part: Part) -> Done:
        with torch.no_grad():
            return work(part)

    if threads == 1 or len(parts) == 1:
        return [alone(part) for part in parts]
    others = _pool(os.getpid(), threads - 1, torch.get_num_threads()).map(alone, parts[1:])
    with taking(1):
        first = alone(parts[0])
    return [first, *others]


@lru_cache(maxsize=1)
def numpy_threads() -> int:
    """Return how many threads NumPy's products take: as the environment says when it is loaded, or all cores."""
    stated = os.environ.get("OPENBLAS_NUM_THREADS") or os.environ.get("OMP_NUM_THREADS") or ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(stated) if stated.isdecimal() and int(stated) > 0 else cores


@lru_cache(maxsize=2)
def _pool(process: int, threads: int, between: int) -> ThreadPoolExecutor:
    """Start the threads of a process; a forked child has none of its parent's.

    Their first operation takes over how many threads those ``between`` blocks have: a pool serves one such number.
    """
    pool, started = ThreadPoolExecutor(threads), Barrier(threads)

    def start(_: int) -> None:
        torch.set_num_threads(1)
        started.wait()

    list(pool.map(start, range(threads)))
    # What was set last is what threads that start later take: let that be what was set before.
    torch.set_num_threads(between)
    return pool

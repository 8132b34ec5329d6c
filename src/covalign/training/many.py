"""How are many networks trained side by side?

Trainings share nothing, so each is a task of its own that fills one entry of the store: in processes of this machine
by default, on a laboratory's cluster by the address of its Dask scheduler (`covalign.training.cluster`). A task that
is repeated resumes, or returns what is there. Several trainings of one thread each use a few cores better than one
of several threads.
"""

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from threading import Thread
from typing import TypeAlias

from covalign.errors import InputError
from covalign.progress import Told, shown
from covalign.training.cluster import on_cluster
from covalign.training.loop import train
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore


def train_population(
    specs: Sequence[TrainingSpec],
    store: RunStore,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Told | bool | None = True,
) -> list[Run]:
    """Train every spec, side by side, and return their runs in the same order.

    Args:
        specs: what to train; paths in them, and the store's, must mean the same on every worker.
        store: where the runs are kept.
        workers: processes; None takes as many as the cores allow. One trains here.
        scheduler: address of a running Dask scheduler ("tcp://host:8786"), whose workers must have one thread
            each; None trains on this machine.
        progress: what is told, or whether to show it; see `covalign.progress.shown`.

    Raises:
        InputError: some trainings failed (all others were finished first), or the scheduler cannot be used.
    """
    shared = RunStore(store.root.resolve())
    threads = max((spec.threads for spec in specs), default=1)
    processes = min(len(specs), workers or max(1, available_cores() // threads))
    with shown(progress) as told:
        count = Count(specs, told)
        if scheduler is not None:
            outcomes = on_cluster(specs, shared, scheduler, count.heard, count.ended)
        elif processes <= 1:
            outcomes = [_attempt(spec, shared, count, index) for index, spec in enumerate(specs)]
        else:
            outcomes = _in_processes(specs, shared, processes, count)
    return _all_or_error(outcomes)


def available_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1


class Count:
    """Adds up the epochs of all trainings, and tells of each that ends.

    What was found in the store, or was trained before a training resumed, is no work of this call: the share that is
    told is that of the epochs that had to be trained.
    """

    def __init__(self, specs: Sequence[TrainingSpec], told: Told) -> None:
        self.specs = specs
        self.told = told
        self.before: dict[int, int] = {}
        self.done = [0] * len(specs)
        self.finished: dict[int, bool] = {}
        if specs:
            told("trainings", 0.0)

    def heard(self, index: int, epochs: int) -> None:
        """Hear that training ``index`` has ``epochs`` epochs behind."""
        self.before.setdefault(index, epochs - 1)
        self.done[index] = max(self.done[index], epochs)
        self._tell("")

    def ended(self, index: int) -> None:
        """Hear that training ``index`` is finished."""
        spec, stored = self.specs[index], index not in self.before
        self.before.setdefault(index, spec.epochs)
        self.done[index] = spec.epochs
        self.finished[index] = stored
        where = ", found in the store" if stored else ""
        self._tell(f"{len(self.finished)}/{len(self.specs)}, {spec.images} seed {spec.seed}{where}")

    def _tell(self, note: str) -> None:
        before = sum(self.before.values())
        work = sum(spec.epochs for spec in self.specs) - before
        self.told("trainings", (sum(self.done) - before) / work if work else 1.0, note)


Outcome = Run | BaseException


def _attempt(spec: TrainingSpec, store: RunStore, count: Count, index: int) -> Outcome:
    try:
        run = train(spec, store, progress=False, on_epoch=lambda row: count.heard(index, row.epoch))
    except InputError as error:
        return error
    count.ended(index)
    return run


Heard: TypeAlias = "SimpleQueue[tuple[int, int | None] | None]"
"""Index and epoch of a training, None for its end; None when all are over."""


@dataclass
class _Told:
    """Where the processes of a pool put what they have to tell."""

    queue: "Heard | None" = None


_TOLD = _Told()


def _started(queue: Heard) -> None:
    _TOLD.queue = queue


def _task(spec: TrainingSpec, store: RunStore, index: int) -> Run:
    def tell(epoch: int | None) -> None:
        if _TOLD.queue is not None:
            _TOLD.queue.put((index, epoch))

    run = train(spec, store, progress=False, on_epoch=lambda row: tell(row.epoch))
    tell(None)  # in the same queue, so that its end is never heard before its epochs
    return run


def _in_processes(
    specs: Sequence[TrainingSpec], store: RunStore, processes: int, count: Count
) -> list[Outcome]:
    """Train in processes of this machine, which are started afresh: what holds threads cannot be forked."""
    context = multiprocessing.get_context("spawn")
    queue: Heard = context.SimpleQueue()
    listener = Thread(target=_listen, args=(queue, count), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_started, initargs=(queue,))
    try:
        futures = [pool.submit(_task, spec, store, index) for index, spec in enumerate(specs)]
        return [_outcome(future) for future in futures]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        queue.put(None)
        listener.join()


def _listen(queue: Heard, count: Count) -> None:
    for index, epoch in iter(queue.get, None):
        if epoch is None:
            count.ended(index)
        else:
            count.heard(index, epoch)


def _outcome(future: "Future[Run]") -> Outcome:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return InputError(
            "a process was ended from outside, perhaps for want of memory; its last checkpoint is kept: run the same "
            "command again, with fewer --workers"
        )
    return error or future.result()


def _all_or_error(outcomes: Sequence[Outcome]) -> list[Run]:
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    failures = [(i, outcome) for i, outcome in enumerate(outcomes) if not isinstance(outcome, Run)]
    for _, failure in failures:
        if not isinstance(failure, InputError):
            raise failure
    if failures:
        said = "; ".join(f"training {index + 1}: {failure}" for index, failure in failures)
        raise InputError(f"{len(failures)} of {len(outcomes)} trainings failed, the others are kept: {said}")
    return runs

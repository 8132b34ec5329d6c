"""How are many networks trained side by side?

Trainings share nothing, so each is one Dask task that fills one entry of the store: on a local cluster of
processes by default, on a laboratory's cluster by the address of its scheduler. A task that is repeated
resumes, or returns what is there. Several trainings of one thread each use a few cores better than one of
several threads.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial

from dask.system import CPU_COUNT
from distributed import Client, LocalCluster, as_completed, get_worker

from covalign.errors import InputError
from covalign.progress import Told, shown
from covalign.training.loop import train
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore

TOPIC = "covalign-epochs"


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
        workers: processes of the local cluster; None takes as many as the cores allow. One trains here.
        scheduler: address of a running Dask scheduler ("tcp://host:8786"), whose workers must have one thread
            each; None starts a local cluster that listens on this machine only.
        progress: what is told, or whether to show it; see `covalign.progress.shown`.

    Raises:
        InputError: some trainings failed (all others were finished first), or the scheduler cannot be used.
    """
    shared = RunStore(store.root.resolve())
    threads = max((spec.threads for spec in specs), default=1)
    processes = min(len(specs), workers or max(1, CPU_COUNT // threads))
    with shown(progress) as told:
        count = _counted(specs, told)
        if scheduler is None and processes <= 1:
            outcomes = [_attempt(spec, shared, count, index) for index, spec in enumerate(specs)]
        else:
            with _client(processes, scheduler) as client:
                outcomes = _side_by_side(client, specs, shared, count)
    return _all_or_error(outcomes)


Counted = Callable[[int, int], None]
"""Is told that training ``index`` has ``epochs`` epochs behind."""


def _attempt(spec: TrainingSpec, store: RunStore, count: Counted, index: int) -> Run | BaseException:
    try:
        run = train(spec, store, progress=False, on_epoch=lambda row: count(index, row.epoch))
    except InputError as error:
        return error
    count(index, spec.epochs)
    return run


def _task(spec: TrainingSpec, store: RunStore, index: int) -> Run:
    worker = get_worker()
    tell = partial(worker.log_event, TOPIC)
    return train(spec, store, progress=False, on_epoch=lambda row: tell([index, row.epoch]))


def _side_by_side(
    client: Client, specs: Sequence[TrainingSpec], store: RunStore, count: Counted
) -> list[Run | BaseException]:
    client.subscribe_topic(TOPIC, lambda event: count(*event[1]))
    futures = [client.submit(_task, spec, store, index, pure=False) for index, spec in enumerate(specs)]
    position = {future.key: index for index, future in enumerate(futures)}
    try:
        for future in as_completed(futures):
            count(position[future.key], specs[position[future.key]].epochs)
        return [future.exception() or future.result() for future in futures]
    except (OSError, CancelledError, TimeoutError) as error:
        raise InputError(
            f"the Dask scheduler was lost ({type(error).__name__}); start it again and run the same command: what "
            "was trained is kept, and resumes"
        ) from error


def _all_or_error(outcomes: Sequence[Run | BaseException]) -> list[Run]:
    runs = [outcome for outcome in outcomes if isinstance(outcome, Run)]
    failures = [(i, outcome) for i, outcome in enumerate(outcomes) if not isinstance(outcome, Run)]
    for _, failure in failures:
        if not isinstance(failure, InputError):
            raise failure
    if failures:
        said = "; ".join(f"training {index + 1}: {failure}" for index, failure in failures)
        raise InputError(f"{len(failures)} of {len(outcomes)} trainings failed, the others are kept: {said}")
    return runs


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Client]:
    """Give a client of the scheduler, or of a local cluster: processes of one thread, no memory limit.

    A local cluster listens to this machine alone, at ports that are free: several may run side by side.
    """
    if scheduler is not None:
        with _reached(scheduler) as client:
            yield client
        return
    cluster = LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=logging.ERROR,
    )
    with cluster, Client(cluster) as client:
        yield client


@contextmanager
def _reached(scheduler: str) -> Iterator[Client]:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler {scheduler!r}: cannot be reached ({error}); expected the address of a running Dask "
            "scheduler such as tcp://host:8786"
        ) from error
    with client:
        if any(threads != 1 for threads in client.nthreads().values()):
            raise InputError(
                f"scheduler {scheduler!r}: has workers of several threads; trainings need a process each: "
                "start the workers with --nthreads 1"
            )
        yield client


def _counted(specs: Sequence[TrainingSpec], told: Told) -> Counted:
    """Return what adds up the epochs of all trainings, and tells of each that ends."""
    done = [0] * len(specs)

    def count(index: int, epochs: int) -> None:
        spec, news = specs[index], epochs > done[index]
        done[index] = max(done[index], epochs)
        finished = sum(epochs >= spec.epochs for epochs, spec in zip(done, specs, strict=True))
        ended = f"{finished}/{len(specs)}, {spec.images} seed {spec.seed}"
        share = sum(done) / max(1, sum(spec.epochs for spec in specs))
        told("trainings", share, ended if news and epochs >= spec.epochs else "")

    return count

"""How are many networks trained on a laboratory's cluster?

Each training is one Dask task, sent to a scheduler that runs already. Dask is an extra: `pip install
'covalign[cluster]'`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from typing import Any

from covalign.errors import InputError, optional
from covalign.training.loop import train
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore

TOPIC = "covalign-epochs"


def on_cluster(
    specs: Sequence[TrainingSpec],
    store: RunStore,
    scheduler: str,
    heard: Callable[[int, int], None],
    ended: Callable[[int], None],
) -> list[Run | BaseException]:
    """Train every spec as a task of a scheduler, and return runs or what was raised, in the same order.

    Args:
        specs: what to train; paths in them, and the store's, must mean the same on every worker.
        store: where the runs are kept.
        scheduler: its address, such as "tcp://host:8786".
        heard: told the index of a training and how many epochs it has behind.
        ended: told the index of a training that is finished.

    Raises:
        InputError: Dask is not installed, or the scheduler cannot be used or was lost.
    """
    distributed = optional("distributed", "cluster")
    with _reached(scheduler) as client:
        client.subscribe_topic(TOPIC, lambda event: heard(*event[1]))
        futures = [client.submit(_task, spec, store, index, pure=False) for index, spec in enumerate(specs)]
        position = {future.key: index for index, future in enumerate(futures)}
        try:
            for future in distributed.as_completed(futures):
                if future.exception() is None:
                    ended(position[future.key])
            return [future.exception() or future.result() for future in futures]
        except (OSError, CancelledError, TimeoutError) as error:
            raise InputError(
                f"the Dask scheduler was lost ({type(error).__name__}); start it again and run the same command: "
                "what was trained is kept, and resumes"
            ) from error


def _task(spec: TrainingSpec, store: RunStore, index: int) -> Run:
    tell = partial(optional("distributed", "cluster").get_worker().log_event, TOPIC)
    return train(spec, store, progress=False, on_epoch=lambda row: tell([index, row.epoch]))


@contextmanager
def _reached(scheduler: str) -> Iterator[Any]:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is raised
    try:
        client = optional("distributed", "cluster").Client(scheduler, timeout=10)
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

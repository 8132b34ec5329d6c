"""How are tasks carried out on a laboratory's cluster?

By a Dask scheduler that runs already, or by one that is started on this machine for the time being. Dask is an extra:
`pip install 'covalign[cluster]'`. A scheduler runs what it is sent: it belongs on a network that is trusted.
"""

import logging
import pickle
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from covalign.errors import InputError, optional
from covalign.tasks.outcome import (
    ENDED,
    Failure,
    Heard,
    Outcome,
    Task,
    Waiting,
    attempted,
    failure_of,
    pickled,
)

LOCAL = "local"
"""Names a scheduler that is started here, with a worker for every core."""
AHEAD = 2
"""Items that a worker is sent at a time: the next one waits where the present one is worked on."""
REACHED_WITHIN, WRITTEN_WITHIN = 10, 20
"""Seconds in which a scheduler has to answer, and to write its file, where it was started just before."""


class Cluster:
    """Workers of a Dask scheduler.

    Args:
        client: of the scheduler.
    """

    def __init__(self, client: Any) -> None:
        self.client = client

    def carry_out(self, task: Task, items: Iterable[Any], common: Any, heard: Heard) -> Iterator[Outcome]:
        """Carry out a task for every item, and yield how each ends, as it ends.

        Args:
            task: importable by its name on every worker.
            items: taken as there are workers for them.
            common: what all tasks share.
            heard: told what tasks tell.

        Raises:
            InputError: the scheduler was lost.
        """
        waiting, topic = Waiting(items), f"covalign-{uuid.uuid4()}"
        beginning = pickled((task, common))  # bytes: a scheduler passes on what it need not understand
        running: dict[str, tuple[int, Any]] = {}
        with _named_when_lost():
            self.client.subscribe_topic(topic, lambda event: heard(*event[1]))
            pending = optional("distributed", "cluster").as_completed()
            shared = None
            while True:
                while len(running) < self._room and (following := waiting.take()):
                    if shared is None or shared.status != "finished":  # those that held it are gone
                        shared = self.client.scatter([beginning], broadcast=True, hash=False)[0]
                    place, item = following
                    future = self.client.submit(_attempt, shared, pickled(item), topic, place, pure=False)
                    running[future.key] = following
                    pending.add(future)
                if not running:
                    return
                future = next(pending)
                yield from waiting.ended(*running.pop(future.key), _found(future))

    @property
    def _room(self) -> int:
        return AHEAD * max(1, len(self.client.nthreads()))


@contextmanager
def _named_when_lost() -> Iterator[None]:
    try:
        yield
    except (OSError, CancelledError, TimeoutError) as error:
        raise InputError(
            f"the Dask scheduler was lost ({type(error).__name__}); start it again and run the same command: "
            "what was finished is kept, and what was begun resumes"
        ) from error


def _silence() -> None:
    """Keep Dask from logging, some of whose parts state a level of their own: what matters is raised."""
    optional("distributed", "cluster")
    known = [name for name in logging.Logger.manager.loggerDict if name.startswith("distributed.")]
    for name in ("distributed", *known):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _found(future: Any) -> Any | Failure:
    if future.status == "finished":
        return pickle.loads(future.result())
    if future.client.status != "running":
        raise CancelledError
    if future.status == "cancelled":  # what it needed was lost with a worker
        return ENDED
    error = future.exception()
    killed = isinstance(error, optional("distributed", "cluster").scheduler.KilledWorker)
    return ENDED if killed else failure_of(error)


def _attempt(beginning: bytes, content: bytes, topic: str, place: int) -> bytes:
    worker = optional("distributed", "cluster").get_worker()
    task, common = pickle.loads(beginning)
    found = attempted(
        task, common, pickle.loads(content), lambda told: worker.log_event(topic, [place, told])
    )
    return pickle.dumps(found, protocol=pickle.HIGHEST_PROTOCOL)


@contextmanager
def reached(scheduler: str) -> Iterator[Cluster]:
    """Give the workers of a scheduler, which have one thread each.

    Args:
        scheduler: its address ("tcp://host:8786"), a scheduler file that it wrote (".json"), or "local" for one that
            is started here for the time being.

    Raises:
        InputError: Dask is not installed, or the scheduler cannot be used.
    """
    _silence()
    with ExitStack() as open_ones:
        client = _client(scheduler, open_ones)
        if any(threads != 1 for threads in client.nthreads().values()):
            raise InputError(
                f"scheduler {scheduler!r}: has workers of several threads; tasks need a process each: "
                "start the workers with --nthreads 1"
            )
        yield Cluster(client)


def _is_file(scheduler: str) -> bool:
    """Whether a scheduler is named by the file that it writes; a while is left to it for that.

    Raises:
        OSError: no such file.
    """
    if Path(scheduler).suffix != ".json":
        return False
    for _ in range(10 * WRITTEN_WITHIN):
        if Path(scheduler).is_file():
            return True
        time.sleep(0.1)
    raise OSError(f"no such file was written within {WRITTEN_WITHIN} s")


def _client(scheduler: str, open_ones: ExitStack) -> Any:
    distributed = optional("distributed", "cluster")
    try:
        if scheduler == LOCAL:
            cluster = distributed.LocalCluster(threads_per_worker=1, dashboard_address=None)
            where = {"address": open_ones.enter_context(cluster)}
        else:
            where = {"scheduler_file" if _is_file(scheduler) else "address": scheduler}
        return open_ones.enter_context(distributed.Client(**where, timeout=REACHED_WITHIN))
    except (OSError, ValueError) as error:
        raise InputError(
            f"scheduler {scheduler!r}: cannot be reached ({error}); expected the address of a running Dask "
            "scheduler such as tcp://host:8786, the .json file that one wrote (dask scheduler --scheduler-file), or "
            "local"
        ) from error

"""How are tasks carried out in processes of this machine?

Each process has a pipe of its own and works on one item at a time, so that it is known which item a process was at
when it was ended from outside: that item alone is begun again, by a new process. Processes are started afresh: what
holds threads cannot be forked.
"""

import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any

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

PATIENCE = 10.0
"""Seconds that a process has to end by itself when there is nothing left to do."""


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables by which numerical libraries are told how many threads to take."""

UNFINISHED = object()
"""What is found of an item that is still being worked on."""


class Worker:
    """A process that carries out one item after the other.

    Attributes:
        end: this side of its pipe.
        place, item: what it is at, or was at last.
    """

    def __init__(self, threads: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.end, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other,))
        with _stated(threads):
            self.process.start()
        other.close()
        self.beginning = b""
        self.place, self.item = -1, None

    def begin(self, beginning: bytes, place: int, item: Any) -> None:
        """Send it an item, and before it the task and what all items share, where these are new to it."""
        self.place, self.item = place, item
        content = pickled(item)
        with suppress(OSError):  # it has ended, which is found when it is listened to
            self.end.send(beginning is not self.beginning)
            if beginning is not self.beginning:
                self.end.send_bytes(beginning)
            self.end.send_bytes(content)
        self.beginning = beginning

    def found(self, heard: Heard) -> Any | Failure:
        """Return how its item ended, or pass on what it tells."""
        try:
            ended, content = pickle.loads(self.end.recv_bytes())
        except (EOFError, OSError):
            return ENDED
        if not ended:
            heard(self.place, content)
        return content if ended else UNFINISHED

    def dismiss(self) -> None:
        """Let it end by itself."""
        self.end.close()
        self.process.join(PATIENCE)
        self.stop()

    def stop(self) -> None:
        """End it."""
        self.end.close()
        self.process.terminate()
        self.process.join()


class Processes:
    """Processes of this machine, started as they are needed and kept for the next items.

    Args:
        workers: how many there may be.
        threads: that numerical libraries take in each; None leaves that to them.
    """

    def __init__(self, workers: int, threads: int | None) -> None:
        self.workers, self.threads = workers, threads
        self.idle: list[Worker] = []

    def carry_out(self, task: Task, items: Iterable[Any], common: Any, heard: Heard) -> Iterator[Outcome]:
        """Carry out a task for every item, and yield how each ends, as it ends.

        Args:
            task: importable by its name.
            items: taken one by one, as there are processes for them.
            common: what all tasks share; sent to each process once.
            heard: told what tasks tell.

        Raises:
            InputError: what cannot be sent to another process.
        """
        waiting, beginning = Waiting(items), pickled((task, common))
        busy: dict[Any, Worker] = {}
        try:
            while True:
                while len(busy) < self.workers and (following := waiting.take()):
                    worker = self.idle.pop() if self.idle else Worker(self.threads)
                    busy[worker.end] = worker
                    worker.begin(beginning, *following)
                if not busy:
                    return
                for end in wait(list(busy)):
                    if (found := busy[end].found(heard)) is UNFINISHED:
                        continue
                    self._release(worker := busy.pop(end), found)
                    yield from waiting.ended(worker.place, worker.item, found)
        finally:
            for worker in busy.values():
                worker.stop()

    def _release(self, worker: Worker, found: Any | Failure) -> None:
        if found is ENDED:
            worker.stop()
        else:
            self.idle.append(worker)

    def close(self) -> None:
        """Let all processes end."""
        while self.idle:
            self.idle.pop().dismiss()


@contextmanager
def _stated(threads: int | None) -> Iterator[None]:
    """State in the environment, from which new processes take it, how many threads they shall use."""
    before = {name: os.environ.get(name) for name in THREADS}
    if threads is not None:
        os.environ.update(dict.fromkeys(THREADS, str(threads)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _work(end: Connection) -> None:
    """Carry out what comes through the pipe, until it is closed."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # an interruption from the keyboard is the parent's to handle
    task: Any = None
    common: Any = None
    try:
        while True:
            beginning = end.recv_bytes() if end.recv() else None
            content = end.recv_bytes()
            try:
                if beginning is not None:
                    task, common = pickle.loads(beginning)
                item = pickle.loads(content)
            except Exception as error:  # a class that this process cannot import
                found: Any = Failure(failure_of(error).said)
            else:
                found = attempted(
                    task, common, item, lambda told: end.send_bytes(pickle.dumps((False, told)))
                )
            end.send_bytes(_sendable(found))
    except (EOFError, OSError):  # nobody listens any more
        return


def _sendable(found: Any) -> bytes:
    try:
        return pickle.dumps((True, found), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        return pickle.dumps((True, Failure(failure_of(error).said)))

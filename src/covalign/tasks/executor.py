"""Where are tasks carried out?

One interface, whatever is behind it: this process, processes beside it, or a cluster. What comes out is the same, and
so is what happens to a task that fails: bad input is reported, anything else is tried again, elsewhere if there is
one, and neither stops the others.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from covalign.errors import InputError
from covalign.tasks.cluster import reached
from covalign.tasks.outcome import Heard, Outcome, Task, Waiting, attempted
from covalign.tasks.processes import Processes

CarryOut: TypeAlias = Callable[[Task, Iterable[Any], Any, Heard], Iterator[Outcome]]
"""Of a task, items, what is shared, and whom to tell."""


@dataclass(frozen=True)
class Executor:
    """Where tasks are carried out.

    Attributes:
        workers: processes of this machine; one works here.
        scheduler: of a Dask cluster instead: ``tcp://host:8786``, a scheduler file, or "local".
        threads: that numerical libraries take in each process beside this one; None leaves that to them, or to those
            who started a cluster's workers.

    Raises:
        InputError: fewer workers than one.
    """

    workers: int = 1
    scheduler: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"workers: got {self.workers}, expected at least 1")

    @property
    def elsewhere(self) -> bool:
        """Whether tasks are sent to other processes."""
        return self.workers > 1 or self.scheduler is not None

    @contextmanager
    def opened(self) -> Iterator[CarryOut]:
        """Give what carries out tasks, for one series of items after the other.

        It takes a task, items (which are taken one by one, as they can be worked on), what all tasks share, and whom
        to tell what tasks tell; and yields how each item ends, in the order in which they end.

        Raises:
            InputError: a scheduler that cannot be used, or what cannot be sent to another process.
        """
        if self.scheduler is not None:
            with reached(self.scheduler) as cluster:
                yield cluster.carry_out
        elif self.workers > 1:
            with closing(Processes(self.workers, self.threads)) as processes:
                yield processes.carry_out
        else:
            yield _here


class _Unheard(BaseException):
    """What was raised by who was told, which is not the task's failure."""


def _here(task: Task, items: Iterable[Any], common: Any, heard: Heard) -> Iterator[Outcome]:
    def telling(place: int, told: Any) -> None:
        try:
            heard(place, told)
        except Exception as error:
            raise _Unheard from error

    waiting = Waiting(items)
    while following := waiting.take():
        place, item = following
        try:
            found = attempted(task, common, item, partial(telling, place))
        except _Unheard as unheard:
            raise unheard.__cause__ or unheard from None
        yield from waiting.ended(place, item, found)


def available_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        return os.cpu_count() or 1

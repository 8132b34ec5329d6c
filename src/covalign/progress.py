"""How far is it? Whatever takes long tells one function, and one display shows what it was told.

A stage is named by what is done, its share rises from 0 to 1, and a note says what has come out so far:

    told("alignments", 0.4)
    told("cifar10 seed 0", 0.5, "epoch 4/8, loss 0.512, train 81.2%")

The share that a stage begins with is what was done before: it counts as no work, so that a training that resumes, or
one that was found in the store, does not make the time left look shorter than it is.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

SPEED_OVER = 3600.0
"""Seconds over which the speed is averaged that the time left is estimated from."""

EVERY = 15.0
"""Seconds from one line to the next where there is no news and no terminal."""

FIRST_GUESS = 1.0
"""Seconds that a stage must have taken before its time left is guessed."""


@runtime_checkable
class Told(Protocol):
    """What is told."""

    def __call__(self, stage: str, share: float, note: str = "", /) -> None:
        """Hear of a stage, the share of it that is done, and a note where there is news."""


def untold(stage: str, share: float, note: str = "") -> None:
    """Show nothing."""


@contextmanager
def shown(progress: Told | bool | None = True, clock: Callable[[], float] = time.monotonic) -> Iterator[Told]:
    """Give what is to be told, and show on standard error what it is told.

    A terminal gets a bar for each stage, with the time it took and the time left; anything else a line for each note,
    and a line now and then where there are no notes.

    Args:
        progress: a function is given as it is; nothing is shown for False or None.
        clock: seconds, from which the time left is guessed.
    """
    if not isinstance(progress, bool):
        yield progress or untold
    elif not progress:
        yield untold
    else:
        console = Console(stderr=True)
        if not console.is_terminal:
            yield Lines(console, clock)
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
        )
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        note = TextColumn("{task.fields[note]}", markup=False)
        bar = Progress(*columns, *times, note, console=console, speed_estimate_period=SPEED_OVER)
        try:
            yield _bars(bar)
        finally:
            bar.stop()


def _bars(bar: Progress) -> Told:
    stages: dict[str, TaskID] = {}

    def told(stage: str, share: float, note: str = "") -> None:
        bar.start()
        if stage not in stages:  # what is done already is no work of this bar
            stages[stage] = bar.add_task(stage, total=1.0, completed=share, note="")  # type: ignore[arg-type]
        task = bar.tasks[stages[stage]]
        bar.update(task.id, completed=share, note=note or task.fields["note"])

    return told


class Lines:
    """Says in lines how far it is, for logs and pipes: what is news, and now and then what is not."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self.clock = clock
        self.spoken = clock()
        self.begun: dict[str, tuple[float, float]] = {}

    def __call__(self, stage: str, share: float, note: str = "", /) -> None:
        """Print what is new."""
        now = self.clock()
        self.begun.setdefault(stage, (now, share))
        silent = now - self.spoken >= EVERY and share < 1
        if note or silent:
            self._say(f"{stage}: {note or f'{share:.0%}'}{self._left(stage, share, now)}")
            self.spoken = now

    def _left(self, stage: str, share: float, now: float) -> str:
        """Return the time left, from the work of this process alone; nothing where there was none yet."""
        begun, before = self.begun[stage]
        worked, taken = share - before, now - begun
        if not worked > 0 or share >= 1 or taken < FIRST_GUESS:
            return ""
        return f", about {duration((1 - share) * taken / worked)} left"

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True, markup=False)


def duration(seconds: float) -> str:
    """Return a time in words, as coarse as an estimate is."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"

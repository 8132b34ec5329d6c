"""How far is it? Whatever takes long tells one function, and one display shows what it was told.

A stage is named by what is done, its share rises from 0 to 1, and a note says what has come out so far:

    told("alignments", 0.4)
    told("cifar10 seed 0", 0.5, "epoch 4/8, loss 0.512, train 81.2%")
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

SPEED_OVER = 3600.0
"""Seconds over which the speed is averaged that the time left is estimated from."""


@runtime_checkable
class Told(Protocol):
    """What is told."""

    def __call__(self, stage: str, share: float, note: str = "", /) -> None:
        """Hear of a stage, the share of it that is done, and a note where there is news."""


def untold(stage: str, share: float, note: str = "") -> None:
    """Show nothing."""


@contextmanager
def shown(progress: Told | bool | None = True) -> Iterator[Told]:
    """Give what is to be told, and show on standard error what it is told.

    A terminal gets a bar for each stage, with the time left; anything else a line for each note.

    Args:
        progress: a function is given as it is; nothing is shown for False or None.
    """
    if not isinstance(progress, bool):
        yield progress or untold
    elif not progress:
        yield untold
    else:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        bar = Progress(
            *columns,
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            disable=not console.is_terminal,
            speed_estimate_period=SPEED_OVER,
        )
        try:
            yield _teller(bar)
        finally:
            bar.stop()


def _teller(bar: Progress) -> Told:
    stages: dict[str, TaskID] = {}

    def told(stage: str, share: float, note: str = "") -> None:
        bar.start()
        if stage not in stages:
            stages[stage] = bar.add_task(stage, total=1.0, note="")
        task = bar.tasks[stages[stage]]
        bar.update(task.id, completed=share, note=note or task.fields["note"])
        if note and bar.disable:
            left = f", about {task.time_remaining:.0f} s left" if task.time_remaining else ""
            bar.console.print(f"{stage}: {note}{left}", highlight=False, soft_wrap=True, markup=False)

    return told

"""How far is a training? A bar with the time left on a terminal, one line an epoch elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from covalign.training.run import Epoch


@runtime_checkable
class Reporter(Protocol):
    """Is told what happens; decides what is shown."""

    def step(self, done: int) -> None:
        """``done`` steps of the whole training are behind."""
        ...

    def epoch(self, row: Epoch) -> None:
        """An epoch has ended."""
        ...


@contextmanager
def reporter(
    title: str, epochs: int, steps: int, progress: bool | Callable[[Epoch], None]
) -> Iterator[Reporter]:
    """Give the reporter that suits where the output goes (standard error, nowhere, or a function)."""
    console = Console(stderr=True)
    if not isinstance(progress, bool):
        yield _Told(progress)
    elif not progress:
        yield _Told(lambda row: None)
    elif not console.is_terminal:
        yield _Lines(console, title, epochs)
    else:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[last]}"), console=console) as bar:
            yield _Bar(bar, title, epochs * steps)


class _Told:
    def __init__(self, tell: Callable[[Epoch], None]) -> None:
        self.epoch = tell

    def step(self, done: int) -> None:
        pass


class _Lines:
    def __init__(self, console: Console, title: str, epochs: int) -> None:
        self.console, self.title, self.epochs = console, title, epochs

    def step(self, done: int) -> None:
        pass

    def epoch(self, row: Epoch) -> None:
        left = row.seconds * (self.epochs - row.epoch)
        self.console.print(
            f"{self.title}: epoch {row.epoch}/{self.epochs}, {_figures(row)}, {row.seconds:.1f} s, "
            f"about {left:.0f} s left",
            highlight=False,
            soft_wrap=True,
        )


class _Bar:
    def __init__(self, bar: Progress, title: str, total: int) -> None:
        self.bar = bar
        self.task = bar.add_task(title, total=total, last="")

    def step(self, done: int) -> None:
        self.bar.update(self.task, completed=done)

    def epoch(self, row: Epoch) -> None:
        self.bar.update(self.task, last=_figures(row))


def _figures(row: Epoch) -> str:
    test = "" if row.test_accuracy is None else f", test {row.test_accuracy:.1%}"
    return f"loss {row.train_loss:.3f}, train {row.train_accuracy:.1%}{test}"

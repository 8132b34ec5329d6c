"""What is a task, and how does it end?

A task is a function of what all tasks share, of an item of its own, and of whom it may tell how far it is. It has to
be importable by name, and its arguments to be pickled, since it may be carried out in another process. A task may be
carried out more than once: one that was ended from outside is begun again, and one whose item somebody else is at is
set aside until the others are done.
"""

import pickle
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from covalign.errors import InputError

ATTEMPTS = 3
"""How often a task is begun, where what stopped it may pass: a process that was ended, a disk that was away."""

Tell: TypeAlias = Callable[[Any], None]
"""Takes word from a running task."""
Task: TypeAlias = Callable[[Any, Any, Tell], Any]
"""Of what is shared, an item, and whom to tell."""
Heard: TypeAlias = Callable[[int, Any], None]
"""Takes the place of an item and what its task tells."""


@dataclass(frozen=True)
class Failure:
    """Why a task did not come to its end.

    Attributes:
        said: one line.
        passing: whether it may go better another time.
        trace: where it happened, in many lines; empty where the input was to blame.
    """

    said: str
    passing: bool = False
    trace: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of an item: the result of its task, or why there is none."""

    place: int
    found: Any | Failure


class Occupied(Exception):
    """What a task raises where somebody else is at its item.

    Attributes:
        again: the item as it shall be taken up when the others are done.
    """

    def __init__(self, again: Any) -> None:
        super().__init__(again)
        self.again = again


@dataclass(frozen=True)
class SetAside:
    """What is found of an item that somebody else is at; ``again`` is what it is taken up as."""

    again: Any


ENDED = Failure(
    "its process was ended from outside, perhaps for want of memory; what it had kept is kept: run the same command "
    "again, with fewer --workers",
    passing=True,
)


def attempted(task: Task, common: Any, item: Any, tell: Tell) -> Any | Failure | SetAside:
    """Carry out a task, and return its result or why there is none."""
    try:
        return task(common, item, tell)
    except Occupied as occupied:
        return SetAside(occupied.again)
    except InputError as error:  # it will not go better another time
        return Failure(str(error))
    except Exception as error:
        return failure_of(error)


def failure_of(error: Exception) -> Failure:
    """Return in one line what was raised and where."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f", in {each.name} ({Path(each.filename).name}:{each.lineno})" for each in last)
    said = " ".join(str(error).split())
    trace = "".join(traceback.format_exception(error))
    return Failure(f"{type(error).__name__}: {said}{where}", passing=True, trace=trace)


def pickled(content: Any) -> bytes:
    """Return bytes that another process reads.

    Raises:
        InputError: something in it cannot be sent.
    """
    try:
        return pickle.dumps(content, protocol=pickle.HIGHEST_PROTOCOL)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"workers: what is worked on cannot be sent to another process ({error}); define its classes and "
            "functions in a module, or take one worker"
        ) from error


class Waiting:
    """Items that wait: those that failed and are tried again, those not taken yet, and last those set aside."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.untaken = enumerate(items)
        self.again: deque[tuple[int, Any]] = deque()
        self.aside: deque[tuple[int, Any]] = deque()
        self.failed: Counter[int] = Counter()

    def take(self) -> tuple[int, Any] | None:
        """Return the place and the item that is next; None where nothing waits."""
        if self.again:
            return self.again.popleft()
        following = next(self.untaken, None)
        return self.aside.popleft() if following is None and self.aside else following

    def ended(self, place: int, item: Any, found: Any | Failure | SetAside) -> Iterator[Outcome]:
        """Hear how an item ended; yield that, unless the item is tried again."""
        if isinstance(found, SetAside):
            self.aside.append((place, found.again))
            return
        self.failed[place] += isinstance(found, Failure)
        if isinstance(found, Failure) and found.passing and self.failed[place] < ATTEMPTS:
            self.again.append((place, item))
        else:
            yield Outcome(place, found)


class TaskError(Exception):
    """What stopped a task, as the process saw it that carried it out."""


def all_found(outcomes: Iterable[Outcome], name: Callable[[int], str], what: str) -> dict[int, Any]:
    """Return every result by its place, once all have ended.

    Args:
        outcomes: as they end.
        name: what the item at a place is called.
        what: items are, in the plural.

    Raises:
        InputError: some failed, each named with why; all others were finished first.
    """
    found: dict[int, Any] = {}
    failures: dict[int, Failure] = {}
    for outcome in outcomes:
        if isinstance(outcome.found, Failure):
            failures[outcome.place] = outcome.found
        else:
            found[outcome.place] = outcome.found
    if failures:
        raise _all_in_one(failures, len(failures) + len(found), name, what)
    return found


def _all_in_one(
    failures: Mapping[int, Failure], total: int, name: Callable[[int], str], what: str
) -> InputError:
    """Return the error that says what failed: each reason once, with what failed for it."""
    places: dict[str, list[int]] = {}
    for place, each in sorted(failures.items()):
        places.setdefault(each.said, []).append(place)
    said = [f"{_some(each, name)}: {reason}" for reason, each in places.items()]
    error = InputError(
        next(iter(places))
        if len(failures) == total and len(places) == 1
        else f"{len(failures)} of {total} {what} failed, the others are kept: {'; '.join(said)}"
    )
    error.__cause__ = next((TaskError(each.trace) for each in failures.values() if each.trace), None)
    return error


NAMED = 3
"""How many items are named that failed for one reason; the others are counted."""


def _some(places: Sequence[int], name: Callable[[int], str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(places) - NAMED
    others = f" and {more} other{'s' if more > 1 else ''}" if more > 0 else ""
    return f"{', '.join(map(name, places[:NAMED]))}{others}"

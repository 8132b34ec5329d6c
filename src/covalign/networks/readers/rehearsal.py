"""What would a pickle of weights make, and what would that cost?

A pickle is a program. Before PyTorch's own restricted unpickler runs one, it is rehearsed here on dummies: nothing is
imported, nothing allocated, but every storage that it asks for is noted with its size, and every key that could be
made to collide with others is counted (the hashes of texts are salted, those of numbers and tuples are not, and a few
hundred kilobytes of equal ones take minutes).
"""

import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from covalign.errors import InputError
from covalign.limits import KEYS

BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "LongStorage": 8,
    "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1,
    "ComplexDoubleStorage": 16, "ComplexFloatStorage": 8, "QUInt8Storage": 1, "QInt8Storage": 1,
    "QInt32Storage": 4, "QUInt4x2Storage": 1, "QUInt2x4Storage": 1, "UntypedStorage": 1,
}  # fmt: skip
"""Bytes of a number, by the name that a pickle gives its storage."""
SMALL = 2**31
"""Numbers below it are keys of optimizers; too few of them collide to matter."""


class Dummy:
    """Stands for whatever a pickle would import, or make of it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *arguments: Any, **named: Any) -> "Dummy":
        """Stand for what a call would give."""
        return Dummy(self.name)

    def __setstate__(self, state: Any) -> None:
        """Take any state for nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take any entry for nothing."""

    def append(self, value: Any) -> None:
        """Take any entry for nothing."""

    extend = update = add = append


class Rehearsal(pickle._Unpickler):
    """Unpickles onto dummies.

    Attributes:
        where: the file, for messages.
        storages: bytes that each storage is said to have, by its key in the archive.
        odd: keys so far that are neither texts nor small numbers.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, stream: Any, where: str) -> None:
        super().__init__(stream)
        self.where = where
        self.storages: dict[str, int] = {}
        self.odd = 0

    def find_class(self, module: str, name: str) -> Any:
        """Import nothing."""
        return self._made_of_keys if name in ("set", "Counter") else Dummy(name)

    def persistent_load(self, reference: Any) -> Any:
        """Note a storage: ("storage", kind, key, place, numbers)."""
        if reference[0] == "storage":
            _, kind, key, _, numbers = reference[:5]
            size = int(numbers) * BYTES.get(getattr(kind, "name", ""), 0)
            self.storages[str(key)] = max(self.storages.get(str(key), 0), size)
        return Dummy("storage")

    def count(self, keys: Iterable[Any]) -> None:
        """Look at keys before anything computes their hashes.

        Raises:
            InputError: too many that may collide, or one that is made of others again and again.
        """
        for key in keys:
            if isinstance(key, str) or (isinstance(key, int) and abs(key) < SMALL):
                continue
            if isinstance(key, tuple | frozenset) and any(
                isinstance(part, tuple | frozenset) for part in key
            ):
                raise InputError(f"{self.where}: has a key of keys, expected names; save model.state_dict()")
            self.odd += 1
            KEYS.check(self.odd, self.where)

    def _made_of_keys(self, entries: Iterable[Any] = ()) -> Dummy:
        self.count(entries)
        return Dummy("set")


Step = Callable[[Any], None]


def _counting(keys: Callable[[Any], Sequence[Any]], step: Step) -> Step:
    """Return a step of the unpickler that looks at keys first; ``keys`` finds them on its stack."""

    def counted(found: Any) -> None:
        found.count(keys(found.stack))
        step(found)

    return counted


def _called(found: Any) -> None:
    """Call a dummy instead of making an object."""
    arguments = found.stack.pop()
    found.stack[-1] = found.stack[-1](*arguments)


for _operation, _keys in (
    (pickle.SETITEM, lambda stack: stack[-2:-1]),
    (pickle.SETITEMS, lambda stack: stack[::2]),
    (pickle.DICT, lambda stack: stack[::2]),
    (pickle.ADDITEMS, lambda stack: stack),
    (pickle.FROZENSET, lambda stack: stack),
):
    Rehearsal.dispatch[_operation[0]] = _counting(_keys, Rehearsal.dispatch[_operation[0]])
Rehearsal.dispatch[pickle.NEWOBJ[0]] = _called

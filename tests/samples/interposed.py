"""A process that is killed between any two durable steps, as the disk sees it."""

import math
import os
from collections.abc import Callable
from typing import Any

import pytest

from covalign.storage import atomic


class Killed(BaseException):
    """The process is gone."""


class Interposed:
    """Lets a number of durable steps happen; then nothing reaches the disk any more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, steps: float = math.inf) -> None:
        self.left, self.taken = steps, 0
        for name in ("stage", "publish", "discard", "settle"):
            monkeypatch.setattr(atomic, name, self.counted(getattr(atomic, name)))

    def counted(self, step):
        def counted(*arguments):
            if self.left <= 0:
                if step.__name__ == "stage" and self.left == 0:  # dies in the middle of a file
                    path, content = arguments
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.with_name(f".{path.name}.{os.getpid()}.tmp").write_bytes(
                        content[: len(content) // 2]
                    )
                self.left = -1
                raise Killed
            self.left, self.taken = self.left - 1, self.taken + 1
            return step(*arguments)

        return counted


def steps_of(act: Callable[[], Any]) -> int:
    """How many durable steps an act takes."""
    with pytest.MonkeyPatch.context() as patch:
        counter = Interposed(patch)
        act()
    return counter.taken


def killed_after(steps: int, act: Callable[[], Any]) -> bool:
    """Act until the disk has seen so many steps; say whether that was before the end."""
    with pytest.MonkeyPatch.context() as patch:
        Interposed(patch, steps)
        try:
            act()
        except Killed:
            return True
    return False

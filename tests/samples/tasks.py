"""Tasks that end well, badly, by force, or late."""

import os
import signal
from pathlib import Path

from covalign.errors import InputError
from covalign.tasks.outcome import Occupied


def squared(common, item, tell):
    tell(f"squaring {item}")
    return common["plus"] + item**2


def stubborn(common, item, tell):
    """Fail as an item says, and keep count in a file of how often it was begun."""
    count = Path(common["folder"]) / str(item)
    begun = int(count.read_text()) + 1 if count.exists() else 1
    count.write_text(str(begun))
    tell(begun)
    how, _, times = item.partition(":")
    if times and begun > int(times):
        return begun
    if how == "input":
        raise InputError("this input is bad")
    if how == "occupied":
        raise Occupied(item)
    if how == "broken":
        raise ZeroDivisionError("nothing to divide by")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return begun


def unsendable(common, item, tell):
    return lambda: item


def at_home(common, item, tell):
    return os.getpid()

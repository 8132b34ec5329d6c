"""Of which words is the name of a tensor made?

Names are paths: ``layer1.0.conv.weight`` in PyTorch, ``layer1/0/conv/kernel:0`` in TensorFlow. A *part* is what
stands between two separators; its words are what a person reads in it: ``modelEMA`` and ``model_ema`` are both
(model, ema).
"""

import re
from functools import lru_cache

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

ASKED = 4096
"""Parts that are remembered: judging asks for the same ones of many tensors, in many ways."""


def phrases(text: str) -> tuple[str, ...]:
    """Return the phrases of a list, in which one word follows another after ``_``."""
    return tuple(text.split())


def dotted(name: str) -> str:
    """Return a name with dots for separators, whatever its framework writes."""
    return re.sub(r":\d+$", "", name).strip("/").replace("/", ".")


@lru_cache(maxsize=ASKED)
def words(part: str) -> tuple[str, ...]:
    """Return the words of a part, in lower case; numbers are words."""
    return tuple(word.lower() for word in _WORD.findall(part))


@lru_cache(maxsize=ASKED)
def says(part: str, phrases: tuple[str, ...]) -> bool:
    """Whether a part contains one of these phrases, word by word (``exp_avg`` is a phrase of two words)."""
    text = f"_{'_'.join(words(part))}_"
    return any(f"_{phrase}_" in text for phrase in phrases)


def plain(name: str) -> str:
    """Return what is left of a name without separators, by which makers who drop dots can be matched."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def split(name: str) -> tuple[str, str]:
    """Return the module that owns a tensor, and the tensor's own name in it."""
    owner, _, leaf = name.rpartition(".")
    return owner, leaf


def subject(owner: str) -> str:
    """Return the last part of an owner's path that is more than a number."""
    return next((part for part in reversed(owner.split(".")) if not part.isdigit()), "")

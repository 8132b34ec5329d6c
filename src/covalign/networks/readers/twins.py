"""Which tensors of a file are the same numbers once more?

Weights that a network uses twice (tied ones) are stored once by some makers and twice by others, as is a whole
network below two prefixes. Equal numbers are one layer, with two exceptions. Numbers that are all equal (zeros, ones)
are no copy of anything. And parts that only a number tells apart (``layers.0``, ``layers.1``) are blocks that were
made as copies of one another and not yet trained: each is a layer of its own.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

SAMPLE = 16
"""Numbers of a tensor by which it is looked up before it is compared as a whole (our choice)."""

Part = Mapping[str, Tensor]
"""Tensors by their names below one prefix; of a tensor alone, that by no name."""


class Twins:
    """The parts of a file that were seen, found by some of their numbers."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], list[tuple[str, Part]]] = {}

    def find(self, name: str, part: Part) -> str:
        """Return the earlier part of which this one is a copy, or "": one with matrices that vary."""
        alike = self._seen.get(_some(part), [])
        return next((other for other, own in alike if _is_copy(name, part, other, own)), "")

    def add(self, name: str, part: Part) -> None:
        """Remember a part."""
        self._seen.setdefault(_some(part), []).append((name, part))


def _some(part: Part) -> tuple[object, ...]:
    """Return by what a part is looked up."""
    return tuple((name, tensor.shape, tensor.dtype, *_few(tensor)) for name, tensor in sorted(part.items()))


def _few(tensor: Tensor) -> tuple[object, ...]:
    if tensor.layout != torch.strided:
        return ()
    return tuple(tensor.detach().flatten()[:: max(1, tensor.numel() // SAMPLE)].tolist())


def _is_copy(name: str, part: Part, other: str, own: Part) -> bool:
    """Whether two parts of the same names and shapes are one, by numbers that vary and by what they are called."""
    if re.sub(r"\d+", "", name) == re.sub(r"\d+", "", other):
        return False
    if any(tensor.layout != torch.strided for each in (part, own) for tensor in each.values()):
        return False
    equal = all(torch.equal(tensor, own[key]) for key, tensor in part.items())
    return equal and any(_varies(tensor) for tensor in part.values() if tensor.ndim > 1)


def _varies(tensor: Tensor) -> bool:
    flat = tensor.detach().flatten()
    return bool((flat != flat[:1]).any())

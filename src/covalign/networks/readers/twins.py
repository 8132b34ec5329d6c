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


class Twins:
    """The tensors of a file that were seen."""

    def __init__(self) -> None:
        self._seen: dict[tuple[object, ...], list[tuple[str, Tensor]]] = {}

    def of(self, name: str, tensor: Tensor) -> str:
        """Return the earlier tensor of which this one is a copy, or "" after remembering it."""
        few = tensor.detach().flatten()[:: max(1, tensor.numel() // SAMPLE)]
        key = (tensor.shape, tensor.dtype, tuple(few.tolist()))
        alike = self._seen.setdefault(key, [])
        found = next((other for other, values in alike if is_copy(name, tensor, other, values)), "")
        if not found:
            alike.append((name, tensor))
        return found


def is_copy(name: str, tensor: Tensor, other: str, values: Tensor) -> bool:
    """Whether two tensors are one, by numbers that vary and by names that differ in more than a number."""
    if re.sub(r"\d+", "", name) == re.sub(r"\d+", "", other) or not torch.equal(tensor, values):
        return False
    flat = tensor.detach().flatten()
    return bool((flat != flat[:1]).any())


def same_numbers(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two parts of a file have the same names and numbers, of two tensors or more that vary."""
    matrices = [name for name, tensor in one.items() if tensor.ndim > 1]
    if len(matrices) < 2 or one.keys() != other.keys():
        return False
    if any(
        tensor.shape != other[name].shape
        or tensor.dtype != other[name].dtype
        or tensor.layout != torch.strided
        for name, tensor in one.items()
    ):
        return False
    equal = all(torch.equal(tensor, other[name]) for name, tensor in one.items())
    return equal and any(bool((one[name] != one[name].flatten()[0]).any()) for name in matrices)

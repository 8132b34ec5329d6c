"""Labelled images as one uint8 tensor.

An `Images` record is decoded once and never normalized: how pixels enter a network is a property of the
network (see `covalign.data.normalization`), so that the same record serves every network.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Images:
    """Images with labels.

    Attributes:
        pixels: shape ``[n, c, h, w]``, uint8.
        labels: shape ``[n]``, indices into ``classes``.
        classes: class names, in label order.
        name: short name for tables and captions ("cifar10-jpeg").
        split: "train", "test", or what the source calls it.
    """

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    name: str
    split: str

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels and labels: equal fingerprints mean equal training data."""
        digest = hashlib.sha256(repr((tuple(self.pixels.shape), self.classes)).encode())
        digest.update(self.pixels.contiguous().numpy().tobytes())
        digest.update(self.labels.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def take(self, indices: Tensor) -> "Images":
        """Return the images at ``indices``, in that order."""
        return replace(self, pixels=self.pixels[indices], labels=self.labels[indices])

    def sample(self, count: int, seed: int = 0) -> "Images":
        """Return ``count`` images drawn without replacement (all of them if there are fewer)."""
        if count >= len(self):
            return self
        generator = torch.Generator().manual_seed(seed)
        return self.take(torch.randperm(len(self), generator=generator)[:count])

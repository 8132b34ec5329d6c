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

from covalign.errors import InputError
from covalign.showing import Shown


@dataclass(frozen=True, eq=False, repr=False)
class Images(Shown):
    """Images with labels.

    Attributes:
        pixels: shape ``[n, c, h, w]``, uint8.
        labels: shape ``[n]``, indices into ``classes``.
        classes: class names, in label order.
        name: short name for tables and captions ("cifar10-jpeg").
        split: "train", "test", or what the source calls it; "all" where the source has no splits.

    Raises:
        InputError: no images, or labels that are not indices into ``classes``.
    """

    pixels: UInt8[Tensor, "n c h w"]
    labels: Int64[Tensor, " n"]
    classes: tuple[str, ...]
    name: str
    split: str

    def __post_init__(self) -> None:
        if len(self.labels) == 0:
            raise InputError(f"{self.name}: no images in split {self.split!r}; choose other classes or files")
        check_labels(self.labels, self.classes, self.name)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shape, pixels, labels and class names: equal fingerprints mean equal training data."""
        digest = hashlib.sha256(repr((tuple(self.pixels.shape), self.classes)).encode())
        digest.update(self.pixels.cpu().contiguous().numpy().data)
        digest.update(self.labels.cpu().contiguous().numpy().data)
        return digest.hexdigest()

    def take(self, indices: Tensor) -> "Images":
        """Return the images at ``indices``, in that order."""
        return replace(self, pixels=self.pixels[indices], labels=self.labels[indices])

    def sample(self, count: int, *, seed: int = 0) -> "Images":
        """Return ``count`` images drawn without replacement (all of them if there are fewer)."""
        return self if count >= len(self) else self.take(random_subset(len(self), count, seed))


def check_labels(labels: Int64[Tensor, " n"], classes: tuple[str, ...], where: str) -> None:
    """Refuse labels that are not indices into ``classes``; ``where`` names their source."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        raise InputError(
            f"{where}: got labels from {low} to {high}, expected 0 to {len(classes) - 1}; "
            "a split without labels (-1) cannot be used"
        )


def random_subset(total: int, count: int, seed: int) -> Int64[Tensor, " m"]:
    """Draw ``count`` of ``total`` indices without replacement, in random order."""
    return torch.randperm(total, generator=torch.Generator().manual_seed(seed))[:count]

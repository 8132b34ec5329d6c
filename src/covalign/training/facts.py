"""What did a training see?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunFacts:
    """What ``spec.json`` says of a run beside its spec.

    Attributes:
        images: name of the training images, random labels named.
        classes: names of the classes.
        resolution: side of the images in pixels.
        training_images: their number.
        fingerprint: of the training images and the labels that were trained on.
        recipe_version: see `covalign.training.store.recipe_versions`.
    """

    images: str
    classes: tuple[str, ...]
    resolution: int
    training_images: int
    fingerprint: str
    recipe_version: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "RunFacts":
        """Read them from the contents of ``spec.json``."""
        images, version = document["images"], document["recipe_version"]
        name, classes, train = images["name"], tuple(images["classes"]), images["train"]
        return cls(name, classes, images["resolution"], train["count"], train["fingerprint"], version)

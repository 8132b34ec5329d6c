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
        test_images: their number.
        test_fingerprint: likewise.
        recipe_version: see `covalign.training.store.recipe_version`.
    """

    images: str
    classes: tuple[str, ...]
    resolution: int
    training_images: int
    fingerprint: str
    test_images: int
    test_fingerprint: str
    recipe_version: int

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "RunFacts":
        """Read them from the contents of ``spec.json``."""
        images = document["images"]
        train, test = images["train"], images["test"]
        return cls(
            images["name"],
            tuple(images["classes"]),
            images["resolution"],
            train["count"],
            train["fingerprint"],
            test["count"],
            test["fingerprint"],
            document["recipe_version"],
        )

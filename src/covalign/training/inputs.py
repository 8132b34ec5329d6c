"""Which images does a spec train on, and does its network fit them?"""

from functools import partial
from itertools import count
from typing import TypeAlias

from covalign.data.images import Images
from covalign.data.labels import random_labels
from covalign.data.loading import load_split
from covalign.errors import InputError
from covalign.networks.architectures.vgg import VGG_PLANS, map_sides
from covalign.training.spec import TrainingSpec

Pair: TypeAlias = tuple[Images, Images]
"""Training and test images."""


def training_images(spec: TrainingSpec, images: Pair | None = None) -> Pair:
    """Return training and test images, the former with the labels that the spec asks for.

    Args:
        spec: what is trained.
        images: with their true labels, where they are loaded already; None loads what the spec names.

    Raises:
        InputError: images and spec do not fit.
    """
    train_images, test_images = images or _load(spec)
    if spec.labels != "true":
        train_images = random_labels(train_images, spec.label_realization, spec.labels)
    _check_fit(spec, train_images, test_images)
    return train_images, test_images


def _load(spec: TrainingSpec) -> Pair:
    load = partial(
        load_split, spec.images, resolution=spec.resolution, classes=spec.classes, channels=spec.in_channels
    )
    return load("train", max_images=spec.max_images), load("test")


def _check_fit(spec: TrainingSpec, train: Images, test: Images) -> None:
    channels, *size = train.pixels.shape[1:]
    if channels != spec.in_channels:
        raise InputError(f"training spec: in_channels = {spec.in_channels}, but the images have {channels}")
    if _last_side(spec, min(size)) < 1:
        smallest = next(side for side in count(1) if _last_side(spec, side))
        raise InputError(
            f"{spec.architecture} halves its maps until at least one position is left: got images of "
            f"{size[0]}x{size[1]}, expected at least {smallest}x{smallest}"
        )
    if train.classes != test.classes:
        raise InputError(
            f"training and test images differ in their classes: {train.classes} and {test.classes}"
        )
    if spec.drop_last and len(train) < spec.batch_size:
        raise InputError(
            f"training spec: drop_last with batch_size = {spec.batch_size} leaves no batch of "
            f"{len(train)} images; lower batch_size"
        )


def _last_side(spec: TrainingSpec, side: int) -> int:
    """Return the side of the maps that a network ends with."""
    if spec.architecture in VGG_PLANS:
        return map_sides(spec.architecture, side, spec.kernel_size, spec.first_stride)[-1]
    return side // 4

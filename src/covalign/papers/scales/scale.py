"""How large is a reproduction: a check of the machinery, a laptop's, or as published?

A `Scale` names everything that differs between the three: recipes, data sets, replicates, and how many images and
draws the measurements take. What an exhibit trains and measures is the same at every scale, so that differences from
the paper are found by comparing two scales (`covalign.papers.differences`).
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.papers.first_layer.transformations import PLACE, READING, amplified, energy_deciles
from covalign.training.spec import TrainingSpec, preset


@dataclass(frozen=True)
class DataSet:
    """A data set as an exhibit names it.

    Attributes:
        role: under which ``--images ROLE=DATA`` replaces its source.
        source: where it is read from by default; None has no default.
        count: training images, for estimates before anything is read.
        classes: that are kept: the first N, indices, or names; None keeps all.
        drawn: indices of the classes that make the data set out of its default source; another source that takes
            its place has been made already.
        transform: makes other training and test images of these; its keywords say how. None leaves them.
        resolution: side in pixels, before they are transformed.
        enlarged: factor by which the transformation enlarges the side.
        note: what it is, where it is not what the paper took.
    """

    role: str
    source: str | None
    count: int
    classes: int | tuple[int, ...] | tuple[str, ...] | None = None
    drawn: tuple[int, ...] | None = None
    transform: "partial[tuple[Images, Images]] | None" = None
    resolution: int = 32
    enlarged: int = 1
    note: str = ""


@dataclass(frozen=True)
class Scale:
    """One size of every exhibit.

    Attributes:
        name: as on the command line.
        recipes: by purpose: "encoding" (factorized networks), "true labels" and "random labels" (the same, where
            labels are compared), "kernels" and "kernels, random labels" (joint networks for spatial patterns),
            "mosaic" (joint 7x7), "first layer" (joint), "two classes", "depths", "deciles" and "amplified" (the
            same, as long or as many images as each needs).
        data: data sets by name.
        encodings: names of the data sets whose encodings are compared pairwise.
        labels: name of the data set whose true and random labels are compared.
        spatial: names of the data sets whose spatial eigenvectors are compared, the first one at every kernel size.
        first_layers: names of the data sets whose first layers are compared, with the networks of every kind.
        binary: names of the data sets of two classes.
        depths: architectures whose first layer is frozen, and learned.
        deciles: components whose energy makes labels, counted from 1; their data sets are called "deciles N".
        amplified: components that are amplified, counted from 1; their data sets are called "amplified N".
        replicates: networks of every kind; seeds differ between all networks of an exhibit.
        kernel_sizes: of the joint networks.
        images: that alignments are fitted to.
        draws: for chance, ceiling and random controls.
        conclusive: whether its networks can speak for or against a claim.
    """

    name: str
    recipes: Mapping[str, TrainingSpec]
    data: Mapping[str, DataSet]
    encodings: tuple[str, ...]
    labels: str
    spatial: tuple[str, ...]
    first_layers: Mapping[str, int]
    binary: tuple[str, ...]
    depths: tuple[Literal["vgg11", "vgg13", "vgg16"], ...]
    deciles: tuple[int, ...]
    amplified: tuple[int, ...]
    replicates: int
    kernel_sizes: tuple[int, ...] = (3, 5, 7)
    images: int = 4000
    draws: int = 10
    conclusive: bool = True


def scale(name: str) -> Scale:
    """Return "smoke", "laptop" or "paper".

    Raises:
        InputError: no such scale.
    """
    if name not in SCALES:
        raise InputError(f"--scale: got {name!r}, expected one of {', '.join(SCALES)}")
    return SCALES[name]


def _disjoint(total: int, each: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw two disjoint random sets of class indices, always the same ones."""
    drawn = random.Random(0).sample(range(total), 2 * each)
    return tuple(sorted(drawn[:each])), tuple(sorted(drawn[each:]))


def _deciles(data: DataSet, components: tuple[int, ...], count: int) -> dict[str, DataSet]:
    """Make a data set for each component (counted from 1) from ``count`` images of another one."""
    return {
        f"deciles {component}": replace(
            data,
            count=count,
            transform=partial(energy_deciles, component=component - 1, count=count),
        )
        for component in components
    }


def _amplified(data: DataSet, components: tuple[int, ...], count: int) -> dict[str, DataSet]:
    """Make a data set for each component (counted from 1) from ``count`` images of another one."""
    return {
        f"amplified {component}": replace(
            data,
            count=count,
            enlarged=3,
            transform=partial(amplified, component=component - 1, count=count, place=PLACE, reading=READING),
        )
        for component in components
    }


def _laid_out(recipe: TrainingSpec) -> TrainingSpec:
    """Return a recipe for images whose 3x3 patches lie side by side."""
    return replace(recipe, first_stride=3, normalization=READING)


_PHOTOS = DataSet("cifar10", "photos", 8000, note="crops of ten embedded photographs")
_DEMO = replace(preset("demo"), epochs=4, max_images=1000, learning_rate=0.05)
_JOINT_DEMO = replace(_DEMO, form="joint", epochs=2, learning_rate=0.02)
_FIRST_DEMO = replace(
    preset("first-layer-laptop"),
    labels="true",
    width=0.125,
    epochs=2,
    max_images=640,
    batch_size=64,
    checkpoint_epochs=(1,),
)

SMOKE = Scale(
    "smoke",
    recipes={
        "encoding": _DEMO,
        "true labels": replace(_DEMO, max_images=500),
        "random labels": replace(_DEMO, max_images=500, labels="uniform"),
        "kernels": _JOINT_DEMO,
        "kernels, random labels": replace(_JOINT_DEMO, labels="uniform"),
        "mosaic": replace(_JOINT_DEMO, kernel_size=7),
        "first layer": _FIRST_DEMO,
        "two classes": _FIRST_DEMO,
        "depths": _FIRST_DEMO,
        "deciles": _FIRST_DEMO,
        "amplified": _laid_out(_FIRST_DEMO),
    },
    data={
        "cifar10": _PHOTOS,
        "cifar5": DataSet("cifar10", "photos", 4000, 5, note="crops of five embedded photographs"),
        "imagenet-a": DataSet("imagenet-a", "photos:a", 4000, note="crops of five embedded photographs"),
        "imagenet-b": DataSet("imagenet-b", "photos:b", 4000, note="crops of five other photographs"),
        "car-truck": DataSet("cifar10", "photos", 1600, (1, 9), note="crops of two embedded photographs"),
        **_deciles(_PHOTOS, (1, 15), 640),
        **_amplified(_PHOTOS, (15,), 640),
    },
    encodings=("cifar5", "imagenet-a", "imagenet-b"),
    labels="cifar10",
    spatial=("cifar10", "imagenet-a"),
    first_layers={"cifar10": 2, "imagenet-a": 2},
    binary=("car-truck",),
    depths=("vgg11",),
    deciles=(1, 15),
    amplified=(15,),
    replicates=2,
    kernel_sizes=(3, 7),
    images=300,
    draws=3,
    conclusive=False,
)

_LAPTOP = preset("laptop")
_LAPTOP_FAST = replace(_LAPTOP, learning_rate=0.02)
_LAPTOP_FEW = replace(_LAPTOP_FAST, max_images=2000, epochs=100)
"""Few images and a higher rate, so that random labels can be fitted."""

_LAPTOP_JOINT = replace(_LAPTOP_FAST, form="joint", max_images=20_000)
_LAPTOP_JOINT_FEW = replace(
    _LAPTOP_JOINT, labels="uniform", max_images=2000, epochs=60, flip=False, crop_padding=0
)
"""Few images without augmentation, so that random labels are fitted: all of them after 30 epochs, at 3x3."""

_FIRST_FEW = replace(preset("first-layer-laptop"), labels="true", max_images=5000)
_TINY = _disjoint(200, 40)

_CIFAR = DataSet("cifar10", "uoft-cs/cifar10", 50_000)
_BINARY = {
    name: DataSet("cifar10", "uoft-cs/cifar10", 10_000, pair)
    for name, pair in {
        "car-truck": (1, 9),
        "dog-frog": (5, 6),
        "cat-dog": (3, 5),
        "bird-plane": (2, 0),
        "boat-plane": (8, 0),
    }.items()
}

LAPTOP = Scale(
    "laptop",
    recipes={
        "encoding": _LAPTOP,
        "true labels": _LAPTOP_FEW,
        "random labels": replace(_LAPTOP_FEW, labels="uniform"),
        "kernels": _LAPTOP_JOINT,
        "kernels, random labels": _LAPTOP_JOINT_FEW,
        "mosaic": replace(_LAPTOP_JOINT, kernel_size=7),
        "first layer": replace(_FIRST_FEW, epochs=20, checkpoint_epochs=(2, 5, 10)),
        "two classes": replace(_FIRST_FEW, epochs=10, checkpoint_epochs=(2, 5)),
        "depths": replace(_FIRST_FEW, epochs=20),
        # All images: 5,000 would be learned by heart, and little of the rule that made their labels.
        "deciles": replace(_FIRST_FEW, max_images=None, epochs=5),
        "amplified": _laid_out(replace(_FIRST_FEW, epochs=20)),
    },
    data={
        "cifar10": DataSet("cifar10", "uoft-cs/cifar10", 50_000),
        "cifar5": DataSet("cifar10", "uoft-cs/cifar10", 25_000, 5),
        "imagenet-a": DataSet(
            "imagenet-a", "zh-plus/tiny-imagenet", 20_000, drawn=_TINY[0], note="40 classes of Tiny-ImageNet"
        ),
        "imagenet-b": DataSet(
            "imagenet-b",
            "zh-plus/tiny-imagenet",
            20_000,
            drawn=_TINY[1],
            note="40 other classes of Tiny-ImageNet",
        ),
        **_BINARY,
        **_deciles(_CIFAR, (2, 8, 15, 24), 50_000),
        **_amplified(_CIFAR, (10, 15, 24), 5000),
    },
    encodings=("cifar10", "cifar5", "imagenet-a", "imagenet-b"),
    labels="cifar10",
    spatial=("cifar10", "imagenet-a", "imagenet-b"),
    first_layers={"cifar10": 3, "imagenet-a": 2},
    binary=tuple(_BINARY),
    depths=("vgg11", "vgg13", "vgg16"),
    deciles=(2, 8, 15, 24),
    amplified=(10, 15, 24),
    replicates=3,
)

_ENCODING = preset("encodings")
_RANDOM = preset("encodings-random")
_PUBLISHED = replace(_ENCODING, form="joint")
_FIRST_LAYER = replace(preset("first-layer"), labels="true", checkpoint_epochs=(10, 30))
_IMAGENET = _disjoint(1000, 100)

PAPER = Scale(
    "paper",
    recipes={
        "encoding": _ENCODING,
        "true labels": _ENCODING,
        "random labels": _RANDOM,
        "kernels": replace(_PUBLISHED, head="mlp"),
        "kernels, random labels": replace(
            _PUBLISHED,
            head="mlp",
            labels="uniform",
            norm=False,
            epochs=180,
            decay_every=60,
            learning_rate=0.02,
            flip=False,
            crop_padding=0,
        ),
        "mosaic": replace(_PUBLISHED, kernel_size=7),
        "first layer": _FIRST_LAYER,
        "two classes": _FIRST_LAYER,
        "depths": _FIRST_LAYER,
        "deciles": _FIRST_LAYER,
        "amplified": _laid_out(_FIRST_LAYER),
    },
    data={
        "cifar10": DataSet("cifar10", "uoft-cs/cifar10", 50_000),
        "cifar5": DataSet("cifar10", "uoft-cs/cifar10", 25_000, 5),
        "cifar100": DataSet("cifar100", "uoft-cs/cifar100", 50_000),
        "imagenet": DataSet("imagenet", "ILSVRC/imagenet-1k", 1_281_167),
        "imagenet-224": DataSet("imagenet", "ILSVRC/imagenet-1k", 1_281_167, resolution=224),
        "imagenet-a": DataSet("imagenet", "ILSVRC/imagenet-1k", 128_117, drawn=_IMAGENET[0]),
        "imagenet-b": DataSet("imagenet", "ILSVRC/imagenet-1k", 128_117, drawn=_IMAGENET[1]),
        **_BINARY,
        **_deciles(_CIFAR, tuple(range(1, 28)), 50_000),
        **_amplified(_CIFAR, (10, 15, 24), 50_000),
    },
    encodings=("imagenet", "cifar100", "cifar10", "cifar5", "imagenet-a", "imagenet-b"),
    labels="imagenet",
    spatial=("imagenet-224", "imagenet", "cifar100", "cifar10"),
    first_layers={"cifar10": 3, "cifar100": 3, "imagenet-a": 3},
    binary=tuple(_BINARY),
    depths=("vgg11", "vgg13", "vgg16"),
    deciles=tuple(range(1, 28)),
    amplified=(10, 15, 24),
    replicates=3,
    images=50_000,
)

SCALES = {each.name: each for each in (SMOKE, LAPTOP, PAPER)}

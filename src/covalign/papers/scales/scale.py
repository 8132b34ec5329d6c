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
from covalign.papers.first_layer.transformations import PLACE, READING, amplified, energy_deciles
from covalign.training.spec import TrainingSpec

Architecture = Literal["vgg11", "vgg13", "vgg16"]


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

    @property
    def changed(self) -> int | None:
        """The patch component, counted from 1, that the transformation acts on."""
        return None if self.transform is None else 1 + self.transform.keywords["component"]


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
        encodings: names of the data sets whose encodings are compared pairwise, with the networks of each.
        labels: name of the data set whose true and random labels are compared.
        spatial: names of the data sets whose spatial eigenvectors are compared, the first one at every kernel size.
        first_layers: names of the data sets whose first layers are compared, with the networks of every kind.
        binary: names of the data sets of two classes.
        depths: architectures whose first layer is frozen, and learned.
        deciles: components whose energy makes labels, counted from 1; their data sets are called "deciles N".
        amplified: components that are amplified, counted from 1; their data sets are called "amplified N".
        replicates: networks of true, and of random labels; seeds differ between all networks of an exhibit.
        kernel_sizes: of the joint networks.
        images: that alignments are fitted to.
        draws: for chance, ceiling and random controls.
        conclusive: whether its networks can speak for or against a claim.
    """

    name: str
    recipes: Mapping[str, TrainingSpec]
    data: Mapping[str, DataSet]
    encodings: Mapping[str, int]
    labels: str
    spatial: tuple[str, ...]
    first_layers: Mapping[str, int]
    binary: tuple[str, ...]
    depths: tuple[Architecture, ...]
    deciles: tuple[int, ...]
    amplified: tuple[int, ...]
    replicates: int
    kernel_sizes: tuple[int, ...] = (3, 5, 7)
    images: int = 4000
    draws: int = 10
    conclusive: bool = True


def disjoint_sets(total: int, each: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw two disjoint random sets of class indices, always the same ones."""
    drawn = random.Random(0).sample(range(total), 2 * each)
    return tuple(sorted(drawn[:each])), tuple(sorted(drawn[each:]))


def decile_sets(data: DataSet, components: tuple[int, ...], count: int) -> dict[str, DataSet]:
    """Make a data set for each component (counted from 1) from ``count`` images of another one."""
    return {
        f"deciles {component}": replace(
            data,
            count=count,
            transform=partial(energy_deciles, component=component - 1, count=count),
        )
        for component in components
    }


def amplified_sets(data: DataSet, components: tuple[int, ...], count: int) -> dict[str, DataSet]:
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


def laid_out(recipe: TrainingSpec) -> TrainingSpec:
    """Return a recipe for images whose 3x3 patches lie side by side."""
    return replace(recipe, first_stride=3, normalization=READING)


CIFAR = DataSet("cifar10", "uoft-cs/cifar10", 50_000)
BINARY = {
    name: DataSet("cifar10", "uoft-cs/cifar10", 10_000, pair)
    for name, pair in {
        "car-truck": (1, 9),
        "dog-frog": (5, 6),
        "cat-dog": (3, 5),
        "bird-plane": (2, 0),
        "boat-plane": (8, 0),
    }.items()
}

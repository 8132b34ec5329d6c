"""The size of two cores and a night."""

from dataclasses import replace

from covalign.papers.scales.scale import (
    BINARY,
    CIFAR,
    DataSet,
    Scale,
    amplified_sets,
    decile_sets,
    disjoint_sets,
    laid_out,
)
from covalign.training.presets import preset

_LAPTOP = preset("laptop")


_LAPTOP_FAST = replace(_LAPTOP, learning_rate=0.02)


_LAPTOP_ENCODING = replace(_LAPTOP_FAST, max_images=8000, epochs=6)
"""As many images of every data set; few enough for five seeds."""


_LAPTOP_FEW = replace(_LAPTOP_FAST, max_images=5000, epochs=20, flip=False, crop_padding=0)
"""Few images without augmentation and a higher rate, so that random labels are fitted."""


_LAPTOP_JOINT = replace(_LAPTOP_FAST, form="joint", max_images=20_000)


_LAPTOP_JOINT_FEW = replace(
    _LAPTOP_JOINT, labels="uniform", max_images=2000, epochs=60, flip=False, crop_padding=0
)
"""Few images without augmentation, so that random labels are fitted: all of them after 30 epochs, at 3x3."""


_FIRST_FEW = replace(preset("first-layer-laptop"), labels="true", max_images=5000)


_TINY = disjoint_sets(200, 40)


LAPTOP = Scale(
    "laptop",
    recipes={
        "encoding": _LAPTOP_ENCODING,
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
        "amplified": laid_out(replace(_FIRST_FEW, epochs=20)),
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
        **BINARY,
        **decile_sets(CIFAR, (2, 8, 15, 24), 50_000),
        **amplified_sets(CIFAR, (10, 15, 24), 5000),
    },
    encodings={"cifar10": 5, "imagenet-a": 5},
    labels="cifar10",
    spatial=("cifar10", "imagenet-a", "imagenet-b"),
    first_layers={"cifar10": 3, "imagenet-a": 2},
    binary=tuple(BINARY),
    depths=("vgg11", "vgg13", "vgg16"),
    deciles=(2, 8, 15, 24),
    amplified=(10, 15, 24),
    replicates=5,
    images=1500,
)

"""The size that was published."""

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

_ENCODING = preset("encodings")


_RANDOM = preset("encodings-random")


_PUBLISHED = replace(_ENCODING, form="joint")


_FIRST_LAYER = replace(preset("first-layer"), labels="true", checkpoint_epochs=(10, 30))


_IMAGENET = disjoint_sets(1000, 100)


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
        "amplified": laid_out(_FIRST_LAYER),
    },
    data={
        "cifar10": DataSet("cifar10", "uoft-cs/cifar10", 50_000),
        "cifar5": DataSet("cifar10", "uoft-cs/cifar10", 25_000, 5),
        "cifar100": DataSet("cifar100", "uoft-cs/cifar100", 50_000),
        "imagenet": DataSet("imagenet", "ILSVRC/imagenet-1k", 1_281_167),
        "imagenet-224": DataSet("imagenet", "ILSVRC/imagenet-1k", 1_281_167, resolution=224),
        "imagenet-a": DataSet("imagenet", "ILSVRC/imagenet-1k", 128_117, drawn=_IMAGENET[0]),
        "imagenet-b": DataSet("imagenet", "ILSVRC/imagenet-1k", 128_117, drawn=_IMAGENET[1]),
        **BINARY,
        **decile_sets(CIFAR, tuple(range(1, 28)), 50_000),
        **amplified_sets(CIFAR, (10, 15, 24), 50_000),
    },
    encodings=dict.fromkeys(("imagenet", "cifar100", "cifar10", "cifar5", "imagenet-a", "imagenet-b"), 3),
    labels="imagenet",
    spatial=("imagenet-224", "imagenet", "cifar100", "cifar10"),
    first_layers={"cifar10": 3, "cifar100": 3, "imagenet-a": 3},
    binary=tuple(BINARY),
    depths=("vgg11", "vgg13", "vgg16"),
    deciles=tuple(range(1, 28)),
    amplified=(10, 15, 24),
    replicates=3,
    images=50_000,
)

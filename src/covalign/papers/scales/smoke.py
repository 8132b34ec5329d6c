"""The size that shows that everything runs: embedded photographs, minutes."""

from dataclasses import replace

from covalign.papers.scales.scale import DataSet, Scale, amplified_sets, decile_sets, laid_out
from covalign.training.presets import preset

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
        "amplified": laid_out(_FIRST_DEMO),
    },
    data={
        "cifar10": _PHOTOS,
        "cifar5": DataSet("cifar10", "photos", 4000, 5, note="crops of five embedded photographs"),
        "imagenet-a": DataSet("imagenet-a", "photos:a", 4000, note="crops of five embedded photographs"),
        "imagenet-b": DataSet("imagenet-b", "photos:b", 4000, note="crops of five other photographs"),
        "car-truck": DataSet("cifar10", "photos", 1600, (1, 9), note="crops of two embedded photographs"),
        **decile_sets(_PHOTOS, (1, 15), 640),
        **amplified_sets(_PHOTOS, (15,), 640),
    },
    encodings={"cifar5": 2, "imagenet-a": 2, "imagenet-b": 2},
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

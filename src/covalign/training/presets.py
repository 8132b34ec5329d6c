"""Which recipes have names?

Published ones (Guth & Menard 2024, appendix B.3; Chowers & Weiss 2023, section 3), and smaller ones for laptops. A
spec in a TOML file is a list of changes to one of them.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from covalign.errors import unknown
from covalign.training.spec import TrainingSpec
from covalign.training.toml import from_toml

_ENCODINGS = TrainingSpec()


_FIRST_LAYER = TrainingSpec(
    form="joint",
    labels="permuted",
    epochs=100,
    drop_last=True,
    learning_rate=0.01,
    momentum=0.0,
    schedule="constant",
    flip=False,
    crop_padding=0,
    normalization="cifar",
)


_LAPTOP = TrainingSpec(width=0.25, epochs=8, batch_size=128, learning_rate=0.01, schedule="one-cycle")


PRESETS: dict[str, TrainingSpec] = {
    "encodings": replace(_ENCODINGS, precision="float32"),
    "encodings-random": replace(
        _ENCODINGS, precision="float32", labels="uniform", epochs=360, decay_every=120
    ),
    "first-layer": replace(_FIRST_LAYER, precision="float32"),
    "first-layer-laptop": replace(_FIRST_LAYER, width=0.5, epochs=30),
    "laptop": _LAPTOP,
    "demo": replace(_LAPTOP, width=0.125, epochs=6, learning_rate=0.02),
}


def preset(name: str) -> TrainingSpec:
    """Return a recipe by name; change it with `dataclasses.replace`.

    - "encodings": Guth & Menard (2024), appendix B: factorized VGG-11, 90 epochs, SGD with momentum 0.9, rate
      0.005 divided by 10 every 30 epochs. The batch size is not stated there; 256 is our choice.
    - "encodings-random": the same on uniform random labels, four times as long.
    - "first-layer": Chowers & Weiss (2023): joint VGG-11, plain SGD at rate 0.01, 100 epochs, permuted
      labels.
    - "laptop", "first-layer-laptop": narrower and shorter, for two cores (our choice). Of the peak rates .005, .01
      and .02 on CIFAR-10, .01 is the largest that leaves the noise bulk in place at all layers but the first.
    - "demo": for the embedded photographs, some 70 s of one core a training (our choice).

    Raises:
        InputError: no preset of that name.

    Example:
        >>> recipe = preset("laptop")
        >>> recipe.architecture, recipe.form, recipe.epochs
        ('vgg11', 'factorized', 8)
        >>> replace(recipe, images="photos:a", seed=3).seed
        3
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise unknown("preset", str(name), PRESETS)
    return PRESETS[name]


def spec_of(values: Mapping[str, Any]) -> TrainingSpec:
    """Make a spec from plain values; ``preset`` names the spec that the others are changes to.

    Raises:
        InputError: a key that is no field, or a value of the wrong type or out of range.
    """
    changes = {key: value for key, value in values.items() if key != "preset"}
    return TrainingSpec.of(changes, preset(values["preset"]) if "preset" in values else None)


def spec_from_toml(path: str | Path) -> TrainingSpec:
    """Read a spec from a TOML file of plain keys (see `spec_of`).

    Raises:
        InputError: the file cannot be read or is not TOML, and what `spec_of` raises, with the file's name.
    """
    return from_toml(path, spec_of)

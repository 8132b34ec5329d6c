"""What fixes a trained network?

A `TrainingSpec` names everything that does: images and labels, network, seed, and the recipe. It is one flat
record, the same in TOML and in Python. Presets carry the published recipes (Guth & Menard 2024, appendix B.3;
Chowers & Weiss 2023, section 3) and smaller ones for laptops; `learning_rate` is the schedule as a pure
function of the step.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from covalign.data.normalization import normalization
from covalign.errors import InputError, nearest


@dataclass(frozen=True)
class TrainingSpec:
    """One training, completely described.

    Attributes:
        images: where the images come from, as `covalign.data.loading.load_images` takes it. Of a source without
            splits a tenth, always the same, is held out as test images.
        classes: names or indices of the classes to keep, in this order, or N for the first N; None keeps all.
        max_images: largest number of training images (drawn at random); None takes all.
        resolution: height and width after box averaging; None keeps the source's.
        labels: "true", "uniform" (one uniform random label per training image) or "permuted".
        label_realization: which draw of the random labels; the seed does not enter it.
        architecture: "vgg11", "vgg13", "vgg16", or "resnet20", which exists as published only: joint, width
            1, kernel size 3, linear head, batch norm, first stride 1.
        form: "joint" or "factorized" stages.
        width: multiplier of the number of channels.
        kernel_size: side of the joint kernels or of the frozen filters.
        head: "linear" or "mlp".
        norm: batch norm after each ReLU.
        in_channels: channels of the images.
        filters: file of the frozen `FilterBank` of a factorized network; None takes the shipped one.
        seed: of initialization, order and augmentation.
        epochs: passes over the training images.
        batch_size: images a step.
        drop_last: leave out the last, smaller batch of an epoch.
        learning_rate: the schedule's largest rate.
        momentum: of stochastic gradient descent.
        weight_decay: L2 coefficient.
        schedule: "constant", "step" (times ``decay_factor`` every ``decay_every`` epochs) or "one-cycle"
            (linear from 0 to the peak over the first ``warmup`` of all steps, then linear to 0).
        decay_every: epochs between two decays of "step".
        decay_factor: what "step" multiplies the rate by.
        warmup: share of the steps that "one-cycle" spends rising.
        flip: random horizontal flips.
        crop_padding: random crops after padding by this many pixels; 0 turns them off.
        normalization: of the input: a name, or constants (see `covalign.data.normalization.normalization`).
        precision: "auto" takes bfloat16 where the machine computes in it, else float32.
        device: "cpu", "cuda", "cuda:1" ...
        threads: of the tensor library; part of a run's identity, as it decides the last bits.
        checkpoint_epochs: epochs whose weights are kept for trajectories.
        frozen: number of leading convolutions whose weights stay as they were initialized.
        first_stride: of the first convolution (joint form); beyond 1 its maps are not padded.
    """

    images: str = "photos"
    classes: tuple[str, ...] | tuple[int, ...] | int | None = None
    max_images: int | None = None
    resolution: int | None = None
    labels: Literal["true", "uniform", "permuted"] = "true"
    label_realization: int = 0
    architecture: Literal["vgg11", "vgg13", "vgg16", "resnet20"] = "vgg11"
    form: Literal["joint", "factorized"] = "factorized"
    width: float = 1.0
    kernel_size: int = 3
    head: Literal["linear", "mlp"] = "linear"
    norm: bool = True
    in_channels: int = 3
    filters: str | None = None
    seed: int = 0
    epochs: int = 90
    batch_size: int = 256
    drop_last: bool = False
    learning_rate: float = 0.005
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: Literal["constant", "step", "one-cycle"] = "step"
    decay_every: int = 30
    decay_factor: float = 0.1
    warmup: float = 0.25
    flip: bool = True
    crop_padding: int = 4
    normalization: str = "imagenet"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "cpu"
    threads: int = 1
    checkpoint_epochs: tuple[int, ...] = ()
    frozen: int = 0
    first_stride: int = 1

    def __post_init__(self) -> None:
        """Check types and ranges; lists become tuples, and whole numbers floats where asked for."""
        for field in fields(self):
            object.__setattr__(self, field.name, _checked(field.name, getattr(self, field.name), field.type))
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, int | float) and not low <= value <= high:
                raise InputError(f"training spec: {name} = {value!r}, expected {low} to {high}")
        if not 0 < self.width <= WIDEST:
            raise InputError(
                f"training spec: width = {self.width!r}, expected a positive multiplier up to {WIDEST}"
            )
        if beyond := [epoch for epoch in self.checkpoint_epochs if not 0 <= epoch <= self.epochs]:
            raise InputError(
                f"training spec: checkpoint_epochs has {beyond[0]}, expected 0 to {self.epochs} (epochs)"
            )
        if self.architecture == "resnet20":
            for name, value in _RESNET.items():
                if getattr(self, name) != value:
                    raise InputError(
                        f"training spec: {name} = {getattr(self, name)!r}, expected {value!r}: resnet20 exists "
                        "as published only; choose a vgg to change it"
                    )
        normalization(self.normalization)

    @classmethod
    def of(cls, values: Mapping[str, Any], base: "TrainingSpec | None" = None) -> "TrainingSpec":
        """Make a spec from plain values, as changes to ``base`` (None: to the defaults).

        Raises:
            InputError: a key that is no field, or a value of the wrong type or out of range.
        """
        known = {field.name: field.type for field in fields(cls)}
        if unknown := [key for key in values if key not in known]:
            hint = nearest(unknown[0], [*known, "preset"])
            raise InputError(
                f"training spec: unknown key {unknown[0]!r}; expected preset or one of {', '.join(known)}{hint}"
            )
        changes = {key: _checked(key, value, known[key]) for key, value in values.items()}
        return replace(base or cls(), **changes)

    def to_toml(self) -> str:
        """Return the spec as TOML; `covalign.training.presets.spec_from_toml` of it is equal."""
        lines = (
            f"{key} = {json.dumps(value, ensure_ascii=False)}"
            for key, value in asdict(self).items()
            if value is not None
        )
        return "\n".join(lines) + "\n"


_RESNET = {
    "form": "joint",
    "width": 1.0,
    "kernel_size": 3,
    "head": "linear",
    "norm": True,
    "first_stride": 1,
}

LARGEST = 2**53
"""Whole numbers beyond it are no longer exact where they meet others."""
WIDEST = 1000
"""Multiplier of the channels beyond which no machine holds the network (our choice)."""

_RANGES: dict[str, tuple[float, float]] = {
    "classes": (1, LARGEST),
    "max_images": (1, LARGEST),
    "resolution": (1, LARGEST),
    "label_realization": (0, LARGEST),
    "seed": (0, LARGEST),
    "epochs": (0, LARGEST),
    "batch_size": (1, LARGEST),
    "learning_rate": (0, 1e6),
    "momentum": (0, 1),
    "weight_decay": (0, 1e6),
    "decay_every": (1, LARGEST),
    "decay_factor": (0, 1),
    "warmup": (0, 1),
    "crop_padding": (0, LARGEST),
    "frozen": (0, LARGEST),
    "first_stride": (1, LARGEST),
    "threads": (1, 4096),
}


def _checked(name: str, value: Any, expected: Any) -> Any:
    """Return a field's value in the type that the field has, or say why it cannot be."""
    if isinstance(value, list):
        value = tuple(value)
    elif expected is float and type(value) is int:
        value = float(value)
    if not _is_a(value, expected):
        choices = [each for each in get_args(expected) if isinstance(each, str)]
        hint = nearest(str(value), choices)
        raise InputError(
            f"training spec: {name} = {value!r} ({type(value).__name__}), expected {_said(expected)}{hint}"
        )
    return value


def _is_a(value: object, expected: Any) -> bool:
    if isinstance(expected, UnionType):
        return any(_is_a(value, option) for option in get_args(expected))
    if get_origin(expected) is Literal:
        return value in get_args(expected)
    if get_origin(expected) is tuple:
        return isinstance(value, tuple) and all(_is_a(item, get_args(expected)[0]) for item in value)
    return type(value) is expected


def _said(expected: Any) -> str:
    if isinstance(expected, UnionType):
        return " or ".join(_said(option) for option in get_args(expected))
    if get_origin(expected) is Literal:
        return "one of " + ", ".join(repr(option) for option in get_args(expected))
    if get_origin(expected) is tuple:
        return f"a list of {get_args(expected)[0].__name__}"
    return "nothing" if expected is NoneType else expected.__name__

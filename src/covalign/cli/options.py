"""What do several commands take?"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from cyclopts import Parameter

from covalign.cli.speaking import typed
from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.mixture import mixture
from covalign.errors import InputError
from covalign.progress import Told, untold
from covalign.storage.caches import cache_folder
from covalign.storage.provenance import environment
from covalign.studies.subjects import Subject, open_subject
from covalign.training.store import RunStore
from covalign.version import __version__

SKIPPED = "-"
"""Stands for nothing, where an option is given once per model."""

Out = Annotated[Path, Parameter(help="folder for report.html, results.json and the tables.")]
Layers = Annotated[
    list[str] | None,
    Parameter(
        name=("--layers", "--layer"),
        help="names of layers; all by default. What a weight file leaves out as doubtful is read if it is named.",
    ),
]
Inside = Annotated[
    list[str] | None,
    Parameter(
        allow_leading_hyphen=True,
        help="prefix of the weights that are meant, where a file holds several sets (raw and averaged, generator and "
        "discriminator); one for all, or one per model in order (- for none).",
    ),
]
Architectures = Annotated[
    list[str] | None,
    Parameter(
        allow_leading_hyphen=True,
        help="module.path:factory that a weight file belongs to; one for all, or one per model in order (- for "
        "none).",
    ),
]
Normalization = Annotated[
    str | None,
    Parameter(
        help="imagenet, cifar, none, or MEAN/STD (0.5/0.25; 0.5,0.4,0.4/0.2,0.2,0.3), for models that do not "
        "say how their pixels are normalized."
    ),
]
Resolution = Annotated[
    int | None,
    Parameter(
        help="side in pixels to which images are brought, and on which modules are looked at; the networks' own by "
        "default. A network that fixes another size gets the images averaged to that."
    ),
]
Layout = Annotated[
    list[str] | None,
    Parameter(
        allow_leading_hyphen=True,
        help="where a model's images have their channels: first or last; one for all, or one per model in order "
        "(- to find out, as by default).",
    ),
]
Split = Annotated[str, Parameter(help="which images to use.")]
LabelColumn = Annotated[str | None, Parameter(help="which label column to read, where a set has several.")]
SEEDS = 2**63
"""What random streams can be begun with lies below."""


def _check_seed(_: object, seed: int | None) -> None:
    if seed is not None and not -SEEDS <= seed < SEEDS:
        raise ValueError(f"got {seed}, expected a number of at most 18 digits")


Seed = Annotated[int, Parameter(help="of everything random.", validator=_check_seed)]
Memory = Annotated[
    float,
    Parameter(
        help="gigabytes (2^30 bytes) that alignments may hold at a time, beside the images and the networks "
        "themselves; how many images pass at once follows from it."
    ),
]


Reference = Annotated[
    bool,
    Parameter(
        help="for many networks of one architecture: align each to what all have in common instead of every pair, at "
        "a cost that grows with networks and not with pairs; without controls."
    ),
]
Cache = Annotated[
    bool,
    Parameter(
        help="keep pairs as they are measured (under COVALIGN_CACHE, or the platform's cache folder), so that the "
        "same command goes on where it was interrupted, and more networks cost their own pairs alone; `covalign runs "
        "gc --cache` clears them."
    ),
]
DryRun = Annotated[
    bool,
    Parameter(
        negative=(),
        help="say what would be done, what is there already, and what the rest would take; then stop.",
    ),
]
Threads = Annotated[int | None, Parameter(help="of the tensor library; its own choice by default.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Machine:
    """Where a command computes."""

    device: Annotated[
        Literal["cpu", "cuda", "mps"] | None,
        Parameter(help="where networks run; the mathematics of weights is done on the CPU."),
    ] = None
    threads: Threads = None

    def ready(self) -> None:
        """Set the threads, and see that the device is there.

        Raises:
            InputError: it is not, or the number of threads makes no sense.
        """
        set_threads(self.threads)
        try:
            torch.empty(1, device=self.device or "cpu")
        except (RuntimeError, AssertionError) as error:
            said = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
            raise InputError(f"--device: got {self.device}, which is not there ({said}); use cpu") from error


HERE = Machine()


def opened(
    models: Sequence[str],
    architectures: list[str] | None,
    store: Path,
    normalization: str | None = None,
    resolution: int | None = None,
    layouts: list[str] | None = None,
    inside: list[str] | None = None,
    layers: list[str] | None = None,
    *,
    device: str | None = None,
    told: Told = untold,
) -> list[Subject]:
    """Open each MODEL, with the architecture, the layout and the prefix that belong to it."""
    factories = one_each("--architecture", architectures, len(models))
    sides = one_each("--layout", layouts, len(models))
    prefixes = one_each("--inside", inside, len(models))
    found = []
    given = zip(models, factories, sides, prefixes, strict=True)
    for index, (model, factory, layout, prefix) in enumerate(given):
        told("reading networks", index / len(models))
        subject = open_subject(
            model,
            factory,
            normalization=normalization,
            resolution=resolution,
            layout=layout,
            store=RunStore(store),
            inside=prefix or None,
            insist=layers or (),
        )
        found.append(subject.on(device) if device else subject)
    told("reading networks", 1.0)
    return found


def one_each(option: str, given: list[str] | None, count: int) -> list[str | None]:
    """Return what an option says of each model: nothing, the same, or its own."""
    if not given:
        return [None] * count
    if len(given) == 1:
        return [None if given[0] == SKIPPED else given[0]] * count
    if len(given) != count:
        raise InputError(f"{option}: got {len(given)} for {count} models, expected one, or one per model")
    return [None if each == SKIPPED else each for each in given]


def images_for(
    found: Sequence[Subject],
    data: Sequence[str] | None,
    split: str,
    resolution: int | None,
    max_images: int,
    seed: int,
    label_column: str | None = None,
    told: Told = untold,
) -> Images | None:
    """Load each DATA in the form that the networks take, and mix them in equal parts; None where there is none.

    Raises:
        InputError: networks that cannot see the same images, and what `load_images` raises.
    """
    if not data:
        return None
    sets = []
    for index, name in enumerate(data):
        told("reading images", index / len(data))
        loaded = load_images(
            name,
            split,
            resolution=_side(found, resolution),
            label_column=label_column,
            max_images=max_images,
            channels=_channels(found),
            seed=seed,
        )
        sets.append(loaded)
    told("reading images", 1.0)
    return mixture(sets, max_images=max_images, seed=seed)


def _channels(found: Sequence[Subject]) -> int:
    """Return with how many channels to load images: those of all networks, RGB where some take that and some grey.

    Raises:
        InputError: networks that take numbers of channels between which nothing converts.
    """
    taken = {each.name: each.network.intake.channels for each in found}
    counts = {channels for channels in taken.values() if channels is not None}
    if len(counts) > 1 and not counts <= {1, 3}:
        listed = ", ".join(f"{name} {channels}" for name, channels in taken.items() if channels)
        raise InputError(
            f"networks take images of different channels ({listed}), expected the same, or 1 and 3; compare those "
            "that can see the same images"
        )
    return counts.pop() if len(counts) == 1 else 3


def _side(found: Sequence[Subject], resolution: int | None) -> int | None:
    """Return the side to load images at: as stated, or the largest of a network; None leaves them as they are."""
    check_resolution(resolution)
    own = [
        max(each.network.resolution or 0, each.network.intake.height or 0, each.network.intake.width or 0)
        for each in found
    ]
    return resolution or max(own, default=0) or None


def check_resolution(resolution: int | None) -> None:
    """Refuse what is no side of an image.

    Raises:
        InputError: less than one pixel.
    """
    if resolution is not None and resolution < 1:
        raise InputError(f"--resolution: got {resolution}, expected at least 1 pixel")


def pairs_cache(wanted: bool) -> Path | None:
    """Return the folder in which compared pairs are kept; None where that is not wanted, or there is no home."""
    with suppress(RuntimeError):
        return cache_folder("pairs") if wanted else None
    return None


def set_threads(threads: int | None) -> None:
    """Set the threads of the tensor library.

    Raises:
        InputError: fewer than one.
    """
    if threads is None:
        return
    if threads < 1:
        raise InputError(f"--threads: got {threads}, expected at least 1")
    torch.set_num_threads(threads)


def provenance() -> dict[str, Any]:
    """Return what a result keeps of how it came about."""
    return {"command": typed(), "covalign": __version__, "environment": environment()}

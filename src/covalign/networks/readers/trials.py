"""On which images can a stranger's module be looked at, and which of their properties does it demand?

What takes no images is tried on words (indices, where it has a table of them) and on tokens as wide as its first
layer: order and norms are then known, though images are nothing to it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.func import functional_call

from covalign.networks.intake import Intake, arranged
from covalign.networks.readers.attention import law_holds
from covalign.networks.readers.torch_file import one_line
from covalign.networks.readers.tracing import Readable, Trace, evaluation, is_turned, trace
from covalign.networks.readers.wiring import wiring

RESOLUTIONS = (32, 64, 224, 28, 96, 128, 299, 16, 8)
"""Sides of images on which a module is tried, likeliest first (our choice)."""
TOKENS = 8
"""Words, or tokens, on which what takes no images is tried (our choice)."""


class Look(NamedTuple):
    """What one forward pass showed.

    Attributes:
        followed: order, norms.
        intake: the images; None where it was on none.
        example: what the module was given; None where no pass succeeded.
        how: in words.
    """

    followed: Trace
    intake: Intake | None
    example: Shaped[Tensor, "n ..."] | None
    how: str


def first_look(
    module: nn.Module,
    layers: dict[str, Readable],
    norms: dict[str, nn.Module],
    resolution: int | None,
    channels_last: bool | None,
) -> Look:
    """Follow one forward pass over noise, and say on which images; else take the order of registration."""
    failures = []
    for intake in intakes(layers.values(), resolution, channels_last):
        example = noise(module, intake, 2)
        try:
            followed = trace(module, example, layers, norms)
        except Exception as error:  # a stranger's forward pass may raise anything
            failures.append(f"on {intake}: {one_line(error)}")
            continue
        if followed.order:
            return Look(followed, intake, example, f"of execution, on noise of {intake}")
        failures.append(f"on {intake}: no layer was called")
    for example, what in sequences(module, layers):
        try:
            followed = trace(module, example, layers, norms)
        except Exception:  # likewise; what is said is why it takes no images
            continue
        if followed.order:
            return Look(
                followed, None, example, f"of execution, on {what}; it takes no images ({failures[0]})"
            )
    how = f"of registration; norms not placed (no forward pass {failures[0]})"
    return Look(Trace(tuple(layers)), None, None, how)


def sequences(
    module: nn.Module, layers: Mapping[str, nn.Module]
) -> Iterator[tuple[Shaped[Tensor, "2 t ..."], str]]:
    """Yield what a module that takes no images may take: indices of words, and tokens."""
    generator = torch.Generator().manual_seed(0)
    tables = [part for part in module.modules() if isinstance(part, nn.Embedding)]
    like = next(p for p in module.parameters() if p.is_floating_point())
    if tables:
        most = max(table.num_embeddings for table in tables)
        words = torch.randint(
            most // 2, most, (2, TOKENS), generator=generator
        )  # the first ones may be padding
        yield words.to(like.device), f"{TOKENS} random words"
    first = next(iter(layers.values()))
    width = (
        first.embed_dim if isinstance(first, nn.MultiheadAttention) else getattr(first, "in_features", None)
    )
    if width is not None and any(isinstance(part, nn.MultiheadAttention) for part in module.modules()):
        tokens = torch.randn(2, TOKENS, width, generator=generator)
        yield tokens.to(like), f"noise of {TOKENS} tokens of {width} features"


def right_cut(
    module: nn.Module, example: Shaped[Tensor, "n ..."], counts: Mapping[str, Sequence[int]]
) -> bool | None:
    """Whether products may be cut into so many rows of queries, keys and values, by the law of `attention`.

    None where that cannot be told: a module that cannot be run so, or whose output does not depend on them.

    Args:
        module: any.
        example: what it takes.
        counts: by the name of each product, rows of queries, keys and values; all are tried together.
    """
    parts = {name: module.get_submodule(name) for name in counts}
    stored = dict(module.named_parameters())
    if any(f"{name}.weight" not in stored for name in counts):
        return None  # put together from parts

    def run(factors: Mapping[str, Tensor]) -> Tensor:
        changed = {}
        for name, rows in factors.items():
            turned = is_turned(parts[name])
            changed[f"{name}.weight"] = stored[f"{name}.weight"] * (rows if turned else rows[:, None])
            if (bias := stored.get(f"{name}.bias")) is not None:
                changed[f"{name}.bias"] = bias * rows
        with evaluation(module):
            return _first(functional_call(module, changed, (example,)))

    like = next(iter(stored.values()))
    factors = {
        name: torch.tensor([2.0, 0.5, 1.0]).repeat_interleave(torch.tensor(list(rows))).to(like)
        for name, rows in counts.items()
    }
    try:
        return law_holds(run, factors)
    except Exception:  # a stranger's forward pass may raise anything
        return None


def _first(returned: Any) -> Tensor:
    """Return the first real tensor in what a module returned, which may be nested, or a record.

    What follows may be keys and values, kept for the next word.
    """
    if isinstance(returned, Tensor) and returned.is_floating_point():
        return returned.double()
    parts = returned.values() if isinstance(returned, Mapping) else returned
    return _first(next(iter(parts)))


def noise(module: nn.Module, intake: Intake, images: int) -> Float[Tensor, "n ..."]:
    """Return noise in the form that a module takes."""
    shape = (images, *intake.blank(1).shape[1:])
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return arranged(noise, intake).to(next(p for p in module.parameters() if p.is_floating_point()))


def intakes(
    layers: Iterable[Readable], resolution: int | None, channels_last: bool | None
) -> Iterator[Intake]:
    """Images that a network with these layers may take, likeliest first."""
    first, *_ = layers
    exact: list[tuple[int, int]] = []
    if isinstance(first, nn.Linear):
        exact = [(c, side) for side in range(1, 257) for c in (3, 1) if c * side**2 == first.in_features]
    counts = [p.in_channels for p in layers if isinstance(p, nn.Conv2d | nn.ConvTranspose2d)][:1]
    sides = RESOLUTIONS if resolution is None else (resolution, *RESOLUTIONS)
    shapes = exact + [(c, side) for c in dict.fromkeys((*counts, 3, 1, 4)) for side in sides]
    for last in (False, True) if channels_last is None else (channels_last,):
        yield from (Intake(c, side, side, last) for c, side in shapes)


def demanded(module: nn.Module, intake: Intake) -> Intake:
    """Return what a module fixes of the images on which it ran: their size only if it fails on twice that."""
    if intake.height is None or intake.width is None:
        return intake
    larger = replace(intake, height=2 * intake.height, width=2 * intake.width)
    try:
        with evaluation(module):
            module(noise(module, larger, 1))
    except Exception:  # a stranger's forward pass may raise anything
        return intake
    return replace(intake, height=None, width=None)


def followed_wiring(
    module: nn.Module, intake: Intake, layers: dict[str, Readable]
) -> dict[str, tuple[str, ...]]:
    """Return which layers read which; nothing where a module cannot be followed that way."""
    try:
        return wiring(module, noise(module, intake, 1), layers)
    except Exception:  # a stranger's forward pass may raise anything
        return {}

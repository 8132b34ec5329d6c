"""On which images can a stranger's module be looked at, and which of their properties does it demand?"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from covalign.networks.intake import Intake, arranged
from covalign.networks.readers.torch_file import one_line
from covalign.networks.readers.tracing import Readable, Trace, evaluation, trace
from covalign.networks.readers.wiring import wiring

RESOLUTIONS = (32, 64, 224, 28, 96, 128, 299, 16, 8)
"""Sides of images on which a module is tried, likeliest first (our choice)."""


def first_trace(
    module: nn.Module,
    layers: dict[str, Readable],
    norms: dict[str, nn.Module],
    resolution: int | None,
    channels_last: bool | None,
) -> tuple[Trace, Intake | None, str]:
    """Follow one forward pass over noise, and say on which images; else take the order of registration."""
    failures = []
    for intake in intakes(layers.values(), resolution, channels_last):
        try:
            followed = trace(module, noise(module, intake, 2), layers, norms)
        except Exception as error:  # a stranger's forward pass may raise anything
            failures.append(f"on {intake}: {one_line(error)}")
            continue
        if followed.order:
            return followed, intake, f"of execution, on noise of {intake}"
        failures.append(f"on {intake}: no layer was called")
    return (
        Trace(tuple(layers)),
        None,
        f"of registration; batch norms not placed (no forward pass {failures[0]})",
    )


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
    counts = [part.in_channels for part in layers if not isinstance(part, nn.Linear)][:1]
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

"""How does a new network get its weights, one layer after the other?

Layer by layer, since the inputs of a layer depend on all before it: statistics of norms are measured with the
weights as they are so far; what the layer receives for some images is aligned with what the reference receives for
the same images (orthogonal Procrustes, `covalign.encoding.alignment`); rows are drawn in the reference's
coordinates and carried into the layer's own (`covalign.studies.universal.drawing`). No weight of any network enters
the alignment.

The reference is whatever says what the encoding's coordinates are for given images: the inputs of the network in the
file, or, while an encoding is built, the mean aligned inputs of its members.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor, nn

from covalign.encoding.alignment import alignment_correlation, procrustes
from covalign.errors import InputError
from covalign.kernels.moments import ProductSum, rows_of
from covalign.networks.network import Layer, Network
from covalign.networks.readers.tracing import evaluation, is_norm
from covalign.progress import Told, untold
from covalign.storage.streams import stream
from covalign.studies.inputs import layer_inputs, met
from covalign.studies.universal.columns import FilledRow
from covalign.studies.universal.drawing import closed_form_rows, drawn_rows
from covalign.studies.universal.members import batches
from covalign.studies.universal.record import EncodedLayer

HOLDOUT = 5
"""Every fifth image judges the alignment, as in a comparison."""

FEW = 2
"""Samples a dimension below which an alignment is said to rest on too few; our choice."""

FEWEST = 10
"""Images below which neither norms nor alignments can be measured; our choice."""

USABLE = (0.1, 10.0)
"""Root mean square of a layer's input within which its scale is called right."""

Coordinates = Callable[[int, Tensor], Tensor]
"""What the encoding's layer of an index receives for pixels ``[n, c, h, w]``, as maps ``[n, d, ...]``."""


@dataclass(frozen=True, eq=False)
class Target:
    """A network that is to be filled.

    Attributes:
        module: the network; its weights are changed in place.
        network: the same, as it was read.
        layers: those to be filled, in forward order.
        indices: of the encoded layers that they correspond to.
        own_first: draw the first layer from the encoding; otherwise from what it receives.
    """

    module: nn.Module
    network: Network
    layers: tuple[Layer, ...]
    indices: tuple[int, ...]
    own_first: bool


def fill(
    target: Target,
    encoded: Sequence[EncodedLayer],
    coordinates: Coordinates,
    pixels: UInt8[Tensor, "n c h w"],
    seen: UInt8[Tensor, "n c_ref h w"],
    seed: int,
    progress: Told = untold,
) -> tuple[list[FilledRow], list[Tensor]]:
    """Draw the weights of every layer, and return what is to be said of each and its alignment ``[c, c_new]``.

    Args:
        target: what is filled.
        encoded: all layers of the encoding.
        coordinates: of the encoding.
        pixels: images as the new network takes them.
        seen: the same images as the reference takes them.
        seed: of the draws.
        progress: told the share of the layers that is filled.
    """
    rows, rotations = [], []
    normed = any(is_norm(part) for part in target.module.modules())
    for done, (layer, index) in enumerate(zip(target.layers, target.indices, strict=True), 1):
        part = encoded[index]
        kernel = (layer.weight.shape[2], layer.weight.shape[3])
        settle_norms(target, pixels)
        if index == 0 and not target.own_first:
            inputs = torch.cat([_received(target, layer, batch) for batch in batches(pixels)])
            weight = closed_form_rows(inputs.double(), layer.neurons, kernel, seed)
            found = Aligned(torch.zeros(part.channels, layer.channels).double(), math.nan, 0)
            source, coverage = "images", 1.0
        else:
            found = (
                Aligned(torch.eye(part.channels).double(), 1.0, 0)
                if index == 0
                else aligned(target, layer, coordinates, index, pixels, seen)
            )
            source = "encoding"
            weight, coverage = drawn_rows(
                part, found.rotation, layer.neurons, kernel, stream(seed, "universal rows", index)
            )
        row = _put(target, layer, weight, found, pixels, normed=normed)
        rows.append(row_of(row, layer, source, coverage, found))
        rotations.append(found.rotation)
        progress("layers", done / len(target.layers))
    settle_norms(target, pixels)
    return rows, rotations


@dataclass(frozen=True, eq=False)
class Aligned:
    """How a new layer's inputs lie in the encoding's coordinates."""

    rotation: Float64[Tensor, "c c_new"]
    correlation: float
    samples: int


@dataclass(frozen=True)
class Scale:
    """Root mean squares of what a layer receives and gives, and the factor that was applied to its weights."""

    received: float
    given: float
    gain: float


def aligned(
    target: Target,
    layer: Layer,
    coordinates: Coordinates,
    index: int,
    pixels: UInt8[Tensor, "n c h w"],
    seen: UInt8[Tensor, "n c_ref h w"],
) -> Aligned:
    """Align what a new layer receives with the encoding's coordinates; every fifth image judges."""
    held = torch.arange(len(pixels)) % HOLDOUT == HOLDOUT - 1
    fitted, judged = (
        _moment(target, layer, coordinates, index, pixels[part], seen[part]) for part in (~held, held)
    )
    rotation = procrustes(fitted.moment).rotation
    correlation = alignment_correlation(rotation, judged.moment, judged.own, judged.other)
    return Aligned(rotation, correlation, fitted.samples)


@dataclass(frozen=True, eq=False)
class _Moment:
    moment: Float64[Tensor, "c c_new"]
    own: float
    other: float
    samples: int


def _moment(
    target: Target, layer: Layer, coordinates: Coordinates, index: int, pixels: Tensor, seen: Tensor
) -> _Moment:
    total: ProductSum | None = None
    own = other = 0.0
    samples = 0
    for batch, reference in zip(batches(pixels), batches(seen), strict=True):
        maps = met([coordinates(index, reference), _received(target, layer, batch)])
        there, here = (rows_of(each) for each in maps)
        total = total or ProductSum(there.shape[1], here.shape[1])
        total.add(here, there)
        own, other = own + float(here.double().square().sum()), other + float(there.double().square().sum())
        samples += len(here)
    assert total is not None
    return _Moment(total.total, own, other, samples)


def _received(target: Target, layer: Layer, batch: Tensor) -> Float32[Tensor, "n d ..."]:
    return layer_inputs([(target.network, layer)], batch)[id(target.network), layer.name]


def _put(
    target: Target, layer: Layer, weight: Tensor, found: Aligned, pixels: Tensor, *, normed: bool
) -> Scale:
    """Write weights into the module, scaled to give unit mean square where no norm would do that, and measure."""
    part = target.module.get_submodule(layer.name)
    own = part.weight
    assert isinstance(own, Tensor)
    with torch.no_grad():
        own.copy_(weight.reshape(own.shape).to(own))
        if isinstance(bias := getattr(part, "bias", None), Tensor):
            bias.zero_()
    received, given = _scales(target, part, pixels)
    gain = 1.0 if normed or not given > 0 else 1 / given
    if gain != 1:
        with torch.no_grad():
            own.mul_(gain)
    return Scale(received, given * gain, gain)


def _scales(target: Target, part: nn.Module, pixels: Tensor) -> tuple[float, float]:
    """Return the root mean squares of what a part of the module receives and gives for a batch."""
    seen: list[tuple[float, float]] = []

    def look(_: nn.Module, given: tuple[Tensor, ...], result: Tensor) -> None:
        seen.append((float(given[0].double().square().mean()), float(result.double().square().mean())))

    handle = part.register_forward_hook(look)
    try:
        with evaluation(target.module):
            run(target, next(batches(pixels)))
    finally:
        handle.remove()
    one, two = seen[0]
    return math.sqrt(one), math.sqrt(two)


def run(target: Target, pixels: UInt8[Tensor, "n c h w"]) -> None:
    """Pass images through the network, for what its parts do on the way."""
    assert target.network.normalization is not None
    batch = target.network.normalization(pixels)
    target.module(batch.to(next(target.module.parameters())))


@contextmanager
def _measuring(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Let norms average the statistics of all that passes; their momentum is theirs again afterwards."""
    momenta = [getattr(norm, "momentum", None) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()  # type: ignore[operator]
        norm.momentum = None  # type: ignore[assignment]
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum  # type: ignore[assignment]


def settle_norms(target: Target, pixels: UInt8[Tensor, "n c h w"]) -> None:
    """Give every batch norm the statistics of these images under the weights as they are."""
    norms = [
        part for part in target.module.modules() if is_norm(part) and hasattr(part, "reset_running_stats")
    ]
    if norms:
        with evaluation(target.module), _measuring(norms):
            for batch in batches(pixels):
                run(target, batch)


def row_of(scale: Scale, layer: Layer, source: str, coverage: float, found: Aligned) -> FilledRow:
    """Return what is to be said of a layer that was filled."""
    remarks = []
    if not USABLE[0] <= scale.received <= USABLE[1]:
        remarks.append(f"receives a root mean square of {scale.received:.3g}, expected about 1")
    if 0 < found.samples < FEW * layer.channels:
        remarks.append(
            f"aligned on {found.samples} positions for {layer.channels} inputs: pass more or larger images"
        )
    return FilledRow(
        layer.name,
        source,
        layer.neurons,
        layer.channels,
        found.correlation,
        coverage,
        scale.received,
        scale.given,
        scale.gain,
        found.samples,
        "; ".join(remarks),
    )


def check_count(images: int) -> None:
    """Refuse images that are too few to align on.

    Raises:
        InputError: they are.
    """
    if images < FEWEST:
        raise InputError(f"images: got {images}, expected at least {FEWEST}; a few hundred are better")


def check_names(chosen: Sequence[str] | None, known: Sequence[str]) -> None:
    """Refuse names of layers that do not exist.

    Raises:
        InputError: the first of them.
    """
    for name in chosen or ():
        if name not in known:
            raise InputError(f"init_: the network has no layer {name!r} to fill; it has {', '.join(known)}")

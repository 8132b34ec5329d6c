"""Which networks make a population, which of their layers correspond, and how do their inputs vary together?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor

from covalign.data.images import Images
from covalign.encoding.universal.basis import CommonBasis, common_basis
from covalign.errors import InputError
from covalign.kernels.moments import ProductSum, rows_of
from covalign.networks.network import Layer, Network
from covalign.progress import Told
from covalign.studies.coordinates import known_rotation
from covalign.studies.inputs import layer_inputs, met
from covalign.studies.streaming import BATCH_SIZE, MEMORY_BUDGET, within_budget
from covalign.studies.structure import hidden_layers, signature
from covalign.studies.subjects import Subject
from covalign.studies.universal.principal import Principal, completed, principal
from covalign.training.run import Run

SAMPLES = 8
"""Positions a dimension from which moments are taken, `FEWEST` at least; where images offer more, every k-th one of
all images, k odd, so that maps of even width lend all their places; our choice."""

FEWEST = 8192
"""Positions below which none are left out; our choice."""

SETTLED = 1e-3
"""Relative gain of a sweep at which coordinates are taken to be common; our choice."""

LEADING = 256
"""Directions of an input that are aligned where it has more coordinates (`covalign.studies.universal.principal`)."""


@dataclass(frozen=True, eq=False)
class Population:
    """Networks whose layers correspond one by one.

    Attributes:
        subjects: the networks.
        runs: their trainings.
        layers: ``layers[l][i]`` is layer l of network i.
        conditions: of every network.
    """

    subjects: tuple[Subject, ...]
    runs: tuple[Run, ...]
    layers: tuple[tuple[Layer, ...], ...]
    conditions: tuple[str, ...]

    @property
    def networks(self) -> list[Network]:
        """The networks alone."""
        return [each.network for each in self.subjects]

    @property
    def widest(self) -> int:
        """The first network of the largest width."""
        sizes = [sum(each[i].channels for each in self.layers) for i in range(len(self.subjects))]
        return sizes.index(max(sizes))


def population(opened: Sequence[Subject], conditions: Mapping[str, str]) -> Population:
    """Check that networks make a population.

    Raises:
        InputError: a network that is no finished training of ours, or networks of different depth or kind.
    """
    runs = []
    for each in opened:
        if each.run is None:
            raise InputError(
                f"universal build: {each.name!r} is no stored training, expected runs of the store: the file carries "
                "a network of their architecture, which a stranger's weights do not state"
            )
        runs.append(each.run)
    first = hidden_layers(opened[0].network)
    for other in opened[1:]:
        own = hidden_layers(other.network)
        if list(map(signature, own)) != list(map(signature, first)):
            raise InputError(
                f"universal build: {opened[0].name!r} and {other.name!r} differ in depth, form or kernel size; "
                "expected one architecture (widths may differ)"
            )
    layers = tuple(zip(*(hidden_layers(each.network) for each in opened), strict=True))
    return Population(tuple(opened), tuple(runs), layers, tuple(conditions[each.name] for each in opened))


def bases(found: Population, images: Images, progress: Told) -> list[CommonBasis]:
    """Return the common coordinates of every layer; those of the first layer are the images' own.

    Raises:
        InputError: first layers that do not read the same, or images that networks cannot take.
    """
    chosen: list[CommonBasis] = [_of_images(found)]
    pairs = len(found.subjects) * (len(found.subjects) + 1) // 2
    widths = [max(layer.channels for layer in layers) for layers in found.layers]
    sizes = [12 * (pairs * min(d, LEADING) ** 2 + len(found.subjects) * d**2) for d in widths]
    groups = list(within_budget(range(1, len(sizes)), sizes.__getitem__, MEMORY_BUDGET))
    for done, group in enumerate(groups, 1):
        leading = _leading(found, group, images)
        for index, (moments, means) in zip(group, moments_of(found, group, images, leading), strict=True):
            basis = common_basis(moments, means, SETTLED)
            chosen.append(completed(basis, leading[index]) if index in leading else basis)
        progress("common coordinates", done / len(groups))
    return chosen


def batches(images: Images | UInt8[Tensor, "n c h w"]) -> Iterator[UInt8[Tensor, "b c h w"]]:
    """Yield pixels, some images at a time."""
    pixels = images.pixels if isinstance(images, Images) else images
    yield from pixels.split(BATCH_SIZE)


def _of_images(found: Population) -> CommonBasis:
    first = found.widest
    rotations = []
    for network, layer in zip(found.networks, found.layers[0], strict=True):
        known, _ = known_rotation(network, layer, found.networks[first], found.layers[0][first])
        if known is None:
            raise InputError(
                f"universal build: first layers of {network.name!r} and {found.networks[first].name!r} read "
                "different images (normalization, channels or frozen filters); expected one population"
            )
        rotations.append(known)
    width = len(rotations[0])
    return CommonBasis(tuple(rotations), torch.full((width,), 1 / width, dtype=torch.float64), 1.0, 0)


def _leading(found: Population, group: Sequence[int], images: Images) -> dict[int, list[Principal]]:
    """Return the leading directions of what every network receives at those layers that are wide for all."""
    wide = [k for k in group if min(layer.channels for layer in found.layers[k]) > LEADING]
    if not wide:
        return {}
    wanted = [(n, found.layers[k][i]) for i, n in enumerate(found.networks) for k in wide]
    sums = {
        (k, i): ProductSum(layer.channels, layer.channels)
        for k in wide
        for i, layer in enumerate(found.layers[k])
    }
    for pixels in batches(images):
        inputs = layer_inputs(wanted, pixels)
        for k in wide:
            for i, rows in enumerate(_rows(found, k, inputs, len(images))):
                sums[k, i].add(rows, rows)
    return {k: [principal(sums[k, i].total, LEADING) for i in range(len(found.subjects))] for k in wide}


def _rows(
    found: Population, index: int, inputs: Mapping[tuple[int, str], Tensor], images: int
) -> list[Float32[Tensor, "m _"]]:
    """Return what every network receives at a layer, at corresponding positions; of many images only some."""
    maps = met([inputs[id(n), found.layers[index][i].name] for i, n in enumerate(found.networks)])
    stride = stride_of(images * maps[0][0, 0].numel(), max(each.shape[1] for each in maps))
    return [rows_of(each)[::stride].contiguous() for each in maps]


def moments_of(
    found: Population, group: Sequence[int], images: Images, leading: Mapping[int, Sequence[Principal]]
) -> Iterator[tuple[dict[tuple[int, int], Float64[Tensor, "_ _"]], list[Float64[Tensor, " _"]]]]:
    """Accumulate the moments of all pairs of networks at some layers, in one pass over the images.

    Of layers in ``leading`` they are those of the coordinates along the leading directions.
    """
    count = len(found.subjects)
    pairs = [(i, j) for i in range(count) for j in range(i, count)]
    sums = {
        (index, i, j): ProductSum(
            *([LEADING] * 2 if index in leading else [each[i].channels, each[j].channels])
        )
        for index, each in ((index, found.layers[index]) for index in group)
        for i, j in pairs
    }
    means: dict[tuple[int, int], Tensor] = {}
    wanted = [(network, found.layers[k][i]) for i, network in enumerate(found.networks) for k in group]
    for pixels in batches(images):
        inputs = layer_inputs(wanted, pixels)
        for index in group:
            rows = _rows(found, index, inputs, len(images))
            if index in leading:
                own = (each.directions.float() for each in leading[index])
                rows = [each @ along for each, along in zip(rows, own, strict=True)]
            for i, j in pairs:
                sums[index, i, j].add(rows[j], rows[i])
            for i, each in enumerate(rows):
                total = each.sum(0, dtype=torch.float64)
                means[index, i] = means[index, i] + total if (index, i) in means else total
    for index in group:
        moments = {(i, j): sums[index, i, j].total for i, j in pairs}
        yield moments, [means[index, i] for i in range(count)]


def stride_of(positions: int, d: int) -> int:
    """Return every how many positions one is taken."""
    enough = max(FEWEST, SAMPLES * d)
    return 1 if positions <= enough else -(-positions // enough) // 2 * 2 + 1

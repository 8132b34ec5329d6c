"""How do the inputs of two layers vary together?

For layers a and b that receive phi_a and phi_b for the same image and position, the cross-moment is M =
E[phi_b phi_a^T], shape ``[d_b, d_a]``, uncentred. It is accumulated over batches in float64, so that memory
does not grow with the number of images; when many pairs are wanted, they are dealt into groups that fit a
memory budget, and the images are passed through the networks once per group. Every ``holdout``-th image is
kept apart, to judge an alignment on images it was not fitted to.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32, Float64, UInt8
from torch import Tensor
from torch.nn import functional

from covalign.data.images import Images
from covalign.encoding.alignment import (
    Alignment,
    alignment_correlation,
    procrustes,
)
from covalign.encoding.reasons import Remarks
from covalign.errors import InputError
from covalign.networks.network import Layer, Network
from covalign.progress import Told, untold

BATCH_SIZE = 100
MEMORY_BUDGET = 2**30
"""Bytes of moments held at a time."""

ROWS = 2**14
"""Samples whose products are summed in float32 before they are added in float64."""


@dataclass(frozen=True, eq=False)
class Link:
    """Two layers whose inputs are to be compared; network a is mapped into network b.

    Where the rotation ``known`` is given (see `covalign.studies.coordinates`), nothing is fitted; ``remarks`` are
    what is to be said of the coordinates.
    """

    network_a: Network
    layer_a: Layer
    network_b: Network
    layer_b: Layer
    known: Float64[Tensor, "d_b d_a"] | None = None
    remarks: Remarks = ()

    @property
    def turned(self) -> "Link":
        """The same link with the narrower network first."""
        if self.layer_a.channels <= self.layer_b.channels:
            return self
        known = None if self.known is None else self.known.T
        return Link(self.network_b, self.layer_b, self.network_a, self.layer_a, known, self.remarks)


@dataclass(frozen=True, eq=False)
class Fit:
    """An alignment, and its controls.

    Attributes:
        alignment: fitted to the same images in both networks, or known.
        shuffled: fitted to pairs of different images; these share the average image, and so their mean features.
        centred: fitted to what is left of the features less their mean at each position.
        remarks: what is to be said of the coordinates.
    """

    alignment: Alignment
    shuffled: Alignment | None = None
    centred: Alignment | None = None
    remarks: Remarks = ()


class CrossMoment:
    """Running sums over positions: phi_b phi_a^T ``[d_b, d_a]``, ||phi_a||^2, ||phi_b||^2, their number."""

    def __init__(self, link: Link) -> None:
        self.moment = torch.zeros(link.layer_b.channels, link.layer_a.channels, dtype=torch.float64)
        self.energy_a = 0.0
        self.energy_b = 0.0
        self.samples = 0

    def add(self, a: Float32[Tensor, "m d_a"], b: Float32[Tensor, "m d_b"]) -> None:
        """Add samples, a row each: products of a few thousand rows in float32, their sum in float64."""
        for part_a, part_b in zip(a.split(ROWS), b.split(ROWS), strict=True):
            self.moment += (part_b.T @ part_a).to(self.moment)
            self.energy_a += float(part_a.flatten().dot(part_a.flatten()))
            self.energy_b += float(part_b.flatten().dot(part_b.flatten()))
        self.samples += len(a)


class PairedMoment(CrossMoment):
    """A cross-moment that also knows the mean features of each position, [d, positions] per network."""

    def __init__(self, link: Link) -> None:
        super().__init__(link)
        self.sum_a: Tensor | float = 0.0
        self.sum_b: Tensor | float = 0.0
        self.images = 0

    def add_maps(self, a: Float32[Tensor, "n d_a ..."], b: Float32[Tensor, "n d_b ..."]) -> None:
        """Add the inputs of a batch, image by image of the one paired with the other's."""
        self.add(_rows(a), _rows(b))
        self.sum_a = self.sum_a + a.double().sum(0).reshape(a.shape[1], -1)
        self.sum_b = self.sum_b + b.double().sum(0).reshape(b.shape[1], -1)
        self.images += len(a)

    @property
    def centred(self) -> Float64[Tensor, "d_b d_a"]:
        """Sum over positions p of (phi_b - mean_b(p)) (phi_a - mean_a(p))^T."""
        if not (isinstance(self.sum_a, Tensor) and isinstance(self.sum_b, Tensor)):
            return self.moment
        return self.moment - self.sum_b @ self.sum_a.T / self.images


def fit_alignments(
    links: Sequence[Link],
    images: Images,
    *,
    holdout: int = 5,
    control: bool = False,
    batch_size: int = BATCH_SIZE,
    memory: int = MEMORY_BUDGET,
    progress: Told = untold,
) -> list[Fit]:
    """Fit one alignment per link, and measure its correlation on held-out images.

    Args:
        links: pairs of layers.
        images: raw pixels; every network applies its own normalization.
        holdout: every ``holdout``-th image is kept for the correlation; 0 keeps none.
        control: also fit alignments to pairs of different images (each image of network a with one half a batch
            away), which share nothing but the average image, and to features centred at each position.
        batch_size: images a pass.
        memory: bytes of moments held at a time.
        progress: told the share of the alignments that is done.

    Raises:
        InputError: too few images, or a network that has no forward pass or cannot take them.
    """
    if len(images) < max(2, holdout):
        raise InputError(f"alignment: got {len(images)} images, expected at least {max(2, holdout)}")
    results: list[Fit] = []
    groups = list(_groups(links, memory // (3 if control else 2)))
    for done, group in enumerate(groups):
        sums = [Sums(link, control) for link in group]
        for share in _accumulate(sums, images, holdout, batch_size):
            progress("alignments", (done + share) / len(groups))
        results += [each.solve() for each in sums]
    return results


class Sums:
    """What the alignment of one link is fitted to, what it is judged by, and its control."""

    def __init__(self, link: Link, control: bool) -> None:
        self.link = link
        self.fitted, self.held = PairedMoment(link), CrossMoment(link)
        self.shuffled = PairedMoment(link) if control and link.known is None else None

    def solve(self) -> Fit:
        """Solve the Procrustes problems; a rotation that is known stays as it is."""
        known = self.link.known
        alignment = procrustes(self.fitted.moment) if known is None else Alignment(known, fitted=False)
        correlation = math.nan
        if self.held.samples:
            energies = self.held.energy_a, self.held.energy_b
            correlation = alignment_correlation(alignment.rotation, self.held.moment, *energies)
        found = Fit(
            replace(alignment, correlation=correlation, samples=self.fitted.samples),
            remarks=self.link.remarks,
        )
        if self.shuffled is None:
            return found
        return replace(
            found,
            shuffled=procrustes(self.shuffled.moment),
            centred=procrustes(self.fitted.centred),
        )


def _accumulate(sums: Sequence[Sums], images: Images, holdout: int, batch_size: int) -> Iterator[float]:
    """Stream the images once; after each batch tell the share that is done."""
    sides = [(each.link.network_a, each.link.layer_a) for each in sums]
    others = [(each.link.network_b, each.link.layer_b) for each in sums]
    everyone = torch.arange(len(images))
    held = everyone % holdout == holdout - 1 if holdout else everyone < 0
    seen = 0
    for indices, is_held in ((everyone[~held], False), (everyone[held], True)):
        for part in indices.split(batch_size) if len(indices) else ():
            inputs = layer_inputs([*sides, *others], images.pixels[part])
            for each in sums:
                a = inputs[id(each.link.network_a), each.link.layer_a.name]
                b = inputs[id(each.link.network_b), each.link.layer_b.name]
                a, b = matched_positions(a, b)
                if is_held:
                    each.held.add(_rows(a), _rows(b))
                    continue
                if each.link.known is not None:
                    continue
                each.fitted.add_maps(a, b)
                if each.shuffled and len(part) > 1:
                    each.shuffled.add_maps(a, b.roll(len(part) // 2, 0))
            seen += len(part)
            yield seen / len(images)


def layer_inputs(
    layers: Sequence[tuple[Network, Layer]], pixels: UInt8[Tensor, "n c h w"]
) -> dict[tuple[int, str], Float32[Tensor, "n channels ..."]]:
    """Return what layers receive for a batch, by (id of the network, layer name); one pass per network."""
    result: dict[tuple[int, str], Tensor] = {}
    for network in {id(network): network for network, _ in layers}.values():
        if network.source is None:
            raise InputError(
                f"network {network.name!r} is a bare weight file without a forward pass and cannot be "
                "aligned; pass its architecture as module.path:factory"
            )
        if network.normalization is None:
            raise InputError(
                f"network {network.name!r}: it is not known how its input pixels are normalized; "
                "read it with load_network(network, normalization=...), or state --normalization (imagenet, cifar, "
                "none)"
            )
        names = list(dict.fromkeys(layer.name for owner, layer in layers if owner is network))
        inputs = network.source.inputs(
            network.normalization(pixels).contiguous(memory_format=torch.channels_last), names
        )
        result |= {(id(network), name): value for name, value in inputs.items()}
    return result


def matched_positions(
    a: Float32[Tensor, "n d_a ..."], b: Float32[Tensor, "n d_b ..."]
) -> tuple[Float32[Tensor, "n d_a ..."], Float32[Tensor, "n d_b ..."]]:
    """Give both inputs the same positions: a finer map is averaged to the coarser one's size."""
    if a.shape[2:] == b.shape[2:]:
        return a, b
    if a.ndim == b.ndim == 4:
        size = (min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3]))
        return functional.adaptive_avg_pool2d(a, size), functional.adaptive_avg_pool2d(b, size)
    return _mean_position(a), _mean_position(b)


def _mean_position(x: Float32[Tensor, "n d ..."]) -> Float32[Tensor, "n d"]:
    return x.flatten(2).mean(2) if x.ndim > 2 else x


def _rows(x: Float32[Tensor, "n d ..."]) -> Float32[Tensor, "m d"]:
    """Make every position of every image a row."""
    return x.reshape(*x.shape[:2], -1).movedim(1, 2).flatten(0, 1)


def _groups(links: Sequence[Link], memory: int) -> Iterator[list[Link]]:
    """Deal links into groups whose moments fit the budget; a single link may exceed it."""
    group: list[Link] = []
    used = 0
    for link in links:
        size = 8 * link.layer_a.channels * link.layer_b.channels
        if group and used + size > memory:
            yield group
            group, used = [], 0
        group.append(link)
        used += size
    if group:
        yield group

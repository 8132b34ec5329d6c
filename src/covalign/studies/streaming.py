"""How do the inputs of two layers vary together?

For layers a and b that receive phi_a and phi_b for the same image and position, the cross-moment is M =
E[phi_b phi_a^T], shape ``[d_b, d_a]``, uncentred. It is accumulated over batches in float64, so that memory
does not grow with the number of images; when many pairs are wanted, they are dealt into groups that fit a
memory budget, and the images are passed through the networks once per group. Every ``holdout``-th image is
kept apart, to judge an alignment on images it was not fitted to.
"""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.encoding.alignment import (
    Alignment,
    alignment_correlation,
    procrustes,
)
from covalign.encoding.reasons import Reason, Remark, Remarks
from covalign.errors import InputError
from covalign.kernels.moments import CrossedProducts, ProductSum, Received
from covalign.networks.network import Layer, Network
from covalign.progress import Told, untold
from covalign.studies.inputs import layer_inputs, matched_size, resized

Item = TypeVar("Item")

BATCH_SIZE = 100
"""Images a pass, where they fit."""
MEMORY_BUDGET = 2**31
"""Bytes of moments, and of what layers receive for a batch, held at a time."""
COPIES = 5
"""How often what a layer receives is held while a batch is added: as it is, averaged, in rows, and their halves."""


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

    @property
    def unfitted(self) -> "Fit | None":
        """The alignment that needs no images; None where there is none."""
        return None if self.known is None else Fit(Alignment(self.known, fitted=False), remarks=self.remarks)


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


def fit_alignments(
    links: Sequence[Link],
    images: Images,
    *,
    holdout: int = 5,
    control: bool = False,
    batch_size: int | None = None,
    memory: int = MEMORY_BUDGET,
    progress: Told = untold,
) -> Iterator[Fit]:
    """Fit one alignment per link, and measure its correlation on held-out images.

    Alignments come in the order of the links and are held no longer than the caller holds them. Links are dealt in
    this order into groups that share a pass over the images, so that links of few networks should stand together.

    Args:
        links: pairs of layers.
        images: raw pixels; every network applies its own normalization.
        holdout: every ``holdout``-th image is kept for the correlation; 0 keeps none.
        control: also fit alignments to pairs of different images (each image of network a with one half a batch
            away), which share nothing but the average image, and to features centred at each position.
        batch_size: images a pass; None takes as many as fit the memory, and `BATCH_SIZE` at most.
        memory: bytes held at a time: half of it moments, half of it what layers receive.
        progress: told the share of the alignments that is done.

    Raises:
        InputError: too few images, or a network that has no forward pass or cannot take them.
    """
    if len(images) < max(2, holdout):
        raise InputError(f"alignment: got {len(images)} images, expected at least {max(2, holdout)}")
    groups = list(within_budget(links, moment_bytes, moment_budget(memory, control)))

    def fits() -> Iterator[Fit]:
        for done, group in enumerate(groups):
            sums, means = deque(Sums(link, control) for link in group), Means()
            size = batch_size or fitting_batch(group, images, memory // 2)
            for share in _accumulate(sums, means, images, holdout, size):
                progress("alignments", (done + share) / len(groups))
            while sums:  # moments are let go of one by one
                yield sums.popleft().solve(means)

    return fits()


def moment_budget(memory: int, control: bool = False) -> int:
    """Return the bytes of plain float64 moments that a pass over the images may hold.

    A quarter of the memory, for what is summed in float32 and what is held out stands beside them; a sixth where
    controls have moments of their own.
    """
    return memory // (6 if control else 4)


def beside(images: Images, memory: int) -> int:
    """Return the bytes that alignments may hold beside decoded images: what these leave, and a quarter at least."""
    return max(memory // 4, memory - images.pixels.nbytes)


def fitting_batch(links: Sequence[Link], images: Images, memory: int) -> int:
    """Return how many images a pass may have, so that what all layers receive fits the memory.

    One image is passed to find out what they receive. Two at least and `BATCH_SIZE` at most.

    Args:
        links: pairs of layers whose inputs are held together.
        images: raw pixels.
        memory: bytes.
    """
    layers = [(link.network_a, link.layer_a) for link in links]
    layers += [(link.network_b, link.layer_b) for link in links]
    received = layer_inputs(layers, images.pixels[:1])
    image = COPIES * sum(maps.numel() * maps.element_size() for maps in received.values())
    return min(BATCH_SIZE, max(2, memory // image // 2 * 2))


Side = tuple[int, str, tuple[int, ...]]
"""Maps of a layer: the network's id, the layer's name, and the size that they are averaged to."""


class Means:
    """Sums over the fitted images of what each side receives, ``[d, positions]``."""

    def __init__(self) -> None:
        self.sums: dict[Side, Tensor] = {}
        self.images = 0

    def add(self, made: Mapping[Side, Received]) -> None:
        """Add a batch."""
        for side, received in made.items():
            maps = received.maps
            total = maps.sum(0).double().reshape(maps.shape[1], -1)
            self.sums[side] = self.sums[side] + total if side in self.sums else total
        self.images += len(maps) if made else 0

    def product(self, a: Side, b: Side) -> Float64[Tensor, "d_b d_a"]:
        """Sum over images and positions p of mean_b(p) mean_a(p)^T."""
        return self.sums[b] @ self.sums[a].T / self.images


class Sums:
    """What the alignment of one link is fitted to, what it is judged by, and its controls."""

    def __init__(self, link: Link, control: bool) -> None:
        self.link = link
        self.control = control and link.known is None
        sizes = link.layer_b.channels, link.layer_a.channels
        self.fitted = CrossedProducts(*sizes, crossed=self.control)
        self.held = ProductSum(*sizes)
        self.energies = (0.0, 0.0)
        self.samples = 0
        self.sides: tuple[Side, Side] | None = None
        self.remarks = link.remarks

    def meet(self, inputs: Mapping[tuple[int, str], Tensor]) -> tuple[Side, Side]:
        """Return the positions at which both sides meet, and remember them, and what is to be said of them."""
        self.sides = _sides(self.link, inputs)
        positions = tuple(math.prod(inputs[side[:2]].shape[2:]) for side in self.sides)
        if self.sides[0][2] == () and max(positions) > 1:
            self.remarks = (*self.link.remarks, Remark(Reason.MEAN_POSITIONS, positions))
        return self.sides

    def fit(self, a: Received, b: Received) -> None:
        """Add images that the alignment is fitted to."""
        self.fitted.add(a, b)
        self.samples += len(a.rows)

    def judge(self, a: Received, b: Received) -> None:
        """Add images that the alignment is judged by."""
        self.held.add(a.rows, b.rows)
        self.energies = (self.energies[0] + a.energy, self.energies[1] + b.energy)

    def solve(self, means: Means) -> Fit:
        """Solve the Procrustes problems; a rotation that is known stays as it is."""
        known = self.link.known
        alignment = procrustes(self.fitted.equal) if known is None else Alignment(known, fitted=False)
        correlation = alignment_correlation(alignment.rotation, self.held.total, *self.energies)
        found = Fit(replace(alignment, correlation=correlation, samples=self.samples), remarks=self.remarks)
        if not self.control or self.sides is None:
            return found
        return replace(
            found,
            shuffled=procrustes(self.fitted.crossed),
            centred=procrustes(self.fitted.equal - means.product(*self.sides)),
        )


def _accumulate(
    sums: Collection[Sums], means: Means, images: Images, holdout: int, batch_size: int
) -> Iterator[float]:
    """Stream the images once; after each batch tell the share that is done."""
    layers = [(link.network_a, link.layer_a) for link in (each.link for each in sums)]
    layers += [(link.network_b, link.layer_b) for link in (each.link for each in sums)]
    crossed = any(each.control for each in sums)
    everyone = torch.arange(len(images))
    held = everyone % holdout == holdout - 1 if holdout else everyone < 0
    seen = 0
    for indices, is_held in ((everyone[~held], False), (everyone[held], True)):
        used = [each for each in sums if is_held or each.link.known is None]
        for part in indices.split(batch_size) if len(indices) else ():
            inputs = layer_inputs(layers, images.pixels[part])
            made: dict[Side, Received] = {}
            for each in used:
                sides = each.meet(inputs)
                for side in sides:
                    if side not in made:
                        maps = resized(inputs[side[:2]], side[2])
                        made[side] = Received.of(maps, crossed=crossed and not is_held)
                one, other = (made[side] for side in sides)
                (each.judge if is_held else each.fit)(one, other)
            if crossed and not is_held:
                means.add(made)
            seen += len(part)
            yield seen / len(images)


def _sides(link: Link, inputs: Mapping[tuple[int, str], Tensor]) -> tuple[Side, Side]:
    a, b = (id(link.network_a), link.layer_a.name), (id(link.network_b), link.layer_b.name)
    size = matched_size(inputs[a], inputs[b])
    return (*a, size), (*b, size)


def within_budget(items: Iterable[Item], size: Callable[[Item], int], budget: int) -> Iterator[list[Item]]:
    """Deal items into groups, in order, whose sizes together fit a budget; a single item may exceed it."""
    group: list[Item] = []
    used = 0
    for item in items:
        if group and used + size(item) > budget:
            yield group
            group, used = [], 0
        group.append(item)
        used += size(item)
    if group:
        yield group


def moment_bytes(link: Link) -> int:
    """Return the bytes of the cross-moment of a link in float64."""
    return 8 * link.layer_a.channels * link.layer_b.channels

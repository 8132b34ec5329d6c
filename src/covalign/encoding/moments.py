"""How do the inputs of two layers vary together?

For layers a and b that receive phi_a and phi_b for the same image and position, the cross-moment is M =
E[phi_b phi_a^T], shape ``[d_b, d_a]``, uncentred. It is accumulated over batches in float64, so that memory
does not grow with the number of images; when many pairs are wanted, they are dealt into groups that fit a
memory budget, and the images are passed through the networks once per group. Every ``holdout``-th image is
kept apart, to judge an alignment on images it was not fitted to.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32, Float64, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from covalign.data.images import Images
from covalign.encoding.alignment import (
    Alignment,
    alignment_correlation,
    identity_alignment,
    procrustes,
)
from covalign.errors import InputError
from covalign.networks.network import Layer, Network

BATCH_SIZE = 250
MEMORY_BUDGET = 2**30
"""Bytes of moments held at a time."""


@dataclass(frozen=True, eq=False)
class Link:
    """Two layers whose inputs are to be compared; network a is mapped into network b.

    ``shared`` says that both receive the same coordinates (the images themselves), so that A = I.
    """

    network_a: Network
    layer_a: Layer
    network_b: Network
    layer_b: Layer
    shared: bool = False


class CrossMoment:
    """Running sums over positions: phi_b phi_a^T ``[d_b, d_a]``, ||phi_a||^2, ||phi_b||^2, their number."""

    def __init__(self, link: Link) -> None:
        self.moment = torch.zeros(link.layer_b.channels, link.layer_a.channels, dtype=torch.float64)
        self.energy_a = 0.0
        self.energy_b = 0.0
        self.samples = 0

    def add(self, a: Float64[Tensor, "m d_a"], b: Float64[Tensor, "m d_b"]) -> None:
        """Add samples, a row each."""
        self.moment = self.moment.to(a.device).addmm_(b.T, a)
        self.energy_a += float(a.square().sum())
        self.energy_b += float(b.square().sum())
        self.samples += len(a)


def fit_alignments(
    links: Sequence[Link],
    images: Images,
    *,
    holdout: int = 5,
    shuffle_seed: int | None = None,
    batch_size: int = BATCH_SIZE,
    memory: int = MEMORY_BUDGET,
    progress: Callable[[float], None] = lambda done: None,
) -> list[Alignment]:
    """Fit one alignment per link, and measure its correlation on held-out images.

    Args:
        links: pairs of layers.
        images: raw pixels; every network applies its own normalization.
        holdout: every ``holdout``-th image is kept for the correlation; 0 keeps none.
        shuffle_seed: pair each image of network a with another one of network b: a control in which
            nothing but the average image is shared.
        batch_size: images a pass.
        memory: bytes of moments held at a time.
        progress: told the share of the work that is done.

    Raises:
        InputError: too few images, or a network that has no forward pass or cannot take them.
    """
    if len(images) < max(2, holdout):
        raise InputError(f"alignment: got {len(images)} images, expected at least {max(2, holdout)}")
    groups = list(_groups(links, memory))
    results: list[Alignment] = []
    for done, group in enumerate(groups):
        for part in _accumulate(group, images, holdout, shuffle_seed, batch_size):
            progress((done + part[0]) / len(groups))
        results += [_solve(link, *sums) for link, sums in zip(group, part[1], strict=True)]
    return results


Sums = tuple[CrossMoment, CrossMoment]
"""What the alignment is fitted to, and what it is judged by."""


def _accumulate(
    group: Sequence[Link], images: Images, holdout: int, shuffle_seed: int | None, batch_size: int
) -> Iterator[tuple[float, list[Sums]]]:
    """Stream the images once; after each batch give the share that is done, and the sums."""
    sums = [(CrossMoment(link), CrossMoment(link)) for link in group]
    everyone = torch.arange(len(images))
    held = everyone % holdout == holdout - 1 if holdout else everyone < 0
    seen = 0
    for which, indices in enumerate((everyone[~held], everyone[held])):
        partners = indices if shuffle_seed is None else indices[_permutation(len(indices), shuffle_seed)]
        for part, partner in zip(indices.split(batch_size), partners.split(batch_size), strict=True):
            sides = [(link.network_a, link.layer_a) for link in group]
            others = [(link.network_b, link.layer_b) for link in group]
            if shuffle_seed is None:
                inputs_a = inputs_b = layer_inputs([*sides, *others], images.pixels[part])
            else:
                inputs_a = layer_inputs(sides, images.pixels[part])
                inputs_b = layer_inputs(others, images.pixels[partner])
            for link, pair in zip(group, sums, strict=True):
                a = inputs_a[id(link.network_a), link.layer_a.name]
                b = inputs_b[id(link.network_b), link.layer_b.name]
                pair[which].add(*matched_positions(a, b))
            seen += len(part)
            yield seen / len(images), sums


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
                "state a normalization (imagenet, cifar or none)"
            )
        names = list(dict.fromkeys(layer.name for owner, layer in layers if owner is network))
        inputs = network.source.inputs(network.normalization(pixels), names)
        result |= {(id(network), name): value for name, value in inputs.items()}
    return result


def matched_positions(
    a: Float32[Tensor, "n d_a ..."], b: Float32[Tensor, "n d_b ..."]
) -> tuple[Float64[Tensor, "m d_a"], Float64[Tensor, "m d_b"]]:
    """Give every position a row, float64; a finer map is averaged to the coarser one's size."""
    if a.shape[2:] != b.shape[2:]:
        if a.ndim == b.ndim == 4:
            size = [min(p, q) for p, q in zip(a.shape[2:], b.shape[2:], strict=True)]
            a, b = functional.adaptive_avg_pool2d(a, size), functional.adaptive_avg_pool2d(b, size)
        else:
            a, b = (x.flatten(2).mean(2) if x.ndim > 2 else x for x in (a, b))
    return _rows(a), _rows(b)


def _rows(x: Float32[Tensor, "n d ..."]) -> Float64[Tensor, "m d"]:
    return x.reshape(*x.shape[:2], -1).movedim(1, 2).flatten(0, 1).double()


def _permutation(count: int, seed: int) -> Int64[Tensor, " count"]:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _groups(links: Sequence[Link], memory: int) -> Iterator[list[Link]]:
    """Deal links into groups whose moments fit the budget; a single link may exceed it."""
    group: list[Link] = []
    used = 0
    for link in links:
        size = 2 * 8 * link.layer_a.channels * link.layer_b.channels
        if group and used + size > memory:
            yield group
            group, used = [], 0
        group.append(link)
        used += size
    if group:
        yield group


def _solve(link: Link, fitted: CrossMoment, held: CrossMoment) -> Alignment:
    alignment = identity_alignment(link.layer_a.channels) if link.shared else procrustes(fitted.moment)
    correlation = math.nan
    if held.samples:
        correlation = alignment_correlation(alignment.rotation, held.moment, held.energy_a, held.energy_b)
    return replace(alignment, correlation=correlation, samples=fitted.samples)

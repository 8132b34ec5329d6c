"""How alike is what all layers of two networks receive, over the same images?

A pass of its own, of few images: pairs of networks that were kept from an earlier comparison need no other pass, and
every network is passed once, not once a pair. Of each layer only its distinctions between images are held, of as many
networks as later pairs still need.

Layers differ in resolution; what an image gives a layer is taken as its mean over positions (our choice). With all
positions side by side, layers of networks that were trained alike found their counterparts no better: 36 of 96,
against 39 by means (``benchmarks/study_layer_map.py``).
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.encoding.activations import IMAGES, distinctions
from covalign.errors import InputError
from covalign.networks.network import Layer, Network
from covalign.progress import Told, untold
from covalign.studies.comparison.couples import Couple
from covalign.studies.comparison.layer_map import LayerMap
from covalign.studies.inputs import layer_inputs, resized
from covalign.studies.streaming import MEMORY_BUDGET, Link, fitting_batch
from covalign.studies.structure import hidden_layers

SHOWN = 256
"""Images that a map is made of, at most."""
PAIRS = 12
"""Pairs of networks of which maps are made, at most: the first ones."""

Told_apart = dict[str, Float64[Tensor, " pairs"]]
"""Distinctions of each layer, by its name."""


def layer_maps(
    couples: Sequence[Couple],
    images: Images | None,
    *,
    every: bool = True,
    seed: int = 0,
    memory: int = MEMORY_BUDGET,
    progress: Told = untold,
) -> dict[tuple[str, str], LayerMap]:
    """Map all layers of the first pairs of networks that run, and of these networks with themselves.

    Args:
        couples: pairs of networks.
        images: raw pixels; without them, or with fewer than four, there is no map.
        every: take all layers but the readout; else only those that were compared.
        seed: of the draw of the images.
        memory: bytes that what layers receive may hold at a time.
        progress: told the share of the networks that is done.

    Returns:
        Maps by names of networks; a name twice for a network with itself, after the pairs.
    """
    chosen = [each for each in couples if each.runs][:PAIRS]
    if images is None or len(images) < IMAGES or not chosen:
        return {}
    sample = images.sample(SHOWN, seed=seed)
    layers = _layers(chosen, every)
    pairs: dict[tuple[str, str], LayerMap] = {}
    own: dict[tuple[str, str], LayerMap] = {}
    held: dict[str, Told_apart] = {}
    for place, each in enumerate(chosen):
        for name in each.names:
            if name not in held:
                held[name] = _told_apart(*layers[name], sample, memory)
                own[name, name] = _map((name, name), layers, held, (), len(sample))
                progress("layer maps", len(own) / len(layers))
        matched = tuple((match.layer_a.name, match.layer_b.name) for match in each.matches)
        pairs[each.names] = _map(each.names, layers, held, matched, len(sample))
        needed = {name for later in chosen[place + 1 :] for name in later.names}
        held = {name: kept for name, kept in held.items() if name in needed}
    return pairs | own


Layers = Mapping[str, tuple[Network, Sequence[Layer], Sequence[Layer]]]
"""By name: a network, its layers of which a map is made, and those of them that were compared."""


def _layers(couples: Sequence[Couple], every: bool) -> Layers:
    networks: dict[str, Network] = {}
    compared: dict[str, set[str]] = {}
    for each in couples:
        for subject, layer in each.sides:
            networks[subject.name] = subject.network
            compared.setdefault(subject.name, set()).add(layer.name)
    hidden = {
        name: {layer.name for layer in hidden_layers(network)} if every else set()
        for name, network in networks.items()
    }
    return {
        name: (
            network,
            [layer for layer in network.layers if layer.name in compared[name] | hidden[name]],
            [layer for layer in network.layers if layer.name in compared[name]],
        )
        for name, network in networks.items()
    }


def _told_apart(
    network: Network, layers: Sequence[Layer], compared: Sequence[Layer], images: Images, memory: int
) -> Told_apart:
    """Show the images to a network, and return how each layer tells them apart.

    Where a layer beside the compared ones was never called, which a forward pass that could not be followed hides,
    only the compared ones are taken.
    """
    try:
        return dict(_distinctions(network, layers, images, memory))
    except InputError:
        return dict(_distinctions(network, compared, images, memory))


def _distinctions(
    network: Network, layers: Sequence[Layer], images: Images, memory: int
) -> Iterator[tuple[str, Float64[Tensor, " pairs"]]]:
    wanted = [(network, layer) for layer in layers]
    batch = fitting_batch([Link(*entry, *entry) for entry in wanted], images, memory // 2)
    received: dict[str, list[Tensor]] = {layer.name: [] for layer in layers}
    for pixels in images.pixels.split(batch):
        for (_, name), maps in layer_inputs(wanted, pixels).items():
            received[name].append(resized(maps, ()).double())
    for name, parts in received.items():
        rows = torch.cat(parts)
        usable = len(rows) == len(images) and bool(rows.isfinite().all())
        yield name, distinctions(rows if usable else torch.zeros(len(images), 1, dtype=torch.float64))


def _map(
    names: tuple[str, str],
    layers: Layers,
    held: Mapping[str, Told_apart],
    matched: tuple[tuple[str, str], ...],
    images: int,
) -> LayerMap:
    sides = []
    for name in names:
        depths = {layer.name: depth for depth, layer in enumerate(layers[name][0].layers, 1)}
        rows = torch.stack([*held[name].values()])
        sides.append((tuple(held[name]), tuple(depths[layer] for layer in held[name]), rows))
    (layers_a, depths_a, ones), (layers_b, depths_b, others) = sides
    known = tuple(pair for pair in matched if pair[0] in layers_a and pair[1] in layers_b)
    values = (ones @ others.T).clamp(-1, 1)
    return LayerMap(*names, layers_a, layers_b, depths_a, depths_b, values, known, images)

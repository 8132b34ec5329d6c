"""Which layer of one network corresponds to which of another?

Networks of one architecture correspond layer by layer. Otherwise layers are compared within stages: layers of
equal form and kernel size whose inputs have the same share of the image's resolution. Within a stage, every
layer of the shorter side meets the one at the same relative depth of the longer side, so that order is kept.
The readout, a linear layer at the end, is left out unless it is named: its neurons are the classes.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch

from covalign.errors import InputError
from covalign.networks.network import Layer, Network

Pairing = tuple[Layer, Layer]
Choice = Sequence[str] | Mapping[str, str] | Sequence[tuple[str, str]]
"""Layers by name: of the first network, or pairs of names of the first and the second."""


def match_layers(a: Network, b: Network, layers: Choice | None = None, resolution: int = 32) -> list[Pairing]:
    """Pair the layers of two networks, in the order of ``a``.

    Args:
        a, b: the networks.
        layers: names of layers of ``a`` (all by default); a mapping, or pairs, of names of ``a`` and of ``b``.
        resolution: side of the images on which stages are told apart.

    Raises:
        InputError: a name that is no layer, or networks that share no comparable layer.
    """
    if isinstance(layers, Mapping):
        layers = list(layers.items())
    if chosen := [pair for pair in layers or () if isinstance(pair, tuple)]:
        return [(a.layer(left), b.layer(right)) for left, right in chosen]
    pairs = _same_architecture(a, b) or _by_stage(a, b, resolution)
    if layers is not None:
        wanted = {a.layer(name).name for name in layers if isinstance(name, str)}
        pairs = [pair for pair in pairs if pair[0].name in wanted]
    if not pairs:
        raise InputError(
            f"networks {a.name!r} and {b.name!r} have no layers of equal kind, kernel size and stage; "
            "pair layers by name"
        )
    return pairs


def hidden_layers(network: Network) -> tuple[Layer, ...]:
    """Return the layers without the readout, the linear layer at the end."""
    readout = len(network.layers) > 1 and network.layers[-1].kind == "linear"
    return network.layers[:-1] if readout else network.layers


def signature(layer: Layer) -> tuple[str, int, int, int]:
    """What two layers must share to be compared: form, kernel height and width, groups (1 or more)."""
    return (layer.form, *layer.weight.shape[2:], min(layer.groups, 2))


def _same_architecture(a: Network, b: Network) -> list[Pairing]:
    pairs = list(zip(hidden_layers(a), hidden_layers(b), strict=False))
    same = [layer.name for layer in a.layers] == [layer.name for layer in b.layers]
    return pairs if same and all(signature(left) == signature(right) for left, right in pairs) else []


def _by_stage(a: Network, b: Network, resolution: int) -> list[Pairing]:
    stages_a, stages_b = _stages(a, resolution), _stages(b, resolution)
    pairs: list[Pairing] = []
    for key, left in stages_a.items():
        right = stages_b.get(key, [])
        if len(left) <= len(right):
            pairs += [(layer, right[_relative(i, len(left), len(right))]) for i, layer in enumerate(left)]
        else:
            pairs += [(left[_relative(i, len(right), len(left))], layer) for i, layer in enumerate(right)]
    depth = {layer.name: index for index, layer in enumerate(a.layers)}
    return sorted(pairs, key=lambda pair: depth[pair[0].name])


def _relative(index: int, short: int, long: int) -> int:
    """Index at the same relative depth in a longer list; first meets first, last meets last."""
    return round(index * (long - 1) / (short - 1)) if short > 1 else 0


def _stages(network: Network, resolution: int) -> dict[tuple[object, ...], list[Layer]]:
    """Layers by signature and by the side of their input, measured on one grey image where possible."""
    sides: dict[str, int] = {}
    if network.source is not None and network.layers:
        side = network.resolution or resolution
        first = network.layers[0]
        channels = first.channels if first.form == "joint" else 3  # the others see patches or flat images
        names = [layer.name for layer in network.layers]
        inputs = network.source.inputs(torch.zeros(1, channels, side, side), names)
        sides = {name: value.shape[-1] if value.ndim == 4 else 1 for name, value in inputs.items()}
    stages: dict[tuple[object, ...], list[Layer]] = defaultdict(list)
    for index, layer in enumerate(hidden_layers(network)):
        scale = sides.get(layer.name, layer.channels)
        stages[(*signature(layer), scale, index == 0)].append(layer)
    return stages

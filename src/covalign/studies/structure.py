"""Where in its network does a layer stand?

A network is taken as a row of *blocks*: layers that feed one another and nothing else (the branch of a residual
block, the way from one sum to the next), cut where the size of the maps changes. Where the forward pass was followed,
blocks come from how layers are wired, and stages from the share of the image's resolution that a layer's output has.
Of a bare weight file names stand in: what shares a name up to its last number is a block, and the width of its
output, relative to the first layer's, tells the stage.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from covalign.networks.network import Layer, Network

Signature = tuple[str, int, int, int]
HALVING = 0.25
"""How much of a factor of 2 the borders of unpadded convolutions may take off a map within a stage (our choice)."""


@dataclass(frozen=True, eq=False)
class Block:
    """Layers that feed one another, at one size of maps.

    Attributes:
        layers: in order of execution.
        stage: what blocks must share to be compared; the first layer of a network has its own.
    """

    layers: tuple[Layer, ...]
    stage: float | str

    @property
    def kind(self) -> tuple[tuple[Signature, tuple[int, int]], ...]:
        """Signature and stride of every layer."""
        return tuple((signature(layer), layer.stride) for layer in self.layers)

    @property
    def roles(self) -> tuple[str, ...]:
        """The names of the layers within the block; empty where they say nothing but numbers."""
        roles = tuple(_split(layer.name)[1] for layer in self.layers)
        return () if all(set(role) <= set("#.") for role in roles) else roles


def signature(layer: Layer) -> Signature:
    """What two layers must share to be compared: form, kernel height and width, groups (1 or more)."""
    height, width = layer.weight.shape[2:]
    return (layer.form, height, width, min(layer.groups, 2))


def hidden_layers(network: Network) -> tuple[Layer, ...]:
    """Return the layers without the readout, the linear layer at the end."""
    readout = len(network.layers) > 1 and network.layers[-1].kind == "linear"
    return network.layers[:-1] if readout else network.layers


def is_followed(network: Network) -> bool:
    """Whether the forward pass of a network was followed, so that its blocks need no names."""
    return network.source is not None and bool(network.wiring)


def blocks(network: Network, followed: bool, resolution: int | None = None) -> list[Block]:
    """Return the blocks of a network in order of execution, without the readout.

    Args:
        network: any.
        followed: take the forward pass; else names and widths.
        resolution: side of the images on which sizes of maps are told apart; what the network takes by default.

    Raises:
        InputError: a network that cannot run on such images.
    """
    layers = hidden_layers(network)
    if not layers:
        return []
    stages = _sizes(network, resolution) if followed else _widths(layers)
    runs = _chains(network, layers) if followed else _named(layers)
    return [
        Block(tuple(part), stage) for run in runs for stage, part in _at_one_stage(run, stages, layers[0])
    ]


def _at_one_stage(
    run: list[Layer], stages: dict[str, float], first: Layer
) -> Iterator[tuple[float | str, list[Layer]]]:
    """Cut a run of layers where the stage changes, and after the network's first layer."""
    part: list[Layer] = []
    for layer in run:
        if part and (part[-1] is first or stages[part[-1].name] != stages[layer.name]):
            yield _stage(part, stages, first), part
            part = []
        part.append(layer)
    yield _stage(part, stages, first), part


def _stage(part: list[Layer], stages: dict[str, float], first: Layer) -> float | str:
    return "first" if part[0] is first else stages[part[0].name]


def _chains(network: Network, layers: tuple[Layer, ...]) -> list[list[Layer]]:
    """Return runs of layers each of which reads the one before alone, and alone reads it."""
    readers: dict[str, set[str]] = {}
    for name, read in network.wiring.items():
        for maker in read:
            readers.setdefault(maker, set()).add(name)
    runs: dict[str, list[Layer]] = {}
    for layer in layers:
        read = network.wiring.get(layer.name, ())
        alone = len(read) == 1 and readers[read[0]] == {layer.name} and read[0] in runs
        run = runs[read[0]] if alone else []
        run.append(layer)
        runs[layer.name] = run
    return list({id(run): run for run in runs.values()}.values())


def _sizes(network: Network, resolution: int | None) -> dict[str, float]:
    """Halvings of the image's side that each layer's output has gone through; -1 where it has no positions."""
    if network.source is None:
        return {}
    first = network.layers[0]
    image = network.intake.blank(first.channels if first.form == "joint" else 3, resolution)
    inputs = network.source.inputs(image, [layer.name for layer in network.layers])
    whole = math.prod(image.shape[2:])
    sizes = {}
    for layer in network.layers:
        places = math.prod(inputs[layer.name].shape[2:])
        stride = math.prod(layer.stride)
        out = places * stride if layer.kind == "transposed" else places / stride
        halvings = float(math.floor(math.log2(whole / out) / 2 + HALVING))
        sizes[layer.name] = halvings if places > 1 else -1.0
    return sizes


def _widths(layers: tuple[Layer, ...]) -> dict[str, float]:
    """Width of each block's output relative to the first layer's, in quarters of an octave."""
    relative = {}
    for run in _named(layers):
        is_block = bool(_split(run[0].name)[0])
        for layer in run:
            width = run[-1].neurons if is_block else layer.neurons
            relative[layer.name] = round(4 * math.log2(width / layers[0].neurons)) / 4
    return relative


def _named(layers: tuple[Layer, ...]) -> list[list[Layer]]:
    """Return runs of layers whose names agree up to the last number within."""
    runs: list[list[Layer]] = []
    for layer in layers:
        if runs and _split(runs[-1][-1].name)[0] == _split(layer.name)[0]:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return runs


def _split(name: str) -> tuple[str, str]:
    """Return the name of a layer's block and, with numbers as #, its name within: layer1.0, conv1."""
    parts = name.split(".")
    numbers = [index for index, part in enumerate(parts[:-1]) if part.isdigit()]
    cut = numbers[-1] + 1 if numbers else 0
    return ".".join(parts[:cut]), ".".join("#" if part.isdigit() else part for part in parts[cut:])

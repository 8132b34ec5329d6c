"""Which layers of two files belong together, and what may the order of their neurons mean?

Layers of equal shape correspond: by name where both networks have the same names, or most names in the same order;
in order of depth where both have the same shapes and other names; and otherwise along the longest common sequence of
shapes, so that layers that were added, removed or renamed do not put the others out of step.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from covalign.encoding.lineage.trace import Pair, Role
from covalign.networks.network import Layer

IMAGE_CHANNELS = 4
"""Input channels up to which a convolution is taken to read images."""


@dataclass(frozen=True, eq=False)
class Correspondence:
    """Two layers of equal shape.

    Attributes:
        a, b: the layers.
        depth: place of a, from 1.
        pair: their weights, with what the order of neurons may mean.
    """

    a: Layer
    b: Layer
    depth: int
    pair: Pair


def correspondences(a: Sequence[Layer], b: Sequence[Layer]) -> list[Correspondence]:
    """Pair the layers of two networks, in order of depth."""
    matched = _matched(a, b)
    return [
        Correspondence(
            a[i],
            b[j],
            i + 1,
            Pair(_blocks(a[i].weight, a, i), _blocks(b[j].weight, a, i), _role(a, i)),
        )
        for i, j in matched
    ]


def same_architecture(a: Sequence[Layer], b: Sequence[Layer]) -> bool:
    """Whether two networks have the same shapes in the same order."""
    return [_shape(layer) for layer in a] == [_shape(layer) for layer in b]


def _matched(a: Sequence[Layer], b: Sequence[Layer]) -> list[tuple[int, int]]:
    same_names = {layer.name for layer in a} == {layer.name for layer in b}
    if same_architecture(a, b) and not same_names:
        return [(index, index) for index in range(len(a))]
    places = {layer.name: index for index, layer in enumerate(b)}
    named = [
        (i, places[layer.name])
        for i, layer in enumerate(a)
        if layer.name in places and _shape(layer) == _shape(b[places[layer.name]])
    ]
    in_order = all(one[1] < two[1] for one, two in itertools.pairwise(named))
    if (same_names or in_order) and 2 * len(named) > min(len(a), len(b)):
        return named
    return _common_sequence([_shape(layer) for layer in a], [_shape(layer) for layer in b])


def _shape(layer: Layer) -> tuple[int, ...]:
    return (*layer.weight.shape, layer.groups)


def _common_sequence(a: Sequence[tuple[int, ...]], b: Sequence[tuple[int, ...]]) -> list[tuple[int, int]]:
    """Return the places of a longest common subsequence."""
    lengths = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            equal = a[i] == b[j]
            lengths[i][j] = 1 + lengths[i + 1][j + 1] if equal else max(lengths[i + 1][j], lengths[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1][j] >= lengths[i][j + 1]:
            i += 1
        else:
            j += 1
    return found


def _role(layers: Sequence[Layer], index: int) -> Role:
    """Judge from shapes alone, so that it holds for bare files: whose neurons are read by a later layer?"""
    layer = layers[index]
    if layer.groups > 1:
        return Role.GROUPED
    read = any(later.channels % layer.neurons == 0 for later in layers[index + 1 :])
    if index == 0 and layer.kind == "linear" and not read:
        return Role.MEANINGS
    if index == 0 or (layer.kind != "linear" and layer.channels <= IMAGE_CHANNELS):
        return Role.FIRST
    return Role.HIDDEN if read else Role.LAST


def _blocks(weight: Tensor, layers: Sequence[Layer], index: int) -> Tensor:
    """Return the weight as neurons x channels x places; maps that were flattened for a linear layer are blocks.

    The neurons of one group, which read the same channels, are one block of a grouped layer.
    """
    layer, before = layers[index], layers[index - 1].neurons if index else 0
    weight = weight.detach()
    if layer.groups > 1:
        return weight.reshape(layer.groups, 1, -1)
    if layer.kind == "linear" and before and layer.channels % before == 0:
        return weight.reshape(len(weight), before, -1)
    return torch.flatten(weight, 2)

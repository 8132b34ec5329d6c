"""Which layer of one network corresponds to which of another, and how sure is that?

Networks of one architecture, with the same names, correspond layer by layer. Otherwise blocks are matched
(`covalign.studies.structure`): blocks of one stage whose layers have the same kernels, strides and names; then, of
what is left, those that agree but for the names. Within blocks layers correspond one by one. Layers of blocks that
have no counterpart are matched within their stage: equal kernel and stride first, equal kernel alone last.

Where one network has more of a kind than the other, every one of the fewer meets the one at the same relative depth
among the more, first with first and last with last. With m of one and n of the other each could have met |m - n| + 1
without breaking the order; what a pair's `Match.candidates` says. The readout, a linear layer at the end, is left out
unless it is named: its neurons are the classes.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, TypeVar

from covalign.errors import InputError
from covalign.networks.network import Layer, Network
from covalign.studies.structure import Block, blocks, hidden_layers, is_followed, signature

Choice = Sequence[str] | Mapping[str, str] | Sequence[tuple[str, str]]
"""Layers by name: of the first network, or pairs of names of the first and the second."""


class How(StrEnum):
    """What two layers were matched by."""

    CHOSEN = "chosen"
    NAMES = "same names"
    ROLES = "block, names and stage"
    BLOCKS = "block and stage"
    STRIDES = "kernel, stride and stage"
    KERNELS = "kernel and stage"


class Match(NamedTuple):
    """Two layers that correspond.

    Attributes:
        layer_a, layer_b: of the first and of the second network.
        how: what they were matched by.
        candidates: how many layers of the deeper network the same evidence leaves open, in order; 1 is sure.
    """

    layer_a: Layer
    layer_b: Layer
    how: How
    candidates: int = 1


Placed = tuple[Layer, float | str]
"""A layer and its stage."""

Part = TypeVar("Part")


def match_layers(
    a: Network, b: Network, layers: Choice | None = None, resolution: int | None = None
) -> list[Match]:
    """Pair the layers of two networks, in the order of ``a``.

    Args:
        a, b: the networks.
        layers: names of layers of ``a`` (all by default); a mapping, or pairs, of names of ``a`` and of ``b``.
        resolution: side of the images on which stages are told apart; what each network takes by default.

    Raises:
        InputError: a name that is no layer, networks that share no comparable layer, or one that cannot run.
    """
    if isinstance(layers, Mapping):
        layers = list(layers.items())
    if chosen := [pair for pair in layers or () if isinstance(pair, tuple)]:
        return [Match(a.layer(left), b.layer(right), How.CHOSEN) for left, right in chosen]
    found = _same_architecture(a, b) or _by_structure(a, b, resolution)
    if layers is not None:
        wanted = {a.layer(name).name for name in layers if isinstance(name, str)}
        found = [match for match in found if match.layer_a.name in wanted]
    if not found:
        raise InputError(
            f"networks {a.name!r} and {b.name!r} have no layers of equal kind, kernel size and stage; "
            "pair layers by name"
        )
    return found


def _same_architecture(a: Network, b: Network) -> list[Match]:
    pairs = list(zip(hidden_layers(a), hidden_layers(b), strict=False))
    same = [layer.name for layer in a.layers] == [layer.name for layer in b.layers]
    alike = same and all(signature(left) == signature(right) for left, right in pairs)
    return [Match(left, right, How.NAMES) for left, right in pairs] if alike else []


def _by_structure(a: Network, b: Network, resolution: int | None) -> list[Match]:
    followed = is_followed(a) and is_followed(b)
    left, right = (blocks(network, followed, resolution) for network in (a, b))
    found: list[Match] = []
    by_block: tuple[tuple[How, Callable[[Block], Hashable]], ...] = (
        (How.ROLES, lambda block: (block.stage, block.kind, block.roles) if block.roles else None),
        (How.BLOCKS, lambda block: (block.stage, block.kind)),
    )
    for how, key in by_block:
        pairs, left, right = _in_order(left, right, key)
        found += [
            Match(*layers, how, candidates)
            for one, other, candidates in pairs
            for layers in zip(one.layers, other.layers, strict=True)
        ]
    placed = [[(layer, block.stage) for block in side for layer in block.layers] for side in (left, right)]
    ones, others = placed
    by_layer: tuple[tuple[How, Callable[[Placed], Hashable]], ...] = (
        (How.STRIDES, lambda entry: (entry[1], signature(entry[0]), entry[0].stride)),
        (How.KERNELS, lambda entry: (entry[1], signature(entry[0]))),
    )
    for how, key_of in by_layer:
        met, ones, others = _in_order(ones, others, key_of)
        found += [Match(one[0], other[0], how, candidates) for one, other, candidates in met]
    depth = {layer.name: index for index, layer in enumerate(a.layers)}
    return sorted(found, key=lambda match: depth[match.layer_a.name])


def _in_order(
    left: Sequence[Part], right: Sequence[Part], key: Callable[[Part], Hashable]
) -> tuple[list[tuple[Part, Part, int]], list[Part], list[Part]]:
    """Pair parts of equal key at equal relative depth; return pairs, and on both sides what has no counterpart.

    What is surplus, since one network has more of a kind, is no part of what is left: it has a counterpart.
    """
    groups: tuple[dict[Hashable, list[Part]], dict[Hashable, list[Part]]] = ({}, {})
    for group, parts in zip(groups, (left, right), strict=True):
        for part in parts:
            group.setdefault(key(part), []).append(part)
    common = [each for each in groups[0] if each is not None and each in groups[1]]
    pairs = []
    for each in common:
        ones, others = groups[0][each], groups[1][each]
        short, long = sorted((len(ones), len(others)))
        for index in range(short):
            deep = _relative(index, short, long)
            place = (index, deep) if len(ones) <= len(others) else (deep, index)
            pairs.append((ones[place[0]], others[place[1]], long - short + 1))
    rest_a, rest_b = ([part for part in parts if key(part) not in common] for parts in (left, right))
    return pairs, rest_a, rest_b


def _relative(index: int, short: int, long: int) -> int:
    """Index at the same relative depth in a longer list; first meets first, last meets last."""
    return round(index * (long - 1) / (short - 1)) if short > 1 else 0

"""What do layers of several networks receive for the same images, and at which positions do two of them meet?"""

from collections.abc import Sequence

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.nn import functional

from covalign.errors import InputError
from covalign.networks.intake import fitted
from covalign.networks.network import Layer, Network


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
        images = network.normalization(fitted(pixels, network.intake, network.name))
        inputs = network.source.inputs(images.contiguous(memory_format=torch.channels_last), names)
        result |= {(id(network), name): value for name, value in inputs.items()}
    return result


def matched_size(a: Float32[Tensor, "n d_a ..."], b: Float32[Tensor, "n d_b ..."]) -> tuple[int, ...]:
    """Return the positions at which two layers meet: a finer map is averaged to the coarser one's size."""
    if a.shape[2:] == b.shape[2:]:
        return tuple(a.shape[2:])
    if a.ndim == b.ndim == 4:
        return min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
    return ()


def resized(maps: Float32[Tensor, "n d ..."], size: tuple[int, ...]) -> Float32[Tensor, "n d ..."]:
    """Average maps to fewer positions; to none for an empty size."""
    if tuple(maps.shape[2:]) == size:
        return maps
    return functional.adaptive_avg_pool2d(maps, (size[0], size[1])) if size else maps.flatten(2).mean(2)


def met(inputs: Sequence[Float32[Tensor, "n _ ..."]]) -> list[Float32[Tensor, "n _ ..."]]:
    """Average maps to the positions at which all meet, those of the coarsest."""
    size: tuple[int, ...] = tuple(inputs[0].shape[2:])
    coarsest = inputs[0]
    for other in inputs[1:]:
        size = matched_size(coarsest, other)
        coarsest = resized(coarsest, size)
    return [resized(each, size) for each in inputs]

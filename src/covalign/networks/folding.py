"""What are a network's weights once batch norm is counted as part of them?

In evaluation mode a batch norm is x -> a x + b per channel. Directly after a layer with weight W it makes
the weight diag(a) W; directly before one, W diag(a), acting on inputs that are not normalized. Shifts go to
biases, which are not read. Folding is an option and never the default: the encodings of Guth & Menard
(2024) use weights that act on standardized inputs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from covalign.networks.network import ActivationSource, BatchNorm, Layer, Network


@dataclass(frozen=True, eq=False)
class UnnormalizedSource:
    """Hands out layer inputs as they are before the batch norms that were folded into the layers."""

    source: ActivationSource
    norms: dict[str, BatchNorm]

    def inputs(
        self, batch: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> dict[str, Float[Tensor, "n channels ..."]]:
        """Return (x - b) / a for layers whose batch norm was folded (0 where a channel has a = 0)."""
        received = self.source.inputs(batch, names)
        return {
            name: _inverse(self.norms[name], x) if name in self.norms else x for name, x in received.items()
        }


def fold_batch_norm(network: Network) -> Network:
    """Return the network with every batch norm that touches a layer directly folded into its weight.

    Initial weights and variances are dropped from the folded layers, since they belong to the unfolded ones.
    """
    norms = {layer.name: layer.norm_before for layer in network.layers if layer.norm_before is not None}
    return replace(
        network,
        layers=tuple(map(fold_layer, network.layers)),
        source=UnnormalizedSource(network.source, norms) if network.source and norms else network.source,
        details={**network.details, "batch_norm": "folded"},
    )


def fold_layer(layer: Layer) -> Layer:
    """Return diag(a_after) W diag(a_before) for one layer; a layer without batch norm is returned as it is."""
    if layer.norm_before is None and layer.norm_after is None:
        return layer
    weight = layer.weight.detach().double()
    if layer.norm_before is not None:
        # One row of scales per group, repeated for the neurons of that group.
        scale = layer.norm_before.scale.view(layer.groups, -1)
        weight = weight * scale.repeat_interleave(layer.neurons // layer.groups, 0)[:, :, None, None]
    if layer.norm_after is not None:
        weight = weight * layer.norm_after.scale[:, None, None, None]
    return replace(layer, weight=weight, initial=None, init_variance=None, norm_before=None, norm_after=None)


def _inverse(norm: BatchNorm, x: Float[Tensor, "n channels ..."]) -> Float[Tensor, "n channels ..."]:
    axes = (-1, *[1] * (x.ndim - 2))
    scale, shift = (part.to(x).view(axes) for part in (norm.scale, norm.shift))
    return torch.where(scale == 0, 0.0, (x - shift) / scale)

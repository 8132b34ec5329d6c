r"""What do the layers of a transformer read of its residual stream, once norms are counted as part of them?

Every layer that reads the stream x ``[d]`` of a token does so through a norm,

    y = sqrt(d) P x / |P x|,    W (g * y + b) = (W diag(g)) y + W b,    P = 1 - 1 1^T / d (LayerNorm) or 1 (RMSNorm).

So W diag(g) is what multiplies, y what is received, and b goes to the bias, which is not read. Gains are no part of
the coordinates: they differ from reader to reader, and only when they are folded may the stream be rotated,

    x -> Q x,   every writer W -> Q W,   every reader W diag(g) -> W diag(g) Q^T,

which changes nothing that a network computes for any orthogonal Q with RMSNorm, and with LayerNorm for those that
keep the ones vector up to its sign (Q P = P Q is needed). This is the rotation that an alignment looks for.

LayerNorm subtracts the mean: along 1 nothing is received, and what rows of W diag(g) have there is never read. Both
are therefore written in an orthonormal basis B ``[d - 1, d]`` of the other directions: weights W diag(g) B^T, inputs
B y, dimension d - 1. An unread direction that were left in would add to weights what no input ever meets, and chance
would be taken over rotations that the network does not allow. B is the reflection that carries 1 / sqrt(d) into the
last coordinate, which is then dropped; networks of one width get the same B.

After a norm *behind* the sum (as in the first transformers) the stream itself has gains in it, and no rotation is
free; what is folded is still what the weights multiply.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from covalign.networks.network import ActivationSource, Layer, Movable, Network, TokenNorm


@dataclass(frozen=True, eq=False)
class StreamSource:
    """Hands out what layers receive before the gain and shift of their norm, less the direction that is not read."""

    source: ActivationSource
    norms: dict[str, TokenNorm]

    def on(self, device: str) -> "StreamSource":
        """Return the source as it runs on a device."""
        return replace(self, source=self.source.on(device)) if isinstance(self.source, Movable) else self

    def inputs(
        self, batch: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> dict[str, Float[Tensor, "n channels ..."]]:
        """Return y or B y for layers whose norm was folded (0 where a feature has no gain)."""
        received = self.source.inputs(batch, names)
        return {
            name: _normalized(self.norms[name], x) if name in self.norms else x
            for name, x in received.items()
        }


def fold_token_norms(network: Network) -> Network:
    """Return the network with every LayerNorm and RMSNorm folded into the layers that read it directly.

    Layers behind LayerNorm have one input less. Initial weights and variances are dropped from what is folded, since
    they belong to the unfolded weights. A network without such norms is returned as it is.
    """
    norms = {layer.name: layer.token_norm for layer in network.layers if layer.token_norm is not None}
    if not norms:
        return network
    return replace(
        network,
        layers=tuple(map(fold_token_norm, network.layers)),
        source=StreamSource(network.source, norms) if network.source else None,
        details={**network.details, "token_norms": "folded"},
    )


def fold_token_norm(layer: Layer) -> Layer:
    """Return a layer with weights W diag(g), or W diag(g) B^T; a layer without norm is returned as it is."""
    norm = layer.token_norm
    if norm is None:
        return layer
    weight = layer.matrix * norm.gain
    weight = without_mean(weight, 1) if norm.centred else weight
    return replace(layer, weight=weight[:, :, None, None], initial=None, init_variance=None, token_norm=None)


def without_mean(x: Shaped[Tensor, "..."], axis: int) -> Shaped[Tensor, "..."]:
    """Return B x along an axis: d features become their d - 1 coordinates orthogonal to the ones vector.

    With u = 1 / sqrt(d) and e the last axis, the reflection 1 - v v^T / (1 - u_d), v = u - e, carries u into e.
    """
    count = x.shape[axis]
    if count < 2:
        return x.narrow(axis, 0, 0)
    side = 1 / math.sqrt(count)
    along = x.sum(axis, keepdim=True) * side - x.narrow(axis, count - 1, 1)
    return x.narrow(axis, 0, count - 1) - along * (side / (1 - side))


def _normalized(norm: TokenNorm, x: Float[Tensor, "n channels ..."]) -> Float[Tensor, "n read ..."]:
    axes = (-1, *[1] * (x.ndim - 2))
    gain, shift = (part.to(x).view(axes) for part in (norm.gain, norm.shift))
    y = torch.where(gain == 0, 0.0, (x - shift) / gain)
    return without_mean(y, 1) if norm.centred else y

"""Which layers share their coordinates without any fit?

First layers read the images themselves. Joint ones share their coordinates where both networks normalize pixels
alike. Factorized ones read the responses to frozen filters: equal banks give the identity, the same filters in
another order or sign a permutation of slots, and different banks nothing, so that images have to align them.
"""

import torch
from jaxtyping import Float64, UInt8
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from covalign.encoding.reasons import Reason, Remark, Remarks
from covalign.networks.filters import FilterBank
from covalign.networks.network import Layer, Network


def known_rotation(
    a: Network, layer_a: Layer, b: Network, layer_b: Layer
) -> tuple[Float64[Tensor, "d_b d_a"] | None, Remarks]:
    """Return the rotation of a's inputs into b's where it is known, and what is to be said of it."""
    first = layer_a.name == a.layers[0].name and layer_b.name == b.layers[0].name
    if not first:
        return None, ()
    if a.normalization != b.normalization:
        return None, (Remark(Reason.OTHER_NORMALIZATION),)
    if a.intake.channels != b.intake.channels and None not in (a.intake.channels, b.intake.channels):
        return None, ()
    if layer_a.factorized or layer_b.factorized:
        return _through_filters(a.filters, b.filters, layer_a.channels)
    if layer_a.channels != layer_b.channels:
        return None, ()
    return torch.eye(layer_a.channels, dtype=torch.float64), ()


def head_remarks(a: Network, layer_a: Layer, b: Network, layer_b: Layer) -> Remarks:
    """Return what is to be said of layers of attention with other numbers of heads, which no weight shows."""
    if not layer_a.heads or not layer_b.heads or layer_a.heads == layer_b.heads:
        return ()
    return (Remark(Reason.OTHER_HEADS, (layer_a.heads, a.name, layer_b.heads, b.name)),)


def image_remarks(network: Network, pixels: UInt8[Tensor, "n c h w"]) -> Remarks:
    """Return what is to be said of how images are brought to the form that a network takes."""
    channels, *given = pixels.shape[1:]
    taken = network.intake.size(*given)
    size = () if taken == tuple(given) else (Remark(Reason.OTHER_SIZE, (network.name, *taken, *given)),)
    grey = network.intake.channels == 1 < channels
    return (*size, Remark(Reason.LUMINANCE, (network.name,))) if grey else size


def _through_filters(
    one: FilterBank | None, other: FilterBank | None, channels: int
) -> tuple[Float64[Tensor, "d_b d_a"] | None, Remarks]:
    """Return the permutation of all slots where both read through the same filters."""
    slots = None if one is None or other is None else slot_permutation(one, other)
    if slots is None:
        return None, (Remark(Reason.OTHER_FILTERS),)
    rotation = torch.kron(torch.eye(channels // len(slots), dtype=torch.float64), slots)
    return rotation, () if bool(slots.diagonal().all()) else (Remark(Reason.MATCHED_FILTERS),)


def slot_permutation(one: FilterBank, other: FilterBank) -> Float64[Tensor, "slots slots"] | None:
    """Return the permutation that carries the slots of one bank (`FilterBank.signed`) into those of another.

    None where the banks are not the same filters, up to their order and signs; a filter of another length is another
    one, since nothing may normalize what it gives. Among equal filters those in equal places are matched.
    """
    if one.filters.shape != other.filters.shape:
        return None
    left, right = (bank.signed.double().flatten(1) for bank in (one, other))
    apart = torch.cdist(right, left) / left.norm(dim=1).mean()
    equal = (apart < 1e-4).double() + 0.5 * torch.diag((apart.diagonal() < 1e-4).double())
    rows, columns = linear_sum_assignment(equal.numpy(), maximize=True)
    found = torch.zeros_like(equal)
    found[torch.as_tensor(rows), torch.as_tensor(columns)] = 1
    return found if bool((found * equal).sum(1).min() >= 1) else None

"""Which layers share their coordinates without any fit?

First layers read the images themselves. Joint ones share their coordinates where both networks normalize pixels
alike. Factorized ones read the responses to frozen filters: equal banks give the identity, the same filters in
another order or sign a permutation of slots, and different banks nothing, so that images have to align them.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.reasons import Reason, Remark, Remarks
from covalign.networks.filters import FilterBank
from covalign.networks.network import Layer, Network


def known_rotation(
    a: Network, layer_a: Layer, b: Network, layer_b: Layer
) -> tuple[Float64[Tensor, "d_b d_a"] | None, Remarks]:
    """Return the rotation of a's inputs into b's where it is known, and what is to be said of it."""
    first = layer_a.name == a.layers[0].name and layer_b.name == b.layers[0].name
    if not first or layer_a.channels != layer_b.channels or a.normalization != b.normalization:
        return None, ()
    if not (layer_a.factorized and layer_b.factorized) or a.filters is None or b.filters is None:
        return torch.eye(layer_a.channels, dtype=torch.float64), ()
    slots = slot_permutation(a.filters, b.filters)
    if slots is None:
        return None, (Remark(Reason.OTHER_FILTERS),)
    images = layer_a.channels // len(slots)
    rotation = torch.kron(torch.eye(images, dtype=torch.float64), slots)
    same = bool(slots.diagonal().all())
    return rotation, () if same else (Remark(Reason.MATCHED_FILTERS),)


def slot_permutation(one: FilterBank, other: FilterBank) -> Float64[Tensor, "slots slots"] | None:
    """Return the permutation that carries the slots of one bank (`FilterBank.signed`) into those of another.

    None where the banks are not the same filters, up to their order and signs.
    """
    if one.filters.shape != other.filters.shape:
        return None
    left, right = (bank.signed.double().flatten(1) for bank in (one, other))
    unit = (slots / slots.norm(dim=1, keepdim=True) for slots in (left, right))
    first, second = unit
    same = (second @ first.T > 1 - 1e-6).double()
    return same if bool((same.sum(0) == 1).all() and (same.sum(1) == 1).all()) else None

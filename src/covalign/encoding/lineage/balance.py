"""What of a layer's weights does not depend on the scale of its neurons and of its inputs?

Positive factors can be moved from a neuron to whoever reads it, and batch norm can be folded into either side,
without any change of what a network computes. The balanced form

    D_r W D_c,   every neuron and every input channel of equal energy,

D_r, D_c diagonal and positive, is the same for all of them (Sinkhorn & Knopp 1967, of the energies sum_s
W_ijs^2). It is computed from one layer alone and changes with the order of neurons and channels as the weights
do, so that whatever is exchangeable in the weights is exchangeable in it.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

ROUNDS = 100
"""Of scaling; patterns of zeros may need more, and are then balanced approximately (our choice)."""
TOLERANCE = 1e-9


def balanced(weight: Float[Tensor, "n c ..."]) -> Float64[Tensor, "n c s"]:
    """Return D_r W D_c with neurons of length 1 and channels of equal energy.

    Args:
        weight: of one layer; neurons and channels that are zero stay zero.
    """
    blocks = weight.detach().double().flatten(2) if weight.ndim > 2 else weight.detach().double()[:, :, None]
    energy = blocks.square().sum(2)
    rows, columns = energy.sum(1) > 0, energy.sum(0) > 0
    if not rows.any():
        return blocks
    share = int(rows.sum()) / int(columns.sum())
    right = torch.where(columns, 1.0, 0.0).to(energy)
    left = _inverse(energy @ right)
    for _ in range(ROUNDS):
        right = share * _inverse(left @ energy)
        before, left = left, _inverse(energy @ right)
        if bool(((left - before).abs() <= TOLERANCE * left).all()):
            break
    return blocks * left.sqrt()[:, None, None] * right.sqrt()[None, :, None]


def _inverse(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1 / values, torch.zeros_like(values))

"""How are maps rectified with both signs, and gradients led back through it, in the fewest passes?

``z = (ReLU(y), ReLU(-y))``, one after the other, and ``dy = [y > 0] dz_+ - [y < 0] dz_-``.

Numbers in bfloat16 are ordered as the whole numbers of their bits are, where positive, and negative where negative.
Processors compare and choose among whole numbers of 16 bits several times as fast as PyTorch does among bfloat16,
which it widens one by one: what only chooses is computed on bits, with the same result.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def rectified(y: Float[Tensor, "block fc n"], out: Tensor) -> Float[Tensor, "block slots n"]:
    """Return ReLU(y), and behind it ReLU(-y), in the first places of ``out``."""
    maps = out[: len(y)]
    positive, negative = _choosable(maps).chunk(2, 1)
    torch.clamp(_choosable(y), min=0, out=positive)
    if y.dtype == torch.bfloat16:
        torch.abs(y, out=negative.view(y.dtype))
        torch.sub(negative, positive, out=negative)
    else:
        torch.sub(positive, y, out=negative)
    return maps


def led_back(
    gradient: Float[Tensor, "block slots n"], maps: Float[Tensor, "block slots n"], out: Tensor
) -> Float[Tensor, "block fc n"]:
    """Return dy of dz_+ and, behind it, -dz_-; ``gradient`` is overwritten, and ``out`` may be the maps' own room."""
    chosen = _choosable(gradient)
    torch.ops.aten.threshold_backward.grad_input(chosen, _choosable(maps), 0, grad_input=chosen)
    positive, negative = chosen.chunk(2, 1)
    d_y = out.view(-1)[: positive.numel()].view(positive.shape)
    # At most one of the two is not zero, and a zero has no bits.
    join = torch.bitwise_or if gradient.dtype == torch.bfloat16 else torch.add
    join(positive, negative, out=_choosable(d_y))
    return d_y


def _choosable(v: Tensor) -> Tensor:
    """Return numbers in bfloat16 as whole numbers of the same bits."""
    return v.view(torch.int16) if v.dtype == torch.bfloat16 else v

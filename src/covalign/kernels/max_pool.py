"""How are maps pooled whose images come last in memory, by all threads?

PyTorch pools fast where channels come last: images and channels of a pixel are taken for the channels of one image.
Each thread pools rows of its own. Of the maps nothing is kept but where each largest value stood, the first of
several.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.autograd.function import once_differentiable

from covalign.kernels.pixel_blocks import shared
from covalign.kernels.threads import each

_TWO_BY_TWO = [2, 2], [2, 2], [0, 0], [1, 1], False
"""Kernel, stride, padding, dilation, and that a last odd row is left out, as PyTorch takes them."""

_pool = torch.ops.aten.max_pool2d_with_indices.out
_pool_back = torch.ops.aten.max_pool2d_with_indices_backward.grad_input


def max_pool(x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h_out w_out"]:
    """Return the largest of every two by two pixels; a last odd row or column is left out. Differentiable once.

    Args:
        x: maps, images last in memory.
    """
    out: Tensor = _MaxPool.apply(x)  # type: ignore[no-untyped-call]
    return out


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        n, c, h, w = ctx.shape = x.shape
        maps = x.permute(2, 3, 1, 0).reshape(h, w, c * n)
        out = maps.new_empty(h // 2, w // 2, c * n)
        places = out.new_empty(out.shape, dtype=torch.int64)

        def work(stretches: Sequence[slice]) -> None:
            for rows in stretches:
                pooled, found = _one_image(out[rows]), _one_image(places[rows])
                _pool(_one_image(maps[_above(rows)]), *_TWO_BY_TWO, out=pooled, indices=found)

        each(work, _rows(len(out)))
        ctx.save_for_backward(places)
        return out.view(h // 2, w // 2, c, n).permute(3, 2, 0, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (places,) = ctx.saved_tensors
        n, c, h, w = ctx.shape
        gradient = gradient.permute(2, 3, 1, 0).reshape(h // 2, w // 2, c * n)
        into = gradient.new_zeros(h, w, c * n)

        def work(stretches: Sequence[slice]) -> None:
            for rows in stretches:
                above, found = _one_image(into[_above(rows)]), _one_image(places[rows])
                _pool_back(_one_image(gradient[rows]), above, *_TWO_BY_TWO, found, grad_input=above)

        each(work, _rows(h // 2))
        return into.view(h, w, c, n).permute(3, 2, 0, 1)


def _rows(count: int) -> list[Sequence[slice]]:
    """Return rows of what is pooled for each thread, all at once."""
    return shared(count, count)


def _above(rows: slice) -> slice:
    """Return the rows that are pooled to these."""
    return slice(2 * rows.start, 2 * rows.stop)


def _one_image(maps: Shaped[Tensor, "rows w cn"]) -> Shaped[Tensor, "1 cn rows w"]:
    """View maps as those of one image, channels last."""
    return maps[None].permute(0, 3, 1, 2)

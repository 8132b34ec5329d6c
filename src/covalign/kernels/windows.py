"""What are the moments of all windows of images, without copying a window?

A window p is flattened (c, h, w). Unfolding would write k^2 copies of every image before it multiplies. Here products
of image rows are summed over images first and over the positions of windows afterwards: the block of sum p p^T that
pairs window rows t and t + o is the sum, over top rows y, of products of image rows y + t and y + t + o, and all t
with the same offset o share these. Images are cut into vertical strips, so that few products are taken of columns too
far apart to meet in a window.

Pixels as whole numbers of at most 128 in size are multiplied in float32 exactly: sums of `EXACT_IMAGES` products stay
within 2^24.
"""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

STRIP_WINDOWS = 10
"""Windows side by side in a strip; measured, for kernels of 3 to 7 pixels."""

EXACT_IMAGES = 2**24 // 128**2
"""Products of whole numbers of at most 128 in size whose sum float32 holds without rounding."""


def window_moment(images: Float[Tensor, "n c h w"], k: int, stride: int) -> Float64[Tensor, "d d"]:
    """Sum of p p^T over all windows of all images, products in the images' own precision."""
    columns = (images.shape[3] - k) // stride + 1
    strips = [
        images[..., stride * first : stride * (min(first + STRIP_WINDOWS, columns) - 1) + k]
        for first in range(0, columns, STRIP_WINDOWS)
    ]
    return torch.stack([_strip_moment(strip, k, stride) for strip in strips]).sum(0)


def _strip_moment(strip: Float[Tensor, "n c h w"], k: int, stride: int) -> Float64[Tensor, "d d"]:
    n, c, h, w = strip.shape
    rows = strip.permute(2, 0, 1, 3).reshape(h, n, c * w)
    last = (h - k) // stride * stride
    moment = torch.zeros(c, k, k, c, k, k, dtype=torch.float64, device=strip.device)
    for offset in range(k):
        products = torch.bmm(rows[: h - offset].mT, rows[offset:]).double()
        for top in range(k - offset):
            paired = products[top : top + last + 1 : stride].sum(0).view(c, w, c, w)
            windows = paired.unfold(1, k, stride).unfold(3, k, stride)
            block = windows.diagonal(dim1=1, dim2=3).sum(-1).transpose(1, 2)
            moment[:, top, :, :, top + offset, :] = block
            moment[:, top + offset, :, :, top, :] = block.permute(2, 3, 0, 1)
    return moment.reshape(c * k * k, c * k * k)


def window_means(images: Float[Tensor, "n c h w"], k: int, stride: int) -> Float64[Tensor, "n d"]:
    """Mean window of every image: B_h X B_w^T with the banded means B over rows and over columns."""
    down, across = (_banded(side, k, stride).to(images.device) for side in images.shape[2:])
    return (down @ images.double() @ across.T).flatten(1)


def _banded(side: int, k: int, stride: int) -> Float64[Tensor, "k side"]:
    """Row t holds the weight of every pixel in the mean over windows of their t-th pixel."""
    positions = (side - k) // stride + 1
    band = torch.zeros(k, side, dtype=torch.float64)
    for tap in range(k):
        band[tap, tap : tap + stride * positions : stride][:positions] = 1 / positions
    return band

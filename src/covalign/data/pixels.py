"""How are pixels brought to one size and one number of channels?

Size: by box averaging. Pixel (i, j) of the result is the mean of the image, taken as constant on each of its
pixels, over the cell of the output grid that (i, j) covers. With n input and m output pixels along an axis,
input pixel q covers [qm, (q+1)m) and output pixel p covers [pn, (p+1)n) of a common axis of length nm, so
the weights are integers and sum to n:

    a_pq = length of [pn, (p+1)n) ∩ [qm, (q+1)m),      y = (A_h x A_wᵀ) / (n_h n_w).

Halving a side is therefore the mean of 2x2 pixels, as in the 32x32 ImageNet of Chrabaszcz, Loshchilov, Hutter
(2017). Sums are exact integers; the mean is rounded once, halves upward (an image library's box filter rounds
after each axis and can differ by one).
"""

import torch
from jaxtyping import Float64, UInt8
from torch import Tensor

GREY_WEIGHTS = (19595, 38470, 7471)  # ITU-R 601 luma in units of 2^-16, as Pillow converts
CHUNK = 1 << 20  # numbers converted to float64 at once


def box_average(pixels: UInt8[Tensor, "*batch h w"], resolution: int) -> UInt8[Tensor, "*batch m m"]:
    """Average images over the cells of a ``resolution`` x ``resolution`` grid.

    Args:
        pixels: shape ``[..., h, w]``, uint8.
        resolution: side of the result in pixels; larger than the image repeats pixels.

    Returns:
        uint8 images ``[..., resolution, resolution]``: exact means, rounded once, halves up.
    """
    *batch, height, width = pixels.shape
    if height == width == resolution:
        return pixels
    rows, columns = _overlaps(height, resolution), _overlaps(width, resolution)
    area = height * width
    flat = pixels.reshape(-1, height, width)
    result = torch.empty((len(flat), resolution, resolution), dtype=torch.uint8)
    step = max(1, CHUNK // area)
    for start in range(0, len(flat), step):
        sums = rows @ flat[start : start + step].double() @ columns.T
        result[start : start + step] = torch.floor((2 * sums + area) / (2 * area)).to(torch.uint8)
    return result.reshape(*batch, resolution, resolution)


def _overlaps(size: int, resolution: int) -> Float64[Tensor, "m n"]:
    output = torch.arange(resolution, dtype=torch.float64)[:, None] * size
    input_ = torch.arange(size, dtype=torch.float64) * resolution
    return (torch.minimum(output + size, input_ + resolution) - torch.maximum(output, input_)).clamp_min_(0)


def square(pixels: UInt8[Tensor, "*batch h w"]) -> UInt8[Tensor, "*batch s s"]:
    """Cut the largest central square out of images ``[..., h, w]``."""
    height, width = pixels.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[..., top : top + side, left : left + side]


def with_channels(pixels: UInt8[Tensor, "*batch c h w"], channels: int) -> UInt8[Tensor, "*batch k h w"]:
    """Convert grey, RGB or RGBA images to one or three channels.

    Transparent pixels are laid over white (our choice); grey is repeated; RGB becomes grey by ITU-R 601 luma.

    Args:
        pixels: shape ``[..., c, h, w]`` with c = 1, 3 or 4.
        channels: 1 or 3.
    """
    if pixels.shape[-3] == 4:
        alpha = pixels[..., 3:, :, :].int()
        blend = pixels[..., :3, :, :].int() * alpha + 255 * (255 - alpha)
        pixels = ((blend + 127) // 255).to(torch.uint8)
    if pixels.shape[-3] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(*pixels.shape[:-3], 3, *pixels.shape[-2:]).contiguous()
    weights = torch.tensor(GREY_WEIGHTS, dtype=torch.int32)[:, None, None]
    luma = (pixels.int() * weights).sum(dim=-3, keepdim=True, dtype=torch.int32)
    return ((luma + (1 << 15)) >> 16).to(torch.uint8)

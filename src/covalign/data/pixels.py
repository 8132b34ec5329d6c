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

from covalign.errors import InputError

GREY_WEIGHTS = (19595, 38470, 7471)  # ITU-R 601 luma in units of 2^-16, as Pillow converts
CHUNK = 1 << 20  # numbers converted to float64 at once


def box_average(
    pixels: UInt8[Tensor, "*batch h w"], resolution: int | tuple[int, int]
) -> UInt8[Tensor, "*batch p q"]:
    """Average images over the cells of a grid.

    Args:
        pixels: shape ``[..., h, w]``, uint8.
        resolution: side of the result in pixels, or its height and width; larger than the image repeats pixels.

    Returns:
        uint8 images ``[..., p, q]``: exact means, rounded once, halves up.
    """
    *batch, height, width = pixels.shape
    size = (resolution, resolution) if isinstance(resolution, int) else resolution
    if (height, width) == size:
        return pixels
    rows, columns = _overlaps(height, size[0]), _overlaps(width, size[1])
    area = height * width
    flat = pixels.reshape(-1, height, width)
    result = torch.empty((len(flat), *size), dtype=torch.uint8)
    step = max(1, CHUNK // area)
    for start in range(0, len(flat), step):
        sums = rows @ flat[start : start + step].double() @ columns.T
        result[start : start + step] = torch.floor((2 * sums + area) / (2 * area)).to(torch.uint8)
    return result.reshape(*batch, *size)


def _overlaps(size: int, resolution: int) -> Float64[Tensor, "m n"]:
    output = torch.arange(resolution, dtype=torch.float64)[:, None] * size
    input_ = torch.arange(size, dtype=torch.float64) * resolution
    return (torch.minimum(output + size, input_ + resolution) - torch.maximum(output, input_)).clamp_min_(0)


def square(pixels: UInt8[Tensor, "*batch h w"]) -> UInt8[Tensor, "*batch s s"]:
    """Cut the largest central square out of images ``[..., h, w]``."""
    return centre(pixels, 1, 1)


def centre(pixels: UInt8[Tensor, "*batch h w"], height: int, width: int) -> UInt8[Tensor, "*batch p q"]:
    """Cut the largest central part with the proportions ``height : width`` out of images ``[..., h, w]``."""
    h, w = pixels.shape[-2:]
    p, q = min(h, max(1, w * height // width)), min(w, max(1, h * width // height))
    top, left = (h - p) // 2, (w - q) // 2
    return pixels[..., top : top + p, left : left + q]


def with_channels(
    pixels: UInt8[Tensor, "*batch c h w"], channels: int | None
) -> UInt8[Tensor, "*batch k h w"]:
    """Convert images to a number of channels.

    Grey, RGB and RGBA become one another's grey or RGB: transparent pixels are laid over white (our choice), grey is
    repeated, RGB becomes grey by ITU-R 601 luma. Nothing else is converted.

    Args:
        pixels: shape ``[..., c, h, w]``.
        channels: their number afterwards; None leaves them as they are.

    Raises:
        InputError: numbers of channels between which nothing converts.
    """
    given = pixels.shape[-3]
    if channels is None or given == channels:
        return pixels
    if given not in (1, 3, 4) or channels not in (1, 3):
        raise InputError(
            f"images: got {given} channels, expected {channels}; pass an .npz whose images have {channels} channels: "
            "only grey, RGB and RGBA are converted, to grey or RGB"
        )
    if given == 4:
        alpha = pixels[..., 3:, :, :].int()
        blend = pixels[..., :3, :, :].int() * alpha + 255 * (255 - alpha)
        return with_channels(((blend + 127) // 255).to(torch.uint8), channels)
    if channels == 3:
        return pixels.expand(*pixels.shape[:-3], 3, *pixels.shape[-2:]).contiguous()
    weights = torch.tensor(GREY_WEIGHTS, dtype=torch.int32)[:, None, None]
    luma = (pixels.int() * weights).sum(dim=-3, keepdim=True, dtype=torch.int32)
    return ((luma + (1 << 15)) >> 16).to(torch.uint8)

"""How are training images varied? By mirror images and small shifts, drawn afresh for every batch.

The augmentation of Guth & Ménard (2024, Appendix B.3) at 32x32: a horizontal flip with probability 1/2, and a
random crop after padding by 4 black pixels on each side.
"""

import torch
from jaxtyping import UInt8
from torch import Generator, Tensor
from torch.nn.functional import pad


def augment(
    pixels: UInt8[Tensor, "n c h w"], generator: Generator, flip: bool = True, crop_padding: int = 4
) -> UInt8[Tensor, "n c h w"]:
    """Flip and shift each image independently; one gather, no loop over images.

    The same draws are made whatever the options, so that switching one off leaves the other as it was.

    Args:
        pixels: shape ``[n, c, h, w]``, uint8.
        generator: source of the draws (on the CPU); its state advances.
        flip: mirror left and right with probability 1/2.
        crop_padding: p, black pixels added on each side before a crop of the original size at one of
            (2p+1)² places; 0 leaves images in place.
    """
    n, channels, height, width = pixels.shape
    top, left = (torch.rand((2, n), generator=generator) * (2 * crop_padding + 1)).long()
    mirrored = torch.rand(n, generator=generator) < 0.5 * flip
    rows = top[:, None] + torch.arange(height)
    columns = torch.where(mirrored[:, None], torch.arange(width).flip(0), torch.arange(width)) + left[:, None]
    places = rows[:, :, None] * (width + 2 * crop_padding) + columns[:, None, :]
    padded = pad(pixels, (crop_padding,) * 4).flatten(2)
    index = places.view(n, 1, -1).expand(-1, channels, -1).to(pixels.device)
    return padded.gather(2, index).view_as(pixels)

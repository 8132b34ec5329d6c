"""Images with known statistics and classes."""

import torch

from covalign.data.images import Images
from samples.planted import generator


def corners(count: int, seed: int, split: str, channels: int = 3) -> Images:
    """Noise with a bright square whose corner tells the class: learnable by the smallest network."""
    labels = torch.randint(4, (count,), generator=generator(seed))
    pixels = torch.randint(120, (count, channels, 32, 32), generator=generator(seed + 1), dtype=torch.uint8)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        top, left = 16 * (label // 2), 16 * (label % 2)
        image[label % channels, top : top + 14, left : left + 14] += 130
    return Images(pixels, labels, ("a", "b", "c", "d"), "corners", split)


def smooth_pixels(n: int, size: int = 12, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Correlated random images: white noise, smoothed and mixed over channels, float64."""
    g = generator(seed)
    noise = torch.randn(n, channels, size + 2, size + 2, generator=g, dtype=torch.float64)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, stride=1)
    mixing = torch.eye(channels, dtype=torch.float64) + 0.5
    shade = torch.randn(n, channels, 1, 1, generator=g, dtype=torch.float64)
    return torch.einsum("dc,nchw->ndhw", mixing, smooth) + 0.3 * shade + 0.2


def smooth_images(count: int = 400) -> Images:
    """Smooth pixels as bytes, with labels that mean nothing."""
    values = smooth_pixels(count, size=10)
    scaled = (values - values.min()) / (values.max() - values.min()) * 255
    labels = torch.arange(count) % 4
    return Images(scaled.round().to(torch.uint8), labels, ("a", "b", "c", "d"), "smooth", "train")

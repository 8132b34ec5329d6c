"""Images with known statistics."""

import pytest
import torch

from covalign.data.images import Images
from covalign.first_layer.patches import PatchCovariance, patch_covariance


def smooth_images(n: int, size: int = 12, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Correlated random images: white noise, smoothed and mixed over channels, float64."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, channels, size + 2, size + 2, generator=generator, dtype=torch.float64)
    smooth = torch.nn.functional.avg_pool2d(noise, 3, stride=1)
    mixing = torch.eye(channels, dtype=torch.float64) + 0.5
    shade = torch.randn(n, channels, 1, 1, generator=generator, dtype=torch.float64)
    return torch.einsum("dc,nchw->ndhw", mixing, smooth) + 0.3 * shade + 0.2


@pytest.fixture(scope="session")
def pixels() -> torch.Tensor:
    return smooth_images(200)


@pytest.fixture(scope="session")
def patches(pixels: torch.Tensor) -> PatchCovariance:
    return patch_covariance(pixels, 3)


@pytest.fixture(scope="session")
def images() -> Images:
    values = smooth_images(400, size=10)
    scaled = (values - values.min()) / (values.max() - values.min()) * 255
    labels = torch.arange(400) % 4
    return Images(scaled.round().to(torch.uint8), labels, ("a", "b", "c", "d"), "smooth", "train")

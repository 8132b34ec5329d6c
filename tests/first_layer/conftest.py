import pytest
import torch

from covalign.data.images import Images
from covalign.first_layer.patches import PatchCovariance, patch_covariance
from samples.pictures import smooth_images, smooth_pixels


@pytest.fixture(scope="session")
def pixels() -> torch.Tensor:
    return smooth_pixels(200)


@pytest.fixture(scope="session")
def patches(pixels: torch.Tensor) -> PatchCovariance:
    return patch_covariance(pixels, 3)


@pytest.fixture(scope="session")
def images() -> Images:
    return smooth_images()

import pytest
import torch

from covalign.encoding.bures import bures_wasserstein_cosine
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.slots import slot_level, turned_channels
from covalign.errors import InputError


def stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_what_lives_in_slots_alone_survives_turned_channels():
    weights = torch.zeros(60, 40)
    weights.view(60, 8, 5)[..., 0] = torch.randn(60, 8, generator=stream(0))
    weights.view(60, 8, 5)[..., 1:] = 0.1 * torch.randn(60, 8, 4, generator=stream(1))
    c = weight_covariance(weights, 1.0)
    assert slot_level(c, c, slots=5, seed=2) > 0.9
    assert slot_level(c, c, slots=1, seed=2) < 0.7


def test_turning_channels_is_the_kronecker_product_on_the_covariance():
    c = weight_covariance(torch.randn(30, 12, generator=stream(3)), 1.0)
    turned = turned_channels(c, 3, stream(4))
    rotation = turned.eigenvectors @ c.eigenvectors.T
    blocks = rotation.view(4, 3, 4, 3)
    channels = blocks[:, 0, :, 0]
    assert torch.allclose(channels @ channels.T, torch.eye(4, dtype=torch.float64), atol=1e-10)
    assert torch.allclose(rotation, torch.kron(channels, torch.eye(3, dtype=torch.float64)), atol=1e-10)


def test_isotropic_covariances_do_not_notice():
    q = torch.linalg.qr(torch.randn(20, 20, generator=stream(5), dtype=torch.float64)).Q
    c = weight_covariance(q, 1.0)
    assert slot_level(c, c, slots=4) == pytest.approx(1.0)
    assert bures_wasserstein_cosine(c, c) == pytest.approx(1.0)


def test_dimensions_that_are_no_multiple_of_the_slots_are_named():
    c = weight_covariance(torch.randn(8, 10, generator=stream(6)), 1.0)
    with pytest.raises(
        InputError, match="dimensions 10 and 10, expected equal ones that are multiples of 3 slots"
    ):
        slot_level(c, c, slots=3)

import pytest
import torch

from covalign.kernels.windows import EXACT_IMAGES, window_means, window_moment
from samples.planted import generator

KINDS = [(3, 1, 8, 8), (3, 2, 9, 12), (1, 1, 5, 14), (5, 3, 13, 27), (7, 1, 7, 31)]


def unfolded(images, k, stride):
    """The oracle: every window copied out, ``[n, positions, d]``."""
    return torch.nn.functional.unfold(images.double(), k, stride=stride).mT


@pytest.mark.parametrize(("k", "stride", "h", "w"), KINDS)
def test_moments_are_those_of_unfolded_windows(k, stride, h, w):
    images = torch.randn(6, 2, h, w, generator=generator(k), dtype=torch.float64)
    windows = unfolded(images, k, stride).flatten(0, 1)
    torch.testing.assert_close(window_moment(images, k, stride), windows.T @ windows, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("k", "stride", "h", "w"), KINDS)
def test_means_are_those_of_unfolded_windows(k, stride, h, w):
    images = torch.randn(6, 2, h, w, generator=generator(k), dtype=torch.float64)
    torch.testing.assert_close(
        window_means(images, k, stride), unfolded(images, k, stride).mean(1), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("most", [127, -128])
def test_whole_numbers_are_multiplied_exactly_in_float32(most):
    images = torch.randint(-128, 128, (EXACT_IMAGES, 1, 3, 5), generator=generator(0))
    images[:, :, 1] = most
    windows = torch.nn.functional.unfold(images.double(), 3).mT.flatten(0, 1).long()
    found = window_moment(images.float(), 3, 1)
    assert torch.equal(found.long(), windows.T @ windows)
    assert torch.equal(found, found.round())

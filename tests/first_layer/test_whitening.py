import pytest
import torch

from covalign.errors import InputError
from covalign.first_layer.patches import PatchCovariance, patch_covariance
from covalign.first_layer.whitening import autocorrelation, whitening_filters


def test_white_noise_is_a_delta_and_a_constant_is_flat():
    noise = torch.randn(200, 2, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert autocorrelation(noise, max_shift=8).off_peak < 0.01
    assert autocorrelation(torch.full((2, 3, 9, 9), 0.7), max_shift=5).off_peak == pytest.approx(1)


def test_agrees_with_the_definition(pixels):
    result = autocorrelation(pixels, max_shift=4)
    numerator = sum(
        float(pixels[:, :, y, x].mul(pixels[:, :, y, x + 3]).sum()) for y in range(12) for x in range(9)
    )
    shifted = numerator / (200 * 12 * 9)
    assert float(result.horizontal[3]) == pytest.approx(shifted / float(pixels.square().sum() / (200 * 144)))
    torch.testing.assert_close(autocorrelation(pixels.mT, max_shift=4).vertical, result.horizontal)


def test_responses_of_a_filter_bank_are_summed_over_channels(pixels):
    weight = torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    mixing, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    mixed = torch.einsum("jk,kchw->jchw", mixing, weight)
    direct = autocorrelation(torch.nn.functional.conv2d(pixels, weight), max_shift=5)
    torch.testing.assert_close(autocorrelation(pixels, weight, 5).horizontal, direct.horizontal)
    torch.testing.assert_close(autocorrelation(pixels, mixed, 5).horizontal, direct.horizontal)


def test_whitener_gives_patches_the_identity_covariance(pixels, patches: PatchCovariance):
    responses = torch.nn.functional.conv2d(pixels, whitening_filters(patches)).transpose(0, 1).flatten(1)
    identity = torch.eye(27, dtype=torch.float64)
    torch.testing.assert_close(responses @ responses.T / responses.shape[1], identity)


def test_perfect_whitening_of_circular_images_is_a_delta():
    """Theorem 4.3 where it is exact: the kernel is the image and covariance is circulant."""
    image = torch.rand(1, 1, 7, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    shifts = torch.cat([image.roll((y, x), (2, 3)) for y in range(7) for x in range(7)])
    whitened = torch.nn.functional.conv2d(shifts, whitening_filters(patch_covariance(shifts, 7)))
    maps = whitened.view(49, 1, 7, 7)
    assert autocorrelation(maps, max_shift=6).off_peak < 1e-9


def test_whitening_smooth_images_brings_them_nearer_to_a_delta(pixels, patches: PatchCovariance):
    whitened = autocorrelation(pixels, whitening_filters(patches), 6)
    assert whitened.off_peak < 0.5 * autocorrelation(pixels, max_shift=6).off_peak


def test_filters_and_distances_that_do_not_fit_are_refused(pixels):
    with pytest.raises(InputError, match=r"weight: got filters of shape \(1, 3, 3\), expected 3 channels"):
        autocorrelation(pixels, torch.ones(2, 1, 3, 3))
    with pytest.raises(InputError, match="max_shift: got 12, expected less than 12"):
        autocorrelation(pixels, max_shift=12)

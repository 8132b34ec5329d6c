import torch

from covalign.first_layer.fourier import fourier_agreement
from covalign.first_layer.patches import patch_covariance


def circular_windows(kernel_size: int) -> torch.Tensor:
    """All circular shifts of random images with a falling spectrum: an exactly circulant covariance."""
    generator = torch.Generator().manual_seed(0)
    frequency = torch.fft.fftfreq(kernel_size, 1 / kernel_size, dtype=torch.float64)
    radius = (frequency[:, None] ** 2 + 1.3 * frequency**2).sqrt()
    noise = torch.randn(4, 1, kernel_size, kernel_size, generator=generator, dtype=torch.float64)
    image = torch.fft.ifft2(torch.fft.fft2(noise) / (1 + radius) ** 2).real
    shifts = [(y, x) for y in range(kernel_size) for x in range(kernel_size)]
    return torch.cat([image.roll(shift, (2, 3)) for shift in shifts])


def test_circulant_covariances_have_fourier_modes_in_order_of_frequency():
    for kernel_size in (3, 4, 5):
        agreement = fourier_agreement(patch_covariance(circular_windows(kernel_size), kernel_size))
        assert agreement.shares.min() > 1 - 1e-9
        assert agreement.rank_correlation > 0.7


def test_white_noise_components_are_no_modes():
    noise = torch.randn(300, 1, 9, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert fourier_agreement(patch_covariance(noise, 5)).shares.median() < 0.6


def test_smooth_images_lie_between(pixels):
    agreement = fourier_agreement(patch_covariance(pixels.mean(1, keepdim=True), 3))
    assert 0.5 < agreement.shares.median() < 1
    assert agreement.rank_correlation > 0.7

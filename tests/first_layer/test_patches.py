import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from covalign.data.images import Images
from covalign.data.normalization import NORMALIZATIONS
from covalign.errors import InputError
from covalign.first_layer.patches import average_patches, patch_covariance


def unfolded(images: torch.Tensor, kernel_size: int, stride: int) -> torch.Tensor:
    """Every patch as a row: the slow oracle."""
    columns = torch.nn.functional.unfold(images.double(), kernel_size, stride=stride)
    return columns.permute(0, 2, 1)


def rebuilt(patches) -> torch.Tensor:
    return patches.eigenvectors * patches.standard_deviations.square() @ patches.eigenvectors.T


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 4),
    c=st.integers(1, 3),
    h=st.integers(1, 9),
    w=st.integers(1, 40),
    kernel_size=st.integers(1, 7),
    stride=st.integers(1, 4),
    centred=st.booleans(),
)
def test_agrees_with_unfolding_every_patch(n, c, h, w, kernel_size, stride, centred):
    kernel_size = min(kernel_size, h, w)
    generator = torch.Generator().manual_seed(h + w)
    images = torch.randn(n, c, h, w, generator=generator, dtype=torch.float64)
    rows = unfolded(images, kernel_size, stride)
    every = rows.reshape(-1, rows.shape[2])
    mean = every.mean(0) if centred else torch.zeros_like(every[0])
    result = patch_covariance(images, kernel_size, stride=stride, centred=centred)
    torch.testing.assert_close(rebuilt(result), (every - mean).T @ (every - mean) / len(every))
    torch.testing.assert_close(result.mean, every.mean(0))
    averages = rows.mean(1)
    torch.testing.assert_close(average_patches(images, kernel_size, stride), averages)
    torch.testing.assert_close(
        result.average_covariance, torch.cov(averages.T, correction=0).view(result.dimension, -1)
    )
    assert (result.patches, result.images, result.positions) == (len(every), n, rows.shape[1])


def test_patches_are_flattened_like_filters(patches, pixels):
    weight = torch.randn(5, 3, 3, 3, dtype=torch.float64)
    responses = torch.nn.functional.conv2d(pixels, weight).transpose(0, 1).flatten(1)
    power = weight.flatten(1) @ rebuilt(patches) @ weight.flatten(1).T
    torch.testing.assert_close(power.diagonal(), responses.square().mean(1))


def test_flattening_channels_last_would_give_another_spectrum_along_the_filters(patches):
    swapped = patches.components.permute(0, 2, 3, 1).flatten(1)
    assert (swapped @ patches.eigenvectors).diagonal().abs().min() < 0.5


def test_batches_of_images_add_up(monkeypatch, pixels, patches):
    monkeypatch.setattr("covalign.first_layer.patches.BATCH_BYTES", 7 * 8 * pixels[0].numel())
    torch.testing.assert_close(rebuilt(patch_covariance(pixels, 3)), rebuilt(patches))


def test_standard_deviations_descend_and_eigenvectors_are_orthonormal(patches):
    assert (patches.standard_deviations.diff() <= 0).all()
    identity = torch.eye(27, dtype=torch.float64)
    torch.testing.assert_close(patches.eigenvectors.T @ patches.eigenvectors, identity)


def test_signs_do_not_depend_on_the_sign_or_order_of_the_images(pixels, patches):
    torch.testing.assert_close(patch_covariance(-pixels.flip(0), 3).eigenvectors, patches.eigenvectors)


def test_components_without_variance_have_standard_deviation_exactly_zero(pixels):
    grey = pixels[:, :1].expand(-1, 3, -1, -1)
    assert (patch_covariance(grey, 3).standard_deviations == 0).sum() == 18


def test_average_variances_of_independent_pixels_are_those_of_overlapping_windows():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2000, 1, 8, 8, generator=generator, dtype=torch.float64)
    patches = patch_covariance(noise, 2, stride=2)
    ratio = patches.positions * patches.average_variances / patches.standard_deviations.square()
    torch.testing.assert_close(ratio, torch.ones(4, dtype=torch.float64), rtol=0.1, atol=0)


def test_normalization_is_applied_to_the_pixels(images: Images):
    normalization = NORMALIZATIONS["cifar"]
    direct = patch_covariance(normalization(images.pixels), 3)
    torch.testing.assert_close(
        rebuilt(patch_covariance(images, 3, normalization=normalization)), rebuilt(direct)
    )


def test_arrays_and_images_are_accepted_alike(images: Images):
    from_array = patch_covariance(images.pixels.numpy(), 3)
    torch.testing.assert_close(rebuilt(patch_covariance(images, 3)), rebuilt(from_array))


@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        ((3, 8, 8), {"kernel_size": 3}, r"images: got shape \(3, 8, 8\), expected \[n, c, h, w\]"),
        ((0, 3, 8, 8), {"kernel_size": 3}, "at least one image"),
        ((2, 3, 8, 8), {"kernel_size": 9}, "kernel_size: got 9, expected 1 to 8"),
        ((2, 3, 8, 8), {"kernel_size": 3, "stride": 0}, "stride: got 0"),
    ],
)
def test_unusable_images_are_refused(shape, arguments, message):
    with pytest.raises(InputError, match=message):
        patch_covariance(torch.ones(shape), **arguments)


def test_pixels_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        patch_covariance(torch.full((2, 1, 4, 4), float("nan")), 3)


def test_whole_pixels_are_normalized_in_their_sums_as_they_would_be_one_by_one():
    pixels = torch.randint(
        0, 256, (40, 3, 9, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(4)
    )
    for normalization in (NORMALIZATIONS["cifar"], NORMALIZATIONS["none"], None):
        scale, shift = normalization.affine(3) if normalization else (torch.ones(3), torch.zeros(3))
        one_by_one = pixels.double() * scale[:, None, None] + shift[:, None, None]
        found = patch_covariance(pixels, 3, normalization=normalization)
        expected = patch_covariance(one_by_one, 3)
        torch.testing.assert_close(
            found.standard_deviations, expected.standard_deviations, rtol=1e-10, atol=0
        )
        torch.testing.assert_close(found.mean, expected.mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(
            found.average_covariance,
            expected.average_covariance,
            rtol=1e-9,
            atol=1e-12 * float(scale.max()) ** 2,
        )
        if normalization:
            torch.testing.assert_close(one_by_one, normalization(pixels).double(), rtol=1e-5, atol=1e-6)

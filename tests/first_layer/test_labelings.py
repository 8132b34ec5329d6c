import pytest
import torch

from covalign.data.images import Images
from covalign.data.normalization import NORMALIZATIONS, normalization
from covalign.errors import InputError
from covalign.first_layer.labelings import (
    amplified_component,
    amplified_covariance,
    energy_decile_labels,
    mean_patch_labels,
    patch_energies,
)
from covalign.first_layer.patches import PatchCovariance, average_patches, patch_covariance

CIFAR = NORMALIZATIONS["cifar"]


@pytest.fixture(scope="module")
def measured(images: Images) -> PatchCovariance:
    return patch_covariance(images, 3, normalization=CIFAR)


def test_energies_add_up_to_the_variance_along_each_component(images, measured):
    energies = patch_energies(images, measured, CIFAR)
    torch.testing.assert_close(energies.sum(0) / measured.patches, measured.standard_deviations.square())


def test_energy_deciles_put_the_most_energetic_images_first(images, measured):
    deciles = energy_decile_labels(images, measured, 4, CIFAR)
    energy = patch_energies(images, measured, CIFAR)[:, 4]
    assert deciles.labels.bincount().tolist() == [40] * 10
    means = torch.stack([energy[deciles.labels == label].mean() for label in range(10)])
    assert (means.diff() < 0).all()
    assert torch.equal(deciles.pixels, images.pixels)


def test_planted_labels_follow_the_average_patch_by_their_strength(images, measured):
    coefficient = average_patches(images, 3, normalization=CIFAR) @ measured.eigenvectors[:, 2]
    full = mean_patch_labels(images, measured, 2, normalization=CIFAR)
    assert coefficient[full.labels == 1].min() >= coefficient[full.labels == 0].max()
    none = mean_patch_labels(images, measured, 2, strength=0.0, normalization=CIFAR)
    gap = coefficient[none.labels == 1].mean() - coefficient[none.labels == 0].mean()
    assert abs(float(gap / coefficient.std())) < 0.3
    assert torch.equal(
        none.labels, mean_patch_labels(images, measured, 2, strength=0.0, normalization=CIFAR).labels
    )


def test_amplification_multiplies_one_standard_deviation_and_leaves_the_others(images, measured):
    larger, reading = amplified_component(images, measured, 5, 3.0, CIFAR)
    assert larger.pixels.shape == (400, 3, 24, 24)
    changed = patch_covariance(larger, 3, stride=3, normalization=reading)
    expected = measured.standard_deviations.clone()
    expected[5] *= 3
    expected = expected.sort(descending=True).values
    torch.testing.assert_close(changed.standard_deviations[:10], expected[:10], rtol=0.01, atol=0)


def test_the_amplified_covariance_is_that_of_the_amplified_images(images, measured):
    larger, reading = amplified_component(images, measured, 12, 4.0, CIFAR)
    seen = patch_covariance(larger, 3, stride=3, normalization=reading)
    foreseen = amplified_covariance(measured, 12, 4.0)
    assert (foreseen.standard_deviations.diff() <= 0).all()
    moment, expected = (
        each.eigenvectors @ torch.diag(each.standard_deviations.square()) @ each.eigenvectors.T
        for each in (seen, foreseen)
    )
    torch.testing.assert_close(moment, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))
    torch.testing.assert_close(seen.mean, foreseen.mean, rtol=0, atol=1e-3)
    torch.testing.assert_close(seen.average_covariance, foreseen.average_covariance, rtol=0, atol=1e-3)


def test_with_padding_a_first_layer_of_stride_k_sees_what_a_padded_one_sees(images, measured):
    same, reading = amplified_component(images, measured, 3, 1.0, CIFAR, padding=1)
    filters = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.conv2d(CIFAR(images.pixels), filters, padding=1)
    seen = torch.nn.functional.conv2d(reading(same.pixels), filters, stride=3)
    torch.testing.assert_close(seen, expected, rtol=0, atol=0.3)
    assert float((seen - expected).square().mean() / expected.square().mean()) < 1e-4


def test_a_given_reading_cuts_off_what_lies_beyond_it(images, measured):
    narrow = normalization("0.5/0.5")
    cut, reading = amplified_component(images, measured, 0, 3.0, CIFAR, reading=narrow)
    assert reading == narrow
    wide, needed = amplified_component(images, measured, 0, 3.0, CIFAR)
    torch.testing.assert_close(narrow(cut.pixels), needed(wide.pixels).clamp(-1, 1), rtol=0, atol=0.05)


def test_factor_one_lays_the_patches_out_unchanged(images, measured):
    same, reading = amplified_component(images, measured, 0, 1.0, CIFAR)
    first = reading(same.pixels)[:, :, :3, 3:6]
    torch.testing.assert_close(first, CIFAR(images.pixels)[:, :, :3, 1:4], rtol=0, atol=0.02)


def test_requests_that_make_no_sense_are_refused(images, measured):
    with pytest.raises(InputError, match=r"component: got 27, expected 0 \(the leading one\) to 26"):
        energy_decile_labels(images, measured, 27, CIFAR)
    with pytest.raises(InputError, match="strength: got 2"):
        mean_patch_labels(images, measured, 0, strength=2)
    with pytest.raises(InputError, match="bins: got 1, expected 2 to 400"):
        mean_patch_labels(images, measured, 0, bins=1)

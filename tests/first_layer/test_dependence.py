"""Labels matter through class-average patches, and only through them."""

from dataclasses import replace

import pytest
import torch
from scipy import stats

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.first_layer.dependence import (
    holm,
    label_dependence,
    predicted_agreement,
)
from covalign.first_layer.energy import correlation
from covalign.first_layer.labelings import mean_patch_labels
from covalign.first_layer.patches import PatchCovariance, average_patches, patch_covariance
from covalign.first_layer.prediction import linear_cnn_energy

TAU = 0.02


@pytest.fixture(scope="module")
def measured(images: Images) -> PatchCovariance:
    return patch_covariance(images, 3)


def relabelled(images: Images, seed: int) -> Images:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return replace(images, labels=images.labels[order])


@pytest.mark.slow
def test_correlations_are_those_of_class_indicators_with_average_patches(images, measured):
    dependence = label_dependence(images, measured)
    coefficients = average_patches(images, 3) @ measured.eigenvectors
    for label, i in ((0, 0), (3, 20)):
        r, p = stats.pearsonr((images.labels == label).numpy(), coefficients[:, i].numpy())
        assert float(dependence.correlations[label, i]) == pytest.approx(r)
        assert float(dependence.p_values[label, i]) >= p * 0.99
    class_mean = average_patches(images, 3)[images.labels == 2].mean(0)
    torch.testing.assert_close(dependence.class_averages[2], class_mean - average_patches(images, 3).mean(0))


def test_holm_agrees_with_its_definition():
    p_values = torch.tensor([[0.01, 0.04], [0.03, 0.005]], dtype=torch.float64)
    expected = torch.tensor([[0.03, 0.06], [0.06, 0.02]], dtype=torch.float64)
    torch.testing.assert_close(holm(p_values), expected)


def test_random_labels_have_signal_one_and_are_rarely_significant(images, measured):
    draws = [label_dependence(relabelled(images, seed), measured) for seed in range(40)]
    signal = torch.stack([draw.signal.square() for draw in draws]).mean()
    assert float(signal) == pytest.approx(1, abs=0.1)
    assert sum(draw.significant > 0 for draw in draws) <= 6


@pytest.mark.slow
def test_equal_class_averages_make_true_and_random_labels_agree_in_expectation(images, measured):
    """Each image beside its negative, one labelling in two: class averages are equal by construction."""
    generator = torch.Generator().manual_seed(0)
    averages = average_patches(images, 3)
    averages = averages - averages.mean(0)
    signs = torch.sign(torch.rand(len(averages), 3000, generator=generator, dtype=torch.float64) - 0.5)
    planted = averages.T @ signs / len(averages)
    profiles = torch.stack(
        [linear_cnn_energy(measured, TAU, column[:, None]).energy.square() for column in planted.T]
    )
    assert correlation(profiles.mean(0).sqrt(), linear_cnn_energy(measured, TAU).energy) > 0.995


def test_agreement_falls_as_planted_label_correlations_grow(images, measured):
    agreements, signals = [], []
    for strength in (0.0, 0.1, 0.3, 0.9):
        drawn = [
            label_dependence(mean_patch_labels(images, measured, 5, strength, bins=10, seed=seed), measured)
            for seed in range(8)
        ]
        agreements.append(sum(predicted_agreement(d, measured, TAU, draws=1)[0] for d in drawn) / 8)
        signals.append(sum(float(d.signal[5]) for d in drawn) / 8)
    assert agreements == sorted(agreements, reverse=True)
    assert agreements[0] > 0.9
    assert agreements[-1] < 0.6
    assert signals == sorted(signals)


def test_monte_carlo_over_labels_matches_population_plus_noise(measured, images):
    """E e_i^2 = g_i^2 [(v_i^T b)^2 + a_i var(y) / n] in the axes of A."""
    averages = average_patches(images, 3)
    averages = averages - averages.mean(0)
    variances, modes = torch.linalg.eigh(averages.T @ averages / len(averages))
    aligned = replace(measured, eigenvectors=modes)
    mean_label = 0.3 * averages @ modes[:, 20] / variances[20].sqrt()
    generator = torch.Generator().manual_seed(1)
    labels = mean_label[:, None] + torch.randn(len(averages), 4000, generator=generator, dtype=torch.float64)
    realized = linear_cnn_energy(aligned, TAU, averages.T @ labels / len(averages) / 4000**0.5).energy
    gain = -torch.expm1(-TAU * variances) / variances
    population = (modes.T @ averages.T @ mean_label / len(averages)).square()
    expected = gain * (population + variances / len(averages)).sqrt()
    torch.testing.assert_close(realized, expected, rtol=0.05, atol=0)


def test_the_label_signal_of_the_population_is_estimated_without_bias(images, measured):
    whole = label_dependence(mean_patch_labels(images, measured, 5, 0.5, bins=4), measured)
    labelled = mean_patch_labels(images, measured, 5, 0.5, bins=4)
    drawn = torch.stack(
        [label_dependence(labelled.sample(100, seed=seed), measured).excess for seed in range(60)]
    )
    error = drawn.mean(0) - whole.excess
    assert float((error / (drawn.std(0) / 60**0.5)).abs().max()) < 5
    assert abs(float(error.mean())) < 0.1 / 100, "of the bias 1 / n that is taken off"


def test_images_drawn_again_spread_as_the_estimate_does(images, measured):
    labelled = mean_patch_labels(images, measured, 5, 0.5, bins=4)
    fresh = torch.stack(
        [label_dependence(labelled.sample(250, seed=seed), measured).excess for seed in range(60)]
    )
    again = torch.stack(
        [label_dependence(labelled.sample(250, seed=seed), measured).redrawn.std(0) for seed in range(5)]
    ).mean(0)
    ratio = float((again / fresh.std(0)).mean())
    assert 1.0 < ratio < 2.5, "noise upon noise, and images drawn with replacement: wider, not narrower"


def test_permuted_labels_give_uniform_p_values(images, measured):
    values = [
        label_dependence(relabelled(images, seed).sample(80), measured, seed=seed).p_value
        for seed in range(60)
    ]
    assert sum(value <= 0.1 for value in values) <= 14
    assert min(values) > 0.004
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_one_class_alone_is_refused(images, measured):
    alone = images.take((images.labels == 0).nonzero()[:, 0])
    with pytest.raises(InputError, match="labels: got 1 class in 100 images, expected at least two"):
        label_dependence(alone, measured)


def test_absent_classes_are_left_out(images, measured):
    two = images.take((images.labels < 2).nonzero()[:, 0])
    assert label_dependence(two, measured).correlations.shape == (2, 27)

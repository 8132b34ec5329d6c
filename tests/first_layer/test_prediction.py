"""The predictions against the theory of a linear CNN and against each other."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from covalign.errors import InputError
from covalign.first_layer.energy import EnergyProfile, correlation, energy_profile, profile_correlation
from covalign.first_layer.linear_cnn import linear_cnn_filters, train_linear_cnn
from covalign.first_layer.patches import PatchCovariance, average_patches, patch_covariance
from covalign.first_layer.prediction import (
    PAPER_SEARCH,
    fit_energy,
    linear_cnn_energy,
    linear_cnn_tau,
    predicted_energy,
    trained_readout_energy,
)


def with_spectrum(patches: PatchCovariance, standard_deviations: torch.Tensor) -> PatchCovariance:
    d = len(standard_deviations)
    return replace(
        patches,
        standard_deviations=standard_deviations,
        eigenvectors=torch.eye(d, dtype=torch.float64),
        mean=torch.zeros(d, dtype=torch.float64),
        average_covariance=standard_deviations.square().diag(),
    )


@pytest.fixture
def wide(patches: PatchCovariance) -> PatchCovariance:
    """Standard deviations over six decades."""
    return with_spectrum(patches, torch.logspace(3, -3, 27, dtype=torch.float64))


def test_one_parameter_form_peaks_where_theory_says(patches: PatchCovariance):
    fine = with_spectrum(patches, torch.linspace(1.13, 1.11, 501, dtype=torch.float64))
    energy = predicted_energy(fine, 1.0).energy
    assert float(fine.standard_deviations[energy.argmax()]) ** 2 == pytest.approx(1.2564, abs=2e-4)


def test_one_parameter_form_rises_with_slope_one_and_falls_with_slope_minus_one(wide):
    energy = predicted_energy(wide, 1.0).energy
    slopes = energy.log().diff() / wide.standard_deviations.log().diff()
    assert float(slopes[0]) == pytest.approx(-1, abs=1e-6)
    assert float(slopes[-1]) == pytest.approx(1, abs=1e-4)


def test_infinite_time_whitens(wide):
    torch.testing.assert_close(predicted_energy(wide, math.inf).energy, 1 / wide.standard_deviations)


def test_components_without_variance_are_predicted_no_energy(pixels):
    grey = patch_covariance(pixels[:, :1].expand(-1, 3, -1, -1), 3)
    assert (predicted_energy(grey, math.inf).energy[-18:] == 0).all()


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(exponent=st.floats(-1.5, 4.5))
def test_fit_recovers_the_time_it_was_made_with(patches: PatchCovariance, exponent):
    spectrum = with_spectrum(patches, torch.logspace(0, -2.5, 27, dtype=torch.float64))
    fit = fit_energy(predicted_energy(spectrum, 10**exponent), spectrum, draws=1)
    assert fit.correlation == pytest.approx(1, abs=1e-9)
    assert math.log10(fit.tau) == pytest.approx(exponent, abs=1e-3)


def test_fit_does_not_depend_on_the_scale_of_pixels_or_weights(patches: PatchCovariance, pixels):
    weight = torch.randn(16, 3, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fit = fit_energy(energy_profile(weight, patches), patches)
    dim = patch_covariance(pixels / 50, 3)
    scaled = fit_energy(energy_profile(7 * weight, dim), dim)
    assert scaled.correlation == pytest.approx(fit.correlation)
    assert scaled.tau == pytest.approx(2500 * fit.tau, rel=1e-4)
    assert scaled.baseline.mean == pytest.approx(fit.baseline.mean)


@pytest.mark.slow
def test_random_initializations_fit_like_their_baseline(patches: PatchCovariance):
    generator = torch.Generator().manual_seed(9)
    fits = [
        fit_energy(energy_profile(torch.rand(32, 3, 3, 3, generator=generator) - 0.5, patches), patches)
        for _ in range(40)
    ]
    z = [(fit.correlation - fit.baseline.mean) / fit.baseline.spread for fit in fits]
    assert abs(sum(z) / len(z)) < 0.5
    assert sum(fit.p_value < 0.2 for fit in fits) / len(fits) == pytest.approx(0.2, abs=0.15)


def test_baseline_is_reproducible_and_an_exact_profile_beats_it(patches: PatchCovariance):
    profile = predicted_energy(patches, 2.0)
    fit, again = fit_energy(profile, patches), fit_energy(profile, patches)
    assert torch.equal(fit.baseline.correlations, again.baseline.correlations)
    assert fit.p_value == pytest.approx(1 / 201)
    assert len(fit.baseline.correlations) == 200


def test_search_can_be_limited_to_the_range_of_the_paper(patches: PatchCovariance):
    leading = float(patches.standard_deviations[0]) ** 2
    early = fit_energy(predicted_energy(patches, 0.1 / leading), patches, draws=1, search=PAPER_SEARCH)
    assert early.tau * leading == pytest.approx(PAPER_SEARCH[0], rel=1e-6)
    assert early.correlation < 1


def test_linear_cnn_time_counts_every_factor():
    expected = 2 * 0.01 * 64 * 1000 / 900
    assert linear_cnn_tau(0.01, filters=64, steps=1000, positions=900) == pytest.approx(expected)


def test_exact_profile_is_that_of_gradient_descent(pixels, patches: PatchCovariance):
    averages = average_patches(pixels, 3)
    targets = torch.randn(200, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    initial = torch.randn(12, 27, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 1e-9
    trained = train_linear_cnn(averages, targets, initial, 0.03, 400).weight - initial
    measured = energy_profile(trained.view(12, 3, 3, 3), patches)
    cross = (averages - averages.mean(0)).T @ (targets - targets.mean(0)) / 200
    exact = linear_cnn_energy(patches, linear_cnn_tau(0.03, 4, 400), cross, steps=400)
    assert profile_correlation(measured, exact) == pytest.approx(1, abs=1e-12)


def test_expectation_over_random_labels_is_the_mean_over_realizations(pixels, patches: PatchCovariance):
    averages = average_patches(pixels, 3)
    averages = averages - averages.mean(0)
    labels = torch.randn(200, 4000, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    realized = linear_cnn_energy(patches, 5.0, averages.T @ labels / 200**0.5 / 4000**0.5)
    torch.testing.assert_close(realized.energy, linear_cnn_energy(patches, 5.0).energy, rtol=0.05, atol=0)


def test_independent_patches_make_the_exact_profile_the_one_parameter_form(patches: PatchCovariance):
    variances = patches.standard_deviations.square() / 100
    independent = replace(
        patches, average_covariance=patches.eigenvectors * variances @ patches.eigenvectors.T
    )
    published = predicted_energy(patches, 3.0)
    for diagonal in (False, True):
        exact = linear_cnn_energy(independent, 300.0, diagonal=diagonal)
        assert profile_correlation(exact, published) == pytest.approx(1, abs=1e-12)


def test_diagonal_approximation_is_close_but_not_exact(patches: PatchCovariance):
    agreement = profile_correlation(
        linear_cnn_energy(patches, 5.0), linear_cnn_energy(patches, 5.0, diagonal=True)
    )
    assert 0.9 < agreement < 1 - 1e-6


@pytest.mark.parametrize(("outputs", "spread"), [(1, 0.756), (10, 0.226), (100, 0.071)])
def test_profiles_concentrate_with_outputs_not_with_images(patches: PatchCovariance, outputs, spread):
    """Random labels make b Gaussian with covariance A / n: its relative spread does not know n."""
    generator = torch.Generator().manual_seed(0)
    same = with_spectrum(patches, torch.full((600,), 0.1, dtype=torch.float64))
    for images in (500, 8000):
        cross = 0.1 * torch.randn(600, outputs, generator=generator, dtype=torch.float64) / images**0.5
        energy = linear_cnn_energy(same, 1.0, cross, diagonal=True).energy
        assert float(energy.std() / energy.mean()) == pytest.approx(spread, rel=0.1)


def test_trained_readout_ends_at_the_square_root_of_least_squares():
    generator = torch.Generator().manual_seed(5)
    single_patches = torch.rand(300, 1, 3, 3, generator=generator, dtype=torch.float64)
    patches = patch_covariance(single_patches, 3)
    averages = average_patches(single_patches, 3)
    targets = averages @ torch.randn(9, 2, generator=generator, dtype=torch.float64)
    initial = 1e-5 * torch.randn(8, 9, generator=generator, dtype=torch.float64)
    readout = 1e-5 * torch.randn(2, 8, generator=generator, dtype=torch.float64)
    trained = train_linear_cnn(averages, targets, initial, 0.5, 3000, readout)
    cross = (averages - averages.mean(0)).T @ (targets - targets.mean(0)) / 300
    measured = energy_profile(trained.weight.view(8, 1, 3, 3), patches).energy * 8**0.5
    torch.testing.assert_close(measured, trained_readout_energy(patches, cross).energy, rtol=3e-3, atol=0)


def test_many_labels_make_the_trained_readout_fall_with_slope_minus_one_half(patches: PatchCovariance):
    spectrum = torch.logspace(0, -2, 27, dtype=torch.float64)
    energy = trained_readout_energy(with_spectrum(patches, spectrum)).energy
    torch.testing.assert_close(energy, spectrum**-0.5)


def test_closed_form_filters_have_the_predicted_profile(pixels, patches: PatchCovariance):
    averages = average_patches(pixels, 3)
    targets = torch.randn(200, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    filters = linear_cnn_filters(averages, targets, torch.zeros(4, 27), 0.05, 200)
    cross = (averages - averages.mean(0)).T @ (targets - targets.mean(0)) / 200
    predicted = linear_cnn_energy(patches, linear_cnn_tau(0.05, 4, 200), cross, steps=200)
    measured = energy_profile(filters.view(4, 3, 3, 3), patches)
    assert correlation(measured.energy, predicted.energy) == pytest.approx(1, abs=1e-12)


def test_unusable_requests_are_refused(patches: PatchCovariance):
    profile = predicted_energy(patches, 1.0)
    flat = EnergyProfile(torch.ones(27, dtype=torch.float64), 8)
    white = with_spectrum(patches, torch.ones(27, dtype=torch.float64))
    with pytest.raises(InputError, match="tau: got -1"):
        predicted_energy(patches, -1)
    with pytest.raises(InputError, match="tau: got nan"):
        linear_cnn_energy(patches, math.nan)
    with pytest.raises(InputError, match="cross_covariance: got 5 rows, expected 27"):
        linear_cnn_energy(patches, 1.0, torch.ones(5, 2))
    with pytest.raises(InputError, match="profile: got 3 components and patches of dimension 27"):
        fit_energy(EnergyProfile(torch.rand(3, dtype=torch.float64)), patches)
    with pytest.raises(InputError, match="profile: it is flat"):
        fit_energy(flat, patches)
    with pytest.raises(InputError, match="all standard deviations are equal"):
        fit_energy(profile, white)
    with pytest.raises(InputError, match="draws: got 0"):
        fit_energy(profile, patches, draws=0)

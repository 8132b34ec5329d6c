import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from covalign.errors import InputError
from covalign.first_layer.energy import EnergyProfile, energy_profile, profile_correlation
from covalign.first_layer.initialization import initial_filters
from covalign.first_layer.patches import patch_covariance
from covalign.first_layer.prediction import predicted_energy


@settings(deadline=None, max_examples=20)
@given(kernel_size=st.integers(2, 5), channels=st.integers(1, 3), surplus=st.integers(0, 40))
def test_profile_is_met_exactly_with_at_least_as_many_filters_as_dimensions(
    pixels, kernel_size, channels, surplus
):
    patches = patch_covariance(pixels[:, :channels], kernel_size)
    profile = predicted_energy(patches, 3.0)
    weight = initial_filters(patches, profile, patches.dimension + surplus)
    assert profile_correlation(energy_profile(weight, patches), profile) == pytest.approx(1, abs=1e-9)


def test_fewer_filters_meet_the_profile_on_average(patches):
    profile = predicted_energy(patches, 3.0)
    drawn = [
        energy_profile(initial_filters(patches, profile, 8, seed=seed), patches).energy.square()
        for seed in range(200)
    ]
    mean = EnergyProfile(torch.stack(drawn).mean(0).sqrt())
    assert profile_correlation(mean, profile) > 0.99


def test_variance_is_that_of_the_default_initialization_or_the_one_asked_for(patches):
    profile = predicted_energy(patches, 3.0)
    default = torch.nn.Conv2d(3, 4000, 3).weight.detach().square().mean()
    weight = initial_filters(patches, profile, 64)
    assert float(weight.square().mean()) == pytest.approx(float(default), rel=0.02)
    asked = initial_filters(patches, profile, 64, variance=0.5)
    assert float(asked.square().mean()) == pytest.approx(0.5)


def test_seed_decides_the_filters(patches):
    profile = predicted_energy(patches, 3.0)
    first, again, other = (initial_filters(patches, profile, 9, seed=seed) for seed in (1, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_empty_profiles_and_banks_are_refused(patches):
    with pytest.raises(
        InputError, match="profile: got 27 components of norm 0, expected 27 with some energy"
    ):
        initial_filters(patches, EnergyProfile(torch.zeros(27, dtype=torch.float64)), 4)
    with pytest.raises(InputError, match="filters: got 0"):
        initial_filters(patches, predicted_energy(patches, 1.0), 0)

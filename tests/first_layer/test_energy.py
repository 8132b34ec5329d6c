import pandas as pd
import pytest
import torch

from covalign.errors import InputError
from covalign.first_layer.energy import (
    EnergyProfile,
    correlation,
    energy_profile,
    profile_correlation,
    sampling_limit,
)
from covalign.first_layer.patches import PatchCovariance, patch_covariance


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(16, 3, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_profile_is_the_root_mean_square_response(weight, patches: PatchCovariance):
    profile = energy_profile(weight, patches)
    for i in (0, 13, 26):
        component = patches.eigenvectors[:, i].view(3, 3, 3)
        responses = [float((filter_ * component).sum()) for filter_ in weight]
        expected = (sum(r * r for r in responses) / len(responses)) ** 0.5
        assert float(profile.energy[i]) == pytest.approx(expected)
    assert profile.filters == 16


def test_filters_along_one_component_have_all_their_energy_there(patches: PatchCovariance):
    weight = patches.components[4:5] * torch.tensor([3.0, -4.0]).view(2, 1, 1, 1)
    profile = energy_profile(weight, patches)
    assert float(profile.energy[4]) == pytest.approx(12.5**0.5)
    assert float(profile.energy.square().sum()) == pytest.approx(12.5)
    assert profile.off_diagonal == pytest.approx(0, abs=1e-12)


def test_mixing_filters_orthogonally_changes_nothing(weight, patches: PatchCovariance):
    mixing, _ = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64))
    mixed = torch.einsum("jk,kchw->jchw", mixing, weight)
    torch.testing.assert_close(energy_profile(mixed, patches).energy, energy_profile(weight, patches).energy)


def test_initial_weights_are_subtracted(weight, patches: PatchCovariance):
    learned = patches.components[:16]
    difference = energy_profile(weight + learned, patches, init=weight)
    torch.testing.assert_close(difference.energy, energy_profile(learned, patches).energy)


def test_off_diagonal_share_shows_what_the_profile_hides(patches: PatchCovariance):
    blended = (patches.components[0] + patches.components[1])[None]
    assert energy_profile(blended, patches).off_diagonal == pytest.approx(0.5)


def test_channels_last_weights_give_another_profile(weight, patches: PatchCovariance):
    structured = weight * torch.tensor([1.0, 0.1, 0.1]).view(1, 3, 1, 1)
    misread = structured.permute(0, 2, 3, 1).reshape(structured.shape)
    right, wrong = energy_profile(structured, patches), energy_profile(misread, patches)
    assert profile_correlation(right, wrong) < 0.9


def test_correlation_ignores_scale_and_agrees_with_pandas():
    a, b = torch.rand(27, dtype=torch.float64), torch.rand(27, dtype=torch.float64)
    assert correlation(a, 3 * b) == pytest.approx(pd.Series(a.numpy()).corr(pd.Series(b.numpy())))


def test_correlation_with_a_flat_profile_is_not_a_number():
    flat, other = torch.ones(4, dtype=torch.float64), torch.arange(4.0, dtype=torch.float64)
    assert torch.isnan(torch.tensor(correlation(flat, other)))


@pytest.mark.parametrize(("filters", "other"), [(16, 16), (16, 64), (64, 64)])
def test_sampling_limit_is_what_finite_banks_of_equal_profile_reach(filters, other, patches: PatchCovariance):
    true = torch.exp(-((torch.arange(27, dtype=torch.float64) - 7) ** 2) / 40) + 0.05
    generator = torch.Generator().manual_seed(3)

    def drawn(count: int) -> EnergyProfile:
        rows = torch.randn(count, 27, generator=generator, dtype=torch.float64) * true
        return energy_profile((rows @ patches.eigenvectors.T).view(count, 3, 3, 3), patches)

    pairs = [(drawn(filters), drawn(other)) for _ in range(200)]
    reached = sum(profile_correlation(a, b) for a, b in pairs) / len(pairs)
    limit = sum(sampling_limit(a, b) for a, b in pairs) / len(pairs)
    assert limit == pytest.approx(reached, abs=0.01)


def test_filters_of_another_shape_are_refused(patches: PatchCovariance, pixels):
    with pytest.raises(InputError, match=r"weight: got filters of shape \(3, 5, 5\), expected \(3, 3, 3\)"):
        energy_profile(torch.ones(4, 3, 5, 5), patches)
    with pytest.raises(InputError, match="init: got shape"):
        energy_profile(torch.ones(4, 3, 3, 3), patches, init=torch.ones(5, 3, 3, 3))
    with pytest.raises(InputError, match="correlation: got lengths 27 and 75"):
        profile_correlation(
            energy_profile(torch.rand(4, 3, 3, 3), patches),
            energy_profile(torch.rand(4, 3, 5, 5), patch_covariance(pixels, 5)),
        )

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from covalign.encoding.lineage.balance import balanced
from samples.planted import generator


def weight(seed=0, n=7, c=5):
    return torch.randn(n, c, 3, 3, generator=generator(seed), dtype=torch.float64)


def test_every_neuron_has_length_one_and_every_channel_the_same_energy():
    energy = balanced(weight()).square().sum(2)
    assert torch.allclose(energy.sum(1), torch.ones(7, dtype=torch.float64))
    assert torch.allclose(energy.sum(0), torch.full((5,), 7 / 5, dtype=torch.float64))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_positive_scales_of_neurons_and_channels_do_not_matter(seed):
    rows, columns = (torch.rand(k, generator=generator(seed), dtype=torch.float64) + 0.05 for k in (7, 5))
    scaled = weight(seed) * rows[:, None, None, None] * columns[:, None, None]
    assert torch.allclose(balanced(scaled), balanced(weight(seed)), atol=1e-6)


def test_reordered_weights_have_the_reordered_form():
    rows, columns = torch.randperm(7, generator=generator(1)), torch.randperm(5, generator=generator(2))
    assert torch.allclose(balanced(weight()[rows][:, columns]), balanced(weight())[rows][:, columns])


def test_zero_neurons_and_channels_stay_zero_and_do_not_disturb_the_others():
    sparse = weight()
    sparse[2], sparse[:, 1] = 0, 0
    kept = balanced(sparse)
    assert not kept[2].any()
    assert not kept[:, 1].any()
    others = [0, 1, 3, 4, 5, 6]
    assert torch.allclose(kept[others].square().sum((1, 2)), torch.ones(6, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 9), (4, 3, 3, 3)])
def test_weights_of_any_number_of_places_are_taken(shape):
    assert balanced(torch.ones(shape)).shape[:2] == (4, 3)


def test_a_layer_of_zeros_stays_one():
    assert not balanced(torch.zeros(3, 2, 3, 3)).any()

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from covalign.encoding.haar import haar_frame
from covalign.encoding.update import (
    channel_distance,
    effective_rank,
    learned_directions,
    measure_update,
    random_turns,
    spatial_distance,
    update_ranks,
)

NONE = torch.zeros(0, dtype=torch.float64)


def random_weight(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def measured(before, after, learned=None):
    directions = NONE.view(before[0].numel(), 0) if learned is None else learned
    return measure_update(before, after, directions)


@given(seed=st.integers(0, 1000), size=st.floats(1e-3, 10))
def test_rotation_and_rescaling_add_up_in_squares(seed, size):
    before = random_weight(seed, 6, 4, 3, 3)
    found = measured(before, before + size * random_weight(seed + 1, 6, 4, 3, 3))
    total = found["rotation"] ** 2 + found["rescaling"] ** 2
    assert total == pytest.approx(found["relative_change"] ** 2)


@given(seed=st.integers(0, 1000), size=st.floats(1e-3, 10))
def test_distances_of_covariances_are_at_most_the_relative_change(seed, size):
    before = random_weight(seed, 6, 4, 3, 3)
    found = measured(before, before + size * random_weight(seed + 1, 6, 4, 3, 3))
    assert found["spatial_change"] <= found["relative_change"] * (1 + 1e-9)
    assert found["channel_change"] <= found["relative_change"] * (1 + 1e-9)


def test_longer_neurons_are_rescaled_and_not_rotated():
    before = random_weight(0, 6, 4, 3, 3)
    found = measured(before, 1.1 * before)
    assert found["rescaling"] == pytest.approx(0.1)
    assert found["rotation"] == pytest.approx(0, abs=1e-6)
    assert found["spatial_change"] == pytest.approx(0.1)


def test_turned_neurons_are_rotated_and_not_rescaled():
    before = random_weight(0, 6, 4, 3, 3)
    turn = haar_frame(36, 36, torch.Generator().manual_seed(0))
    found = measured(before, (before.flatten(1) @ turn).view_as(before))
    assert found["rescaling"] == pytest.approx(0, abs=1e-12)
    assert found["rotation"] == pytest.approx(found["relative_change"])


def test_mixing_channels_changes_channels_and_not_space():
    before = random_weight(0, 6, 4, 3, 3)
    mix = haar_frame(4, 4, torch.Generator().manual_seed(0))
    found = measured(before, torch.einsum("ocij,cd->odij", before, mix))
    assert found["spatial_change"] == pytest.approx(0, abs=1e-6)
    assert found["channel_change"] > 0.01


def test_moving_kernels_changes_space_and_not_channels():
    before = random_weight(0, 6, 4, 3, 3)
    found = measured(before, before.roll(1, 3))
    assert found["channel_change"] == pytest.approx(0, abs=1e-6)
    assert found["spatial_change"] > 0.01


def test_distances_agree_with_the_formula_of_bures():
    one, two = random_weight(0, 6, 4, 3, 3), random_weight(1, 6, 4, 3, 3)
    for distance, axes in ((spatial_distance, "ocp,ocq->pq"), (channel_distance, "ocp,odp->cd")):
        c1, c2 = (torch.einsum(axes, w.flatten(2), w.flatten(2)).numpy() for w in (one, two))
        root = sqrtm(c1)
        squared = c1.trace() + c2.trace() - 2 * sqrtm(root @ c2 @ root).real.trace()
        assert distance(one, two) == pytest.approx(math.sqrt(squared))


def test_an_unchanged_layer_reads_exactly_zero():
    before = random_weight(0, 6, 4, 3, 3).float()
    found = measure_update(before, before.double(), random_weight(1, 36, 2))
    assert math.isnan(found.pop("inside"))
    assert set(found.values()) == {0.0}


def test_pointwise_layers_have_no_space_and_grouped_ones_no_common_channels():
    before, after = random_weight(0, 6, 4, 1, 1), random_weight(1, 6, 4, 1, 1)
    assert math.isnan(measured(before, after)["spatial_change"])
    found = measure_update(before, after, NONE.view(4, 0), grouped=True)
    assert math.isnan(found["channel_change"])


def test_a_change_relative_to_zero_is_undefined():
    found = measured(torch.zeros(6, 4, 1, 1, dtype=torch.float64), random_weight(0, 6, 4, 1, 1))
    assert math.isnan(found["relative_change"])
    assert math.isnan(found["rotation"])


@pytest.mark.parametrize("inside", [True, False])
def test_the_share_inside_is_one_or_zero_for_updates_inside_or_outside(inside):
    before = random_weight(0, 6, 4, 1, 1)
    basis = haar_frame(4, 4, torch.Generator().manual_seed(0))
    learned, used = basis[:, :2], basis[:, :2] if inside else basis[:, 2:]
    after = before + (random_weight(1, 6, 2) @ used.T).view_as(before)
    assert measured(before, after, learned)["inside"] == pytest.approx(float(inside))


def test_learned_directions_are_the_spikes_where_the_initial_variance_is_known():
    noise = random_weight(0, 400, 50, 1, 1)
    direction = torch.nn.functional.one_hot(torch.tensor(7), 50).double()
    spiked = noise + (6 * random_weight(1, 400, 1) * direction)[:, :, None, None]
    found, rule = learned_directions(spiked.flatten(1), 1.0)
    assert found.shape == (50, 1)
    assert abs(float(found[7, 0])) > 0.95
    assert rule.startswith("above the bulk")


def test_learned_directions_are_the_effective_rank_where_it_is_unknown():
    weight = torch.diag(torch.tensor([3.0, 2.0, 0.0, 0.0], dtype=torch.float64))[:, :, None, None]
    found, rule = learned_directions(weight.flatten(1), None)
    assert found.shape[1] == math.ceil((9 + 2 * 4) / 13)
    assert rule.startswith("effective rank of the whole spectrum")


def test_ranks_of_known_updates():
    assert effective_rank(torch.tensor([2.0, 1.0, 1.0], dtype=torch.float64)) == pytest.approx(
        (2 + 2 + 3) / 4
    )
    one = torch.outer(random_weight(0, 5), random_weight(1, 8))[:, :, None, None]
    assert list(update_ranks(one).values()) == pytest.approx([1, 1])
    eye = torch.eye(8, dtype=torch.float64)[:, :, None, None]
    assert list(update_ranks(eye).values()) == pytest.approx([4.5, 8])


def test_haar_frames_are_orthonormal_and_uniform():
    generator = torch.Generator().manual_seed(0)
    frames = torch.stack([haar_frame(4, 2, generator) for _ in range(2000)])
    identity = torch.eye(2, dtype=torch.float64).expand(2000, 2, 2)
    torch.testing.assert_close(frames.mT @ frames, identity)
    assert frames.mean(0).abs().max() < 0.05
    torch.testing.assert_close(frames.square().mean(0), torch.full((4, 2), 0.25).double(), atol=0.02, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (40, 4, 3, 3)])
def test_random_turns_keep_the_norm_and_forget_the_direction(shape):
    before = random_weight(0, *shape)
    learned = haar_frame(36, 6, torch.Generator().manual_seed(1))
    after = before + (random_weight(2, shape[0], 6) @ learned.T).view_as(before)
    turns = random_turns(before, after, learned, draws=200, seed=0)
    change = measured(before, after)["relative_change"]
    assert all(turn["relative_change"] == pytest.approx(change) for turn in turns)
    inside = torch.tensor([turn["inside"] for turn in turns])
    assert float(inside.mean()) == pytest.approx(6 / 36, abs=0.03)


def test_random_turns_of_nothing_are_nothing():
    before = random_weight(0, 6, 4, 3, 3)
    turns = random_turns(before, before, NONE.view(36, 0), draws=2, seed=0)
    assert all(turn["relative_change"] == turn["update_stable_rank"] == 0 for turn in turns)


def test_random_turns_are_the_same_for_the_same_seed():
    before, after = random_weight(0, 6, 4, 3, 3), random_weight(1, 6, 4, 3, 3)
    turns = [random_turns(before, after, random_weight(2, 36, 3), 2, seed) for seed in (0, 0, 1)]
    assert turns[0] == turns[1] != turns[2]

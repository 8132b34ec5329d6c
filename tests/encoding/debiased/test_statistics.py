import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.debiased import statistics
from covalign.encoding.debiased.kernels import channel_features, kernel, slot_features, space_features
from covalign.encoding.debiased.statistics import between, independent, paired, pooled, within
from samples import pairs as reference
from samples.planted import draw, power_law

SEEDS = st.integers(0, 10_000)


def blocks(n, c, s, seed):
    rows = draw(n, power_law(n, c * s), seed)
    return reference.unit(rows).reshape(n, c, s)


def projected(blocks, places):
    return [reference.joint(row, places) for row in blocks.flatten(1)]


@given(seed=SEEDS)
def test_plain_kernel_is_the_inner_product_of_traceless_matrices(seed):
    a, b = blocks(4, 6, 1, seed), blocks(5, 6, 1, seed + 1)
    slow = reference.gram([reference.plain(w[:, 0]) for w in a], [reference.plain(w[:, 0]) for w in b])
    assert torch.allclose(kernel(channel_features(a), channel_features(b)), slow, atol=1e-14)


@given(seed=SEEDS)
def test_joint_kernel_is_the_inner_product_without_partial_traces(seed):
    a, b = blocks(4, 3, 4, seed), blocks(5, 3, 4, seed + 1)
    slow = reference.gram(projected(a, 4), projected(b, 4))
    assert torch.allclose(kernel(channel_features(a), channel_features(b)), slow, atol=1e-14)


@given(seed=SEEDS)
def test_slot_kernel_is_the_inner_product_without_the_trace_of_each_slot(seed):
    a, b = blocks(4, 3, 4, seed), blocks(5, 3, 4, seed + 1)
    slow = reference.gram(*([reference.slotted(row, 4) for row in each.flatten(1)] for each in (a, b)))
    assert torch.allclose(kernel(slot_features(a), slot_features(b)), slow, atol=1e-14)


def test_space_kernel_is_the_inner_product_of_traceless_spatial_moments():
    a = blocks(5, 3, 4, 0)
    slow = reference.gram(*[[w.T @ w - torch.eye(4) * (w.T @ w).trace() / 4 for w in a]] * 2)
    assert torch.allclose(kernel(space_features(a), space_features(a)), slow, atol=1e-14)


def test_kernel_of_a_neuron_with_itself_is_the_diagonal():
    features = channel_features(blocks(6, 3, 4, 0), torch.eye(3).double())
    assert torch.allclose(features.own, kernel(features, features).diagonal(), atol=1e-14)


@given(seed=SEEDS)
def test_averages_agree_with_loops(seed):
    a, b = channel_features(blocks(6, 7, 1, seed)), channel_features(blocks(5, 7, 1, seed + 1))
    k11, k12 = kernel(a, a), kernel(a, b)
    own, cross = within(a), between(a, b)
    assert own.mean == pytest.approx(reference.mean_within(k11), abs=1e-14)
    assert own.energy == pytest.approx(float(k11.mean()), abs=1e-14)
    assert own.zeta == pytest.approx(reference.zeta_within(k11), rel=1e-8)
    assert cross.mean == pytest.approx(reference.mean_between(k12), abs=1e-14)
    assert cross.zeta == pytest.approx(reference.zeta_between(k12), rel=1e-8)
    for i in range(6):
        without = reference.mean_within(reference.leave_out(k11, [i], [i]))
        assert float(own.shifts[i]) == pytest.approx(without - own.mean, abs=1e-14)
        without = reference.mean_between(reference.leave_out(k12, [i]))
        assert float(cross.shifts_1[i]) == pytest.approx(without - cross.mean, abs=1e-14)


def test_scatter_agrees_with_leaving_neurons_out_in_turn():
    a, b = channel_features(blocks(6, 7, 1, 3)), channel_features(blocks(5, 7, 1, 4))
    k11, k12 = kernel(a, a), kernel(a, b)
    averages = independent(between(a, b), within(a), within(b))
    left = [
        (
            reference.mean_between(reference.leave_out(k12, [i])),
            reference.mean_within(reference.leave_out(k11, [i], [i])),
        )
        for i in range(6)
    ]
    expected = reference.scatter(left)
    assert float(averages.scatter[0, 1]) == pytest.approx(float(expected[0, 1]), rel=1e-10)
    assert float(averages.scatter[1, 1]) == pytest.approx(float(expected[1, 1]), rel=1e-10)
    right = reference.scatter(
        [(reference.mean_between(reference.leave_out(k12, (), [j])),) for j in range(5)]
    )
    assert float(averages.scatter[0, 0]) == pytest.approx(float(expected[0, 0] + right[0, 0]), rel=1e-10)
    assert averages.freedom == 4


def test_pairs_agree_with_leaving_pairs_out_in_turn():
    rows = blocks(6, 7, 1, 5)
    a, b = channel_features(rows), channel_features(rows + 0.3 * blocks(6, 7, 1, 6))
    k12, k11, k22 = kernel(a, b), kernel(a, a), kernel(b, b)
    averages = paired(a, b)
    expected = [reference.mean_within(k) for k in (k12, k11, k22)]
    assert averages.means.tolist() == pytest.approx(expected, abs=1e-14)
    left = [
        [reference.mean_within(reference.leave_out(k, [i], [i])) for k in (k12, k11, k22)] for i in range(6)
    ]
    assert torch.allclose(averages.scatter, reference.scatter(left), rtol=1e-9)
    zetas = [reference.zeta_within(k) for k in ((k12 + k12.T) / 2, k11, k22)]
    assert (averages.degenerate.diagonal() * 15).tolist() == pytest.approx(zetas, rel=1e-8)


def test_blocks_of_neurons_change_nothing(monkeypatch):
    a, b = channel_features(blocks(9, 7, 1, 0)), channel_features(blocks(8, 7, 1, 1))
    whole = independent(between(a, b), within(a), within(b)), paired(a.take(slice(0, 8)), b)
    monkeypatch.setattr("covalign.encoding.debiased.kernels.BLOCK", 16)
    parts = independent(between(a, b), within(a), within(b)), paired(a.take(slice(0, 8)), b)
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one.means, other.means, atol=1e-15)
        assert torch.allclose(one.degenerate, other.degenerate, atol=1e-15)


def test_independent_parts_are_averaged_and_their_variances_added():
    a, b = channel_features(blocks(9, 7, 1, 0)), channel_features(blocks(8, 7, 1, 1))
    one = independent(between(a, b), within(a), within(b))
    both = pooled([one, one])
    assert torch.allclose(both.means, one.means)
    assert torch.allclose(both.scatter, one.scatter / 2)
    assert both.freedom == 2 * one.freedom


@pytest.mark.slow
def test_averages_are_unbiased_where_plug_in_moments_are_not():
    variances = power_law(16, 40)
    moment = torch.diag(variances / variances.sum())
    truth = float((moment - torch.eye(40) / 40).square().sum())
    found = []
    for seed in range(300):
        rows = (draw(16, variances, seed) / variances.sum().sqrt()).reshape(16, 40, 1)
        found.append((within(channel_features(rows)).mean, within(channel_features(rows)).energy))
    unbiased, plugged = torch.tensor(found).T
    assert float(unbiased.mean()) == pytest.approx(truth, abs=3 * float(unbiased.std()) / 300**0.5)
    assert float(plugged.mean()) > 2 * truth


def test_four_neurons_are_needed_for_the_degenerate_part():
    assert statistics.NEURONS == 4
    few = within(channel_features(blocks(3, 7, 1, 0)))
    assert few.zeta != few.zeta
    assert few.mean == few.mean

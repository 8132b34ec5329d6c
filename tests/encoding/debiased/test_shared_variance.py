import math

import pytest
import torch

from covalign.encoding.debiased import captured as module
from covalign.encoding.debiased.shared_variance import shared_variance
from covalign.encoding.haar import haar_frame
from covalign.errors import InputError
from samples.planted import draw, generator, turned


def neurons(n, d, directions, spike, seed):
    variances = torch.ones(d, dtype=torch.float64)
    variances[list(directions)] += spike
    return draw(n, variances, seed)


def mean(name, rank, one, two, repeats=6):
    """Mean of a curve at one rank over draws of both networks."""
    found = [
        getattr(shared_variance(one(2 * seed), two(2 * seed + 1), ranks=[rank]), name)
        for seed in range(repeats)
    ]
    return float(torch.stack(found).nanmean())


def ten(seed):
    return neurons(64, 96, range(10), 12.0, seed)


def twenty(seed):
    return neurons(64, 96, range(20), 12.0, seed)


def weak(seed):
    return neurons(64, 96, range(20), 4.0, seed)


def half(seed):
    return neurons(64, 96, range(10, 30), 12.0, seed)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [3, 10, 20, 30])
def test_equal_populations_share_everything_at_every_rank(rank):
    assert mean("shared", rank, twenty, twenty) == pytest.approx(1, abs=0.08)
    assert mean("containment_1_in_2", rank, twenty, twenty) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_strength_changes_forward_and_backward_but_not_what_is_shared():
    assert mean("forward", 20, twenty, weak) < 0.7
    assert mean("backward", 20, twenty, weak) > 1.4
    assert mean("shared", 20, twenty, weak) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_half_shared_directions_share_less_and_unrelated_ones_nothing():
    assert 0.2 < mean("shared", 20, twenty, half) < 0.6
    assert abs(mean("shared", 20, twenty, lambda seed: turned(twenty(seed), seed))) < 0.1


@pytest.mark.slow
def test_containment_is_asymmetric():
    assert mean("containment_2_in_1", 20, twenty, ten) > 0.78
    assert mean("containment_1_in_2", 20, twenty, ten) < 0.72


@pytest.mark.slow
def test_reproducible_directions_are_at_least_but_never_more_than_those_planted():
    for seed in range(6):
        one, two = neurons(128, 128, range(12), 10.0, seed), neurons(128, 128, range(5), 10.0, 50 + seed)
        found = shared_variance(one, two)
        assert 10 <= found.reproducible_1 <= 12
        assert 4 <= found.reproducible_2 <= 5


@pytest.mark.slow
def test_nothing_learned_is_nothing_reproducible():
    found = [
        shared_variance(neurons(40, 60, (), 0, 2 * seed), neurons(40, 60, (), 0, 2 * seed + 1)).reproducible_1
        for seed in range(40)
    ]
    assert sum(number > 0 for number in found) <= 6
    assert max(found) <= 2


def test_curves_do_not_depend_on_rotation_scale_and_sign():
    one, two, turn = ten(0), half(1), haar_frame(96, 96, generator(0))
    found = shared_variance(one, two)
    moved = shared_variance((2 * one) @ turn, -two, turn)
    for name in ("shared", "forward", "backward", "containment_1_in_2", "containment_2_in_1"):
        assert torch.allclose(getattr(found, name), getattr(moved, name), atol=1e-8)
    assert found.ranks[0] == 1
    assert found.ranks[-1] == 32
    assert shared_variance(one, two).shared.tolist() == found.shared.tolist()
    assert shared_variance(one, two, seed=1).shared.tolist() != found.shared.tolist()


def test_different_widths_meet_in_the_narrower():
    frame = haar_frame(120, 96, generator(0))
    found = shared_variance(ten(0), twenty(1) @ frame.T, frame, ranks=[5])
    assert float(found.shared) == pytest.approx(float(shared_variance(ten(0), twenty(1), ranks=[5]).shared))


@pytest.mark.slow
def test_more_dimensions_than_neurons_and_fewer_read_alike():
    few = mean(
        "shared", 5, lambda s: neurons(20, 96, range(5), 30.0, s), lambda s: neurons(90, 96, range(5), 9.0, s)
    )
    many = mean(
        "shared", 5, lambda s: neurons(90, 20, range(5), 9.0, s), lambda s: neurons(90, 20, range(5), 9.0, s)
    )
    assert few == pytest.approx(1, abs=0.1)
    assert many == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranks": [0]}, r"ranks: got \[0\], expected 1 to 32"),
        ({"ranks": [33]}, r"ranks: got \[33\]"),
        ({"ranks": []}, r"ranks: got \[\]"),
        ({"splits": 0}, "0 splits, expected at least 4"),
    ],
)
def test_unusable_ranks_and_splits_are_named(options, message):
    with pytest.raises(InputError, match=message):
        shared_variance(ten(0), ten(1), **options)


def test_fewer_than_four_neurons_are_refused():
    with pytest.raises(InputError, match="got 3 and 64 neurons"):
        shared_variance(ten(0)[:3], ten(1))


@pytest.mark.slow
@pytest.mark.parametrize(("other", "rank"), [(twenty, 5), (twenty, 20), (half, 10), (weak, 20)])
def test_intervals_of_strength_hold_the_mean_over_draws(other, rank):
    """95 % asked; of 40 draws fewer than 33 hold it with probability .0006."""
    found = [shared_variance(twenty(2 * i), other(2 * i + 1), ranks=[rank]) for i in range(40)]
    mean = torch.stack([each.forward for each in found]).mean()
    low, high = torch.stack([each.forward_interval[0] for each in found]).unbind(1)
    assert int(((low <= mean) & (mean <= high)).sum()) >= 33
    assert float((high - low).mean()) < 1


def test_interval_of_strength_is_fiellers_over_scores_of_neurons():
    """The oracle writes one split out, for a rank, and searches the ends of the set."""
    one, other = twenty(1), ten(2)
    found = shared_variance(one, other, ranks=[4], splits=1, seed=3)
    units = [rows / rows.norm(dim=1, keepdim=True) for rows in (one, other)]
    order = torch.randperm(64, generator=torch.Generator().manual_seed(3))
    own, seen = torch.zeros(64, dtype=torch.float64), torch.zeros(64, dtype=torch.float64)
    for half, rest in ((order[:32], order[32:]), (order[32:], order[:32])):
        directions = torch.linalg.svd(units[0][half]).Vh[:4]
        own[rest] = (units[0][rest] @ directions.T).square().sum(1) - 4 / 96
        seen += ((units[1] @ directions.T).square().sum(1) - 4 / 96) / 2
    ratios = torch.linspace(-1, 3, 400_001, dtype=torch.float64)
    variance = seen.var() / 64 + ratios.square() * own.var() / 64
    inside = ratios[
        (seen.mean() - ratios * own.mean()).square() <= 1.9983405**2 * variance
    ]  # t of 63 degrees
    expected = torch.stack([inside.min(), inside.max()])
    torch.testing.assert_close(found.forward_interval[0], expected, atol=2e-5, rtol=0)


def test_nothing_learned_has_no_interval_of_strength():
    found = shared_variance(neurons(32, 96, [], 0.0, 1), twenty(2), ranks=[1])
    assert bool(found.forward_interval.isnan().all())
    assert bool(found.backward_interval.isfinite().all())


@pytest.mark.parametrize("slots", [96, 40])
def test_inner_products_of_neurons_give_what_their_directions_give(monkeypatch, slots):
    """The oracle writes every direction out, orthogonalized."""
    one, other = (neurons(64, slots, range(8), 9.0, seed) for seed in (1, 2))
    found = shared_variance(one, other)
    monkeypatch.setattr(module, "FLOOR", math.inf)  # no half is then thin enough for inner products alone
    expected = shared_variance(one, other)
    for name in ("forward", "backward", "shared", "containment_1_in_2", "containment_2_in_1"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-8, atol=1e-10)
    assert (found.reproducible_1, found.reproducible_2) == (expected.reproducible_1, expected.reproducible_2)


def test_neurons_that_copy_each_other_are_compared_by_their_directions():
    """Half of a half then spans nothing of its own: its inner products alone would divide by rounding."""
    one, other = (neurons(16, 96, range(8), 9.0, seed).repeat(4, 1) for seed in (1, 2))
    found = shared_variance(one, other)
    assert bool(found.forward[:4].isfinite().all())

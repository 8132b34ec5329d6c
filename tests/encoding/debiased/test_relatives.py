import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.debiased.coordinates import layer
from covalign.encoding.debiased.estimate import debiased_similarity
from covalign.encoding.debiased.interval import ratio_with_interval
from covalign.encoding.debiased.kernels import channel_features
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.relatives import counterparts
from covalign.encoding.debiased.statistics import paired

from ..planted import generator
from .planted import draw, haar_frame, power_law

SEEDS = st.integers(0, 10_000)


def reordered(rows, seed):
    return rows[torch.randperm(len(rows), generator=generator(seed))]


@given(seed=SEEDS)
def test_a_permuted_rescaled_rotated_copy_is_recognized_and_reads_one(seed):
    rows = draw(16, power_law(16, 30), seed)
    rotation = haar_frame(30, 30, generator(seed))
    scales = torch.randn(16, 1, generator=generator(seed), dtype=torch.float64)
    copy = reordered(scales * rows, seed) @ rotation.T
    found = debiased_similarity(rows, copy, rotation)
    assert (found.reason, found.matched) == (Reason.RELATED, 16)
    assert found.value == pytest.approx(1, abs=1e-8)
    assert found.low == pytest.approx(1, abs=1e-6)
    assert found.high == pytest.approx(1, abs=1e-6)
    assert found.cross == pytest.approx(found.within_1, rel=1e-10, abs=1e-14)


def test_a_copy_of_what_learned_nothing_is_still_a_copy():
    rows = draw(40, torch.ones(60), 0)
    found = debiased_similarity(rows, reordered(rows, 1))
    assert (found.value, found.reason) == (1.0, Reason.RELATED)


def test_averages_of_pairs_alone_read_one_for_a_copy():
    directions = layer(draw(20, power_law(20, 60), 0), "rows").blocks
    features = channel_features(directions)
    value, low, high, reason = ratio_with_interval(paired(features, features))
    assert (value, low, high) == pytest.approx((1, 1, 1), abs=1e-6)
    assert value == pytest.approx(1, abs=1e-12)
    assert reason is Reason.NONE


def test_without_leaving_out_pairs_a_copy_would_read_far_above_one():
    rows = draw(16, power_law(16, 160), 0)
    found = debiased_similarity(rows, reordered(rows, 1))
    assert found.value == pytest.approx(1, abs=1e-8)
    assert found.plug_in * found.within_1 < found.plug_in
    directions = rows / rows.norm(dim=1, keepdim=True)
    everything = ((directions @ directions.T).square() - 1 / 160).mean()
    assert float(everything) / found.within_1 > 3


@pytest.mark.parametrize("noise", [0.1, 0.5, 1.0])
def test_fine_tunes_are_related_in_whatever_order(noise):
    rows = draw(48, power_law(48, 240), 0)
    tuned = rows + noise * draw(48, torch.ones(240), 1)
    for other in (tuned, reordered(tuned, 2)):
        found = debiased_similarity(rows, other)
        assert (found.reason, found.matched) == (Reason.RELATED, 48)
        assert found.value == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_networks_of_one_initialization_are_related(share):
    start = draw(64, torch.ones(320), 0)
    first, second = (share * start + draw(64, power_law(64, 320), seed) for seed in (1, 2))
    found = debiased_similarity(first, second)
    assert (found.reason, found.matched) == (Reason.RELATED, 64)


def test_pairs_make_an_interval_that_covers():
    """Fine-tunes: each neuron moved on its own; U-statistics of pairs."""
    variances, covered, values = power_law(32, 160), [], []
    for seed in range(60):
        rows = draw(32, variances, 3 * seed)
        other = rows + 0.7 * draw(32, variances, 3 * seed + 1)
        found = debiased_similarity(rows, reordered(other, seed))
        assert found.reason is Reason.RELATED
        if not math.isnan(found.value):
            covered.append(found.low <= 1 <= found.high)
            values.append(found.value)
    assert sum(covered) / len(covered) >= 0.88
    assert sum(values) / len(values) == pytest.approx(1, abs=0.05)


def test_networks_related_in_part_have_a_value_but_no_interval():
    rows = draw(40, power_law(40, 200), 0)
    part = torch.cat([rows[:25], draw(15, power_law(40, 200), 1)])
    found = debiased_similarity(rows, reordered(part, 2))
    assert found.reason is Reason.RELATED
    assert 20 <= found.matched <= 27
    assert math.isnan(found.low)
    assert 0.6 < found.value < 1.5
    pruned = debiased_similarity(rows, rows[:30])
    assert (pruned.reason, pruned.matched) == (Reason.RELATED, 30)


@pytest.mark.parametrize("strength", [0.0, 8.0, 600.0])
@pytest.mark.parametrize(("n", "d"), [(8, 6), (32, 32), (32, 160)])
def test_independent_networks_are_not_related(n, d, strength):
    variances = power_law(n, d, 1.5, strength)
    for seed in range(25):
        one, two = (draw(n, variances, 2 * seed + k) for k in (0, 1))
        assert not len(counterparts(layer(one, "one"), layer(two, "two")))


def test_neurons_that_repel_or_copy_each_other_are_not_related_to_other_networks():
    for seed in range(10):
        one, two = (haar_frame(40, 32, generator(2 * seed + k)).T for k in (0, 1))
        assert not len(counterparts(layer(one, "one"), layer(two, "two")))
        one, two = (draw(16, power_law(16, 40), 2 * seed + k).repeat(2, 1) for k in (0, 1))
        assert not len(counterparts(layer(one, "one"), layer(two, "two")))


def test_dropped_rows_do_not_shift_the_order():
    rows = draw(20, power_law(20, 30), 0)
    other = rows + 0.1 * draw(20, torch.ones(30), 1)
    other[3] = 0
    rows[7] = 0
    found = counterparts(layer(rows, "rows"), layer(other, "other"))
    kept_1 = [i for i in range(20) if i != 7]
    kept_2 = [i for i in range(20) if i != 3]
    assert len(found) == 18
    assert all(kept_1[i] == kept_2[j] for i, j in found.tolist())

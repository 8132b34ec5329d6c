"""Every kind of layer has a kernel that does not count what all networks share without having learned it."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.debiased.channel_groups import grouped_similarity
from covalign.encoding.debiased.estimate import debiased_similarity
from covalign.encoding.debiased.gauge import gauge_folded
from covalign.encoding.debiased.kernels import channel_features, kernel
from covalign.encoding.debiased.last_layer import last_layer, matched_class_cosines
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.space import space_similarity
from covalign.encoding.debiased.stored import direction_moment, stored_similarity
from covalign.encoding.haar import haar_frame
from covalign.errors import InputError
from samples import pairs as reference
from samples.planted import draw, generator, power_law, turned

SEEDS = st.integers(0, 10_000)


def convolution(n, c, s, seed, spatial=None, exponent=1.5, strength=8.0):
    """Neurons whose channels have a power law and whose places share a smooth second moment."""
    rows = draw(n, power_law(n, c, exponent, strength).repeat_interleave(s), seed).reshape(n, c, s)
    root = torch.eye(s).double() if spatial is None else spatial
    return (rows @ root).flatten(1)


def smooth(s):
    places = torch.arange(s, dtype=torch.float64)
    return (-(places[:, None] - places).square() / 8).exp()


def turned_channels(rows, c, seed, rotation=None):
    rotation = haar_frame(c, c, generator(seed)) if rotation is None else rotation
    return (rotation @ rows.reshape(len(rows), c, -1)).flatten(1)


@pytest.mark.slow
@given(seed=SEEDS)
def test_joint_value_is_invariant_to_a_common_rotation_of_channels_and_of_places(seed):
    one, two = (convolution(10, 6, 4, 2 * seed + k, smooth(4)) for k in (0, 1))
    turn = haar_frame(6, 6, generator(seed))
    places = haar_frame(4, 4, generator(seed + 1))
    both = [(turned_channels(rows, 6, 0, turn).reshape(10, 6, 4) @ places).flatten(1) for rows in (one, two)]
    plain, moved = debiased_similarity(one, two, spatial=4), debiased_similarity(*both, spatial=4)
    aligned = debiased_similarity(turned_channels(one, 6, 0, turn.T), two, turn, spatial=4)
    for found in (moved, aligned):
        assert found.value == pytest.approx(plain.value, abs=1e-10, nan_ok=True)
        assert found.z == pytest.approx(plain.z, rel=1e-10)


def test_joint_kernel_is_that_of_the_whole_spatial_moments():
    one, two = (torch.randn(n, 3, 9, generator=generator(n), dtype=torch.float64) for n in (5, 6))
    moments = [(blocks.mT @ blocks).flatten(1) for blocks in (one, two)]
    expected = (one.flatten(1) @ two.flatten(1).T).square() - moments[0] @ moments[1].T / 3
    found = kernel(channel_features(one), channel_features(two))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-12)


@pytest.mark.slow
def test_joint_kernel_does_not_count_shared_space_and_the_plain_one_does():
    joint, plain = [], []
    for seed in range(40):
        one, two = (convolution(24, 8, 9, 2 * seed + k, smooth(9)) for k in (0, 1))
        two = turned_channels(two, 8, seed)
        joint.append(debiased_similarity(one, two, spatial=9))
        plain.append(debiased_similarity(one, two))
    z = torch.tensor([each.z for each in joint])
    assert abs(float(z.mean())) < 0.4
    assert float(z.std()) == pytest.approx(1, abs=0.3)
    assert min(each.z for each in plain) > 10
    assert sum(each.value for each in plain) / 40 > 0.5
    values = torch.tensor([each.value for each in joint])
    assert abs(float(values.nanmean())) < 0.1


def test_joint_value_of_equal_populations_is_one():
    found = [
        debiased_similarity(
            *(convolution(64, 12, 4, 2 * s + k, smooth(4), strength=16.0) for k in (0, 1)), spatial=4
        ).value
        for s in range(30)
    ]
    assert sum(found) / 30 == pytest.approx(1, abs=0.05)


def test_space_alone_agrees_whatever_the_channels_do():
    one, two = (convolution(60, 5, 9, k, smooth(9)) for k in (0, 1))
    found = space_similarity(one, turned_channels(two, 5, 0), 9)
    same = space_similarity(one, two, 9)
    assert found.value == pytest.approx(same.value, abs=1e-10)
    assert found.value == pytest.approx(1, abs=0.05)
    assert found.dimension == 9
    assert space_similarity(one, convolution(60, 7, 9, 3, smooth(9)), 9).value > 0.9
    assert space_similarity(one, two, 1).reason is Reason.NO_CHANNELS
    assert space_similarity(torch.zeros(4, 9), one[:, :9], 9).reason is Reason.TOO_FEW_NEURONS


def slot_noise(n, c, seed):
    """Nothing learned, but slots of different strength, the same in all networks."""
    return (draw(n, torch.ones(c * 2), seed).reshape(n, c, 2) * torch.tensor([0.6, 1.4])).flatten(1)


@pytest.mark.slow
def test_slot_kernel_does_not_count_shared_slot_strengths_and_the_plain_one_does():
    kept, plain = [], []
    for seed in range(40):
        one, two = slot_noise(32, 24, 2 * seed), slot_noise(32, 24, 2 * seed + 1)
        kept.append(debiased_similarity(one, two, slots=2))
        plain.append(debiased_similarity(one, two))
    z = torch.tensor([each.z for each in kept])
    assert abs(float(z.mean())) < 0.4
    assert float(z.std()) == pytest.approx(1, abs=0.3)
    assert min(each.z for each in plain) > 4
    assert sum(each.reason is Reason.TOO_LITTLE_LEARNED for each in kept) > 20
    assert not any(each.reason is Reason.TOO_LITTLE_LEARNED for each in plain)


def test_slots_may_be_turned_each_by_its_own_rotation():
    one, two = (convolution(40, 6, 3, k, strength=40.0) for k in (0, 1))
    turns = torch.stack([haar_frame(6, 6, generator(slot)) for slot in range(3)])
    whole = torch.zeros(6, 3, 6, 3, dtype=torch.float64)
    for slot in range(3):
        whole[:, slot, :, slot] = turns[slot]
    whole = whole.reshape(18, 18)
    plain = debiased_similarity(one, two, slots=3)
    found = debiased_similarity(one @ whole, two, whole, slots=3)
    assert found.value == pytest.approx(plain.value, abs=1e-10)
    assert found.z == pytest.approx(plain.z, rel=1e-10)
    channels = debiased_similarity(turned_channels(one, 6, 0, turns[0].T), two, turns[0], slots=3)
    assert channels.value == pytest.approx(plain.value, abs=1e-10)
    with pytest.raises(InputError, match="of it mixes slots, expected one that keeps them"):
        debiased_similarity(one, two, haar_frame(18, 18, generator(9)), slots=3)


@pytest.mark.slow
@given(seed=SEEDS)
def test_functionally_equal_networks_read_the_same_once_the_gauge_is_folded(seed):
    """Neurons of the previous layer rescaled, this layer's columns rescaled back."""
    one, two = (draw(14, power_law(14, 10, 1.5), 2 * seed + k) for k in (0, 1))
    rms_1, rms_2, gain = (torch.rand(10, generator=generator(seed + k)).double() + 0.5 for k in (0, 1, 2))
    plain = debiased_similarity(one, two, input_scales=(rms_1, rms_2))
    rescaled = debiased_similarity(one / gain, two, input_scales=(rms_1 * gain, rms_2))
    assert rescaled.value == pytest.approx(plain.value, abs=1e-10, nan_ok=True)
    assert rescaled.z == pytest.approx(plain.z, rel=1e-10)
    assert debiased_similarity(one / gain, two).cross != pytest.approx(debiased_similarity(one, two).cross)


def test_folded_kernel_leaves_out_what_is_diagonal_in_the_channels_of_either_network():
    one, two = (draw(6, power_law(6, 5), k) for k in (0, 1))
    rms_1, rms_2 = (torch.rand(5, generator=generator(k)).double() + 0.5 for k in (0, 1))
    rotation = haar_frame(5, 5, generator(3))
    axes = [*torch.eye(5).double(), *rotation]
    shapes = [torch.outer(axis, axis) for axis in axes]
    rows = reference.unit(one * rms_1), reference.unit((two * rms_2) @ rotation)
    k = reference.gram(*[[reference.without(w, shapes) for w in each] for each in rows])
    found = debiased_similarity(one, two, rotation, input_scales=(rms_1, rms_2))
    assert found.cross == pytest.approx(float(k.mean()), abs=1e-11)
    back = debiased_similarity(two, one, rotation.T.contiguous(), input_scales=(rms_2, rms_1))
    assert back.cross == pytest.approx(found.cross, abs=1e-11)


def test_folded_layers_of_different_widths_leave_out_the_axes_of_both():
    one, two = draw(6, power_law(6, 7), 0), draw(7, power_law(6, 9), 1)
    rms_1, rms_2 = (torch.rand(d, generator=generator(d)).double() + 0.5 for d in (7, 9))
    frame = haar_frame(9, 7, generator(3))
    shapes = [torch.outer(axis, axis) for axis in (*torch.eye(7).double(), *frame)]
    rows = reference.unit(one * rms_1), reference.unit((two * rms_2) @ frame)
    k = reference.gram(*[[reference.without(w, shapes) for w in each] for each in rows])
    found = debiased_similarity(one, two, frame, input_scales=(rms_1, rms_2))
    assert found.cross == pytest.approx(float(k.mean()), abs=1e-11)
    assert math.isnan(found.coverage)
    few = debiased_similarity(one[:, :3], two[:, :3], torch.eye(3), input_scales=(rms_1[:3], rms_2[:3]))
    assert few.reason is Reason.NO_CHANNELS


@pytest.mark.parametrize("spatial", [1, 4])
def test_folding_noise_leaves_nothing_to_agree_on(spatial):
    """Nothing learned, unequal scales: the folded noise alone agrees, the kernel does not count it."""
    scales = (0.5 * torch.randn(24, generator=generator(0), dtype=torch.float64)).exp()
    kept, counted = [], []
    for seed in range(30):
        one, two = (draw(40, torch.ones(24 * spatial), 2 * seed + k) for k in (0, 1))
        kept.append(debiased_similarity(one, two, input_scales=(scales, scales), spatial=spatial).z)
        folded = [gauge_folded(rows, scales, spatial) for rows in (one, two)]
        counted.append(debiased_similarity(*folded, spatial=spatial).z)
    assert abs(sum(kept) / 30) < 0.7
    assert sum(counted) / 30 > 5


def test_networks_of_different_gauges_with_noise_that_was_isotropic_in_each_agree_fully():
    """The same function of the folded inputs, learned in two gauges: folding alone does not suffice."""
    turn, learned = haar_frame(40, 40, generator(0)), power_law(80, 40, 1.0, 12) - 1
    learned = turn @ learned.diag() @ turn.T
    kept, counted = [], []
    for seed in range(12):
        folded, scales = [], []
        for k in (0, 1):
            rms = (0.5 * torch.randn(40, generator=generator(2 * seed + k), dtype=torch.float64)).exp()
            factor = torch.linalg.cholesky(learned + rms.square().diag())
            folded.append(draw(80, torch.ones(40), 2 * seed + k) @ factor.T)
            scales.append(rms)
        raw = [rows / rms for rows, rms in zip(folded, scales, strict=True)]
        kept.append(debiased_similarity(*raw, input_scales=tuple(scales)).value)
        counted.append(debiased_similarity(*folded).value)
    assert sum(kept) / 12 == pytest.approx(1, abs=0.06)
    assert sum(counted) / 12 < 0.9


def test_scales_must_fit():
    with pytest.raises(InputError, match="input_scales: got 3 for 10 columns of 1 places"):
        gauge_folded(torch.ones(2, 10), torch.ones(3))
    with pytest.raises(InputError, match="input_scales: got -1, expected root-mean-squares"):
        gauge_folded(torch.ones(2, 3), -torch.ones(3))


def embedded(rows, wide, seed):
    """Rows in the first coordinates of a wider space, turned; and the alignment that leads there."""
    frame = haar_frame(wide, rows.shape[1], generator(seed))
    return rows @ frame.T, frame


@pytest.mark.slow
@given(seed=SEEDS)
def test_a_subnetwork_reads_inside_as_in_its_own_coordinates_and_is_covered(seed):
    one, two = (draw(12, power_law(12, 8, 1.5), 2 * seed + k) for k in (0, 1))
    wide, frame = embedded(two, 13, seed)
    plain, found = debiased_similarity(one, two), debiased_similarity(one, wide, frame)
    assert found.value == pytest.approx(plain.value, abs=1e-10, nan_ok=True)
    assert found.dimension == 8
    assert found.coverage >= 0 or math.isnan(found.coverage)
    back = debiased_similarity(wide, one, frame.T.contiguous())
    assert back.value == pytest.approx(plain.value, abs=1e-10, nan_ok=True)
    assert back.coverage == pytest.approx(found.coverage, rel=1e-10, nan_ok=True)


def test_coverage_tells_how_much_was_learned_inside():
    """A wider network that learned inside the narrow one's range, outside it, or in both."""
    found = {}
    for name, inside, outside in (("inside", 8.0, 1.0), ("outside", 1.0, 8.0)):
        values = []
        for seed in range(10):
            variances = torch.cat([torch.ones(20), torch.ones(20)]).double()
            variances[:4], variances[20:24] = inside, outside
            wide, frame = draw(60, variances, 2 * seed), torch.eye(40).double()[:, :20]
            values.append(debiased_similarity(draw(60, variances[:20], 2 * seed + 1), wide, frame).coverage)
        found[name] = sum(value for value in values if not math.isnan(value)) / len(values)
    assert found["inside"] > 0.9
    assert found["outside"] < 0.3


def test_joint_layers_of_different_widths_meet_in_the_narrower():
    one, two = (convolution(16, 5, 4, k) for k in (0, 1))
    frame = haar_frame(9, 5, generator(0))
    wide = (frame @ two.reshape(16, 5, 4)).flatten(1)
    found, plain = debiased_similarity(one, wide, frame, spatial=4), debiased_similarity(one, two, spatial=4)
    assert found.value == pytest.approx(plain.value, abs=1e-10)
    assert found.dimension == 20


def test_neurons_outside_the_range_of_the_alignment_are_dropped():
    one, wide = draw(10, torch.ones(4), 0), torch.cat([torch.eye(8).double(), draw(8, torch.ones(8), 1)])
    found = debiased_similarity(one, wide, torch.eye(8).double()[:, :4])
    assert (found.neurons_2, found.dropped) == (12, 4)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 5])
def test_one_dominating_direction_cannot_pass_for_agreement_once_it_is_removed(count):
    kept, left = [], []
    for seed in range(30):
        variances = power_law(64, 96, 0.7, 12)
        one, two = draw(64, variances, 2 * seed), turned(draw(64, variances, 2 * seed + 1), seed)
        for k, rows in enumerate((one, two)):
            rows[:, 0] = draw(64, torch.full((1,), 600.0), 900 + 2 * seed + k)[:, 0]
        kept.append(debiased_similarity(one, two).value)
        found = debiased_similarity(one, two, remove_top=count)
        left.append((found.cross, found.within_1, found.within_2))
    cross, first, second = torch.tensor(left).mean(0).tolist()
    assert sum(kept) / 30 > 0.9
    assert abs(cross / math.sqrt(first * second)) < 0.15


def test_removing_a_common_direction_leaves_noise_unrelated():
    """What a fitted direction does to all neurons is taken out of their inner products: U of noise stays at zero."""
    found = []
    for seed in range(120):
        rows = [draw(20, torch.ones(40), 2 * seed + k) for k in (0, 1)]
        for k, each in enumerate(rows):
            each[:, 0] = draw(20, torch.full((1,), 900.0), 5000 + 2 * seed + k)[:, 0]
        each = debiased_similarity(*rows, remove_top=1)
        assert math.isnan(each.z)
        found.append((each.cross, each.within_1, each.within_2))
    means, errors = torch.tensor(found).mean(0), torch.tensor(found).std(0) / 120**0.5
    assert bool((means.abs() < 3 * errors).all())
    assert float(means.abs().max()) < (1 / 20) ** 2 / 4


def test_removing_directions_keeps_agreement_and_invariance():
    one, two = (draw(60, power_law(60, 60, 0.7, 12), k) for k in (0, 1))
    rotation = haar_frame(60, 60, generator(0))
    found = debiased_similarity(one, two, remove_top=3)
    moved = debiased_similarity(one @ rotation, two @ rotation, remove_top=3)
    assert found.dimension == 57
    assert moved.value == pytest.approx(found.value, abs=1e-10)
    assert found.low < 1 < found.high


def test_removing_leaves_channels_and_places():
    one, two = (convolution(40, 8, 4, k, smooth(4)) for k in (0, 1))
    found = debiased_similarity(one, two, spatial=4, remove_top=2)
    assert found.dimension == 24
    scaled = debiased_similarity(
        one, two, spatial=4, remove_top=2, input_scales=(torch.ones(8), torch.ones(8))
    )
    assert scaled.dimension == 24
    assert 0 < scaled.cross < found.cross


def test_groups_are_averaged_before_the_ratio():
    one = [draw(30, power_law(30, 12, 1.5, 20), seed) for seed in range(3)]
    two = [draw(30, power_law(30, 12, 1.5, 20), seed) for seed in range(10, 13)]
    alone = [debiased_similarity(a, b) for a, b in zip(one, two, strict=True)]
    found = grouped_similarity(one, two)
    assert found.cross == pytest.approx(sum(each.cross for each in alone) / 3)
    assert found.within_1 == pytest.approx(sum(each.within_1 for each in alone) / 3)
    assert (found.neurons_1, found.dimension) == (90, 12)
    assert found.high - found.low < max(each.high - each.low for each in alone)
    turns = [haar_frame(12, 12, generator(seed)) for seed in range(3)]
    carried = grouped_similarity([a @ turn for a, turn in zip(one, turns, strict=True)], two, turns)
    assert carried.value == pytest.approx(found.value, abs=1e-10)
    single = grouped_similarity(one[:1], two[:1])
    assert (single.value, single.z, single.p_value) == pytest.approx(
        (alone[0].value, alone[0].z, alone[0].p_value)
    )


def test_depthwise_groups_have_no_value():
    found = grouped_similarity([torch.ones(4, 9)] * 2, [torch.ones(4, 9)] * 2, spatial=9)
    assert found.reason is Reason.NO_CHANNELS
    with pytest.raises(InputError, match="groups: got 2 and 1 groups"):
        grouped_similarity([torch.ones(4, 9)] * 2, [torch.ones(4, 9)])


def test_the_last_layer_has_cosines_of_classes_and_no_value():
    rows = draw(10, torch.ones(20), 0)
    rotation = haar_frame(20, 20, generator(0))
    shift = draw(1, torch.ones(20), 1)
    cosines = matched_class_cosines(rows, 3 * (rows + shift) @ rotation.T, rotation)
    assert torch.allclose(cosines, torch.ones(10).double())
    assert float(matched_class_cosines(rows, draw(10, torch.ones(20), 2)).abs().max()) < 0.8
    assert last_layer(rows, rows).reason is Reason.LAST_LAYER
    assert math.isnan(last_layer(rows, rows).value)
    assert bool(matched_class_cosines(torch.ones(3, 2), torch.ones(3, 2)).isnan().all())
    with pytest.raises(InputError, match="classes: got 10 and 9"):
        matched_class_cosines(rows, rows[:9])


@pytest.mark.slow
@given(seed=SEEDS)
def test_second_moments_alone_give_the_same_averages_and_test(seed):
    one, two = (draw(9, power_law(9, 12, 1.5), 2 * seed + k) for k in (0, 1))
    rotation = haar_frame(12, 12, generator(seed))
    rows = debiased_similarity(one @ rotation, two, rotation)
    found = stored_similarity(direction_moment(one @ rotation), direction_moment(two), rotation)
    for field in ("cross", "within_1", "within_2", "z", "p_value", "plug_in"):
        assert getattr(found, field) == pytest.approx(getattr(rows, field), rel=1e-9, abs=1e-12)
    assert math.isnan(found.low)
    assert found.reason in (Reason.NO_INTERVAL, Reason.TOO_LITTLE_LEARNED)


def test_second_moments_of_different_dimensions_are_refused():
    with pytest.raises(InputError, match="second moments of dimensions 3 and 4"):
        stored_similarity(direction_moment(torch.eye(3)), direction_moment(torch.eye(4)))
    with pytest.raises(InputError, match="got zero rows only"):
        direction_moment(torch.zeros(2, 3))
    one = direction_moment(torch.ones(1, 3))
    assert stored_similarity(one, one).reason is Reason.TOO_FEW_NEURONS

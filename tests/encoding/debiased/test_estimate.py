import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.debiased.estimate import DebiasedSimilarity, debiased_similarity
from covalign.encoding.debiased.reasons import SENTENCES, Reason
from covalign.encoding.haar import haar_frame
from covalign.errors import InputError
from samples import pairs as reference
from samples.planted import draw, generator, power_law, turned
from samples.populations import similarity

SEEDS = st.integers(0, 10_000)
FIELDS = ("value", "low", "high", "z", "cross", "within_1", "within_2", "plug_in", "coverage")


def layers(seed, n1=12, n2=14, d=20):
    variances = power_law(12, d, 1.5)
    return draw(n1, variances, 2 * seed), draw(n2, variances, 2 * seed + 1)


def same(found, other, tolerance=1e-10):
    for field in FIELDS:
        one, two = getattr(found, field), getattr(other, field)
        assert two == pytest.approx(one, abs=tolerance, rel=tolerance, nan_ok=True), field
    assert found.reason is other.reason


def shuffled(rows, seed):
    return rows[torch.randperm(len(rows), generator=generator(seed))]


@pytest.mark.slow
def test_ratio_of_averages_is_the_cosine_of_population_moments():
    """Disattenuation: R of samples, averaged as a ratio of means, is the cosine without noise."""
    one, two = power_law(16, 40, 1.0), power_law(16, 40, 0.7).flip(0).roll(20)
    found = [debiased_similarity(draw(16, one, s), draw(16, two, 999 + s)) for s in range(250)]
    cross, first, second = (
        sum(getattr(each, name) for each in found) for name in ("cross", "within_1", "within_2")
    )
    assert cross / math.sqrt(first * second) == pytest.approx(similarity(one, two), abs=0.05)
    assert abs(sum(each.plug_in for each in found) / 250) < 0.5 * abs(similarity(one, two)) + 0.02


@pytest.mark.slow
def test_value_is_unbiased_for_equal_populations_where_the_plain_ratio_is_not():
    variances = power_law(32, 160)
    found = [
        debiased_similarity(draw(32, variances, 2 * s), draw(32, variances, 2 * s + 1)) for s in range(150)
    ]
    values = torch.tensor([each.value for each in found])
    plain = torch.tensor([each.cross / math.sqrt(each.within_1 * each.within_2) for each in found])
    assert float(values.nanmean()) == pytest.approx(1, abs=0.03)
    assert float(plain.nanmean()) > float(values.nanmean())
    covered = [each.low <= 1 <= each.high for each in found if not math.isnan(each.low)]
    assert sum(covered) / len(covered) > 0.9


@pytest.mark.slow
@given(seed=SEEDS)
def test_value_does_not_depend_on_a_common_rotation(seed):
    one, two = layers(seed)
    rotation = haar_frame(20, 20, generator(seed))
    same(debiased_similarity(one, two), debiased_similarity(one @ rotation, two @ rotation))


@pytest.mark.slow
@given(seed=SEEDS)
def test_alignment_is_undone(seed):
    one, two = layers(seed)
    rotation = haar_frame(20, 20, generator(seed))
    same(debiased_similarity(one, two), debiased_similarity(one @ rotation, two, rotation))


@pytest.mark.slow
@given(seed=SEEDS, power=st.floats(-30, 30))
def test_value_does_not_depend_on_scale_sign_and_order_of_neurons(seed, power):
    one, two = layers(seed)
    scales = torch.randn(12, 1, generator=generator(seed), dtype=torch.float64) * 10**power
    same(
        debiased_similarity(one, two), debiased_similarity(shuffled(one * scales, seed), shuffled(two, seed))
    )


@given(seed=SEEDS)
def test_exchanging_the_networks_exchanges_their_averages(seed):
    one, two = layers(seed)
    forth, back = debiased_similarity(one, two), debiased_similarity(two, one)
    assert back.value == pytest.approx(forth.value, abs=1e-10, nan_ok=True)
    assert (back.within_1, back.within_2) == pytest.approx((forth.within_2, forth.within_1), abs=1e-12)


@given(seed=SEEDS)
def test_raw_rows_depend_on_length_but_not_on_a_common_scale(seed):
    one, two = layers(seed)
    raw = debiased_similarity(one, two, unit_length=False)
    scaled = debiased_similarity(3 * one, 0.2 * two, unit_length=False)
    assert scaled.value == pytest.approx(raw.value, abs=1e-10, nan_ok=True)
    assert scaled.z == pytest.approx(raw.z, rel=1e-10)
    one[0] *= 10
    assert debiased_similarity(one, two, unit_length=False).cross != pytest.approx(raw.cross, rel=0.01)


def test_raw_averages_agree_with_loops():
    one, two = layers(3, 6, 5, 8)
    k = reference.gram(*[[reference.plain(w) for w in rows] for rows in (one, two)])
    assert debiased_similarity(one, two, unit_length=False).cross == pytest.approx(float(k.mean()))


def test_noise_in_all_directions_changes_the_average_but_not_the_ratio():
    variances = power_law(128, 128)
    more = variances + 1
    assert similarity(variances, more) > 0.99
    found = [debiased_similarity(draw(64, variances, s), draw(64, more, 50 + s)).value for s in range(30)]
    assert sum(found) / 30 == pytest.approx(1, abs=0.06)


def test_unrelated_populations_are_at_zero_and_those_that_avoid_each_other_below():
    low, high = torch.ones(40).double(), torch.ones(40).double()
    low[:20], high[20:] = 6, 6
    avoiding = [debiased_similarity(draw(40, low, s), draw(40, high, 50 + s)).value for s in range(5)]
    assert sum(avoiding) / 5 == pytest.approx(-1, abs=0.1)
    unrelated = [
        debiased_similarity(draw(40, low, s), turned(draw(40, low, 50 + s), s)).value for s in range(20)
    ]
    assert abs(sum(unrelated) / 20) < 0.05


def test_nothing_learned_has_no_value_but_a_test():
    found = debiased_similarity(draw(40, torch.ones(60), 0), draw(40, torch.ones(60), 1))
    assert found.reason is Reason.TOO_LITTLE_LEARNED
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert 0.001 < found.p_value < 0.999


def test_orthogonal_neurons_read_above_one_and_carry_the_reason_repelling():
    """The known miss: what repels within a layer is missing in the denominator."""
    variances = power_law(32, 64, 0.7, 6)
    values, reasons = [], set()
    for seed in range(6):
        one, two = (torch.linalg.qr(draw(32, variances, 2 * seed + k).T).Q.T for k in (0, 1))
        found = debiased_similarity(one, two)
        values.append(found.value)
        reasons.add(found.reason)
    given = [value for value in values if not math.isnan(value)]
    assert not given or min(given) > 1.1
    assert reasons <= {Reason.REPELLING, Reason.TOO_LITTLE_LEARNED, Reason.NONE}


def test_an_interval_above_one_says_repelling_and_is_not_clipped():
    variances = torch.ones(24).double()
    variances[:8] = 5
    frame = torch.linalg.qr(draw(24, torch.ones(24), 0)).Q
    rows = [torch.cat([torch.linalg.qr(draw(8, torch.ones(8), s)).Q, 0.3 * frame[8:16, :8]]) for s in (1, 2)]
    padded = [torch.cat([r, 0.2 * draw(16, torch.ones(16), s)], 1) for s, r in enumerate(rows)]
    found = debiased_similarity(*padded)
    if found.low > 1:
        assert found.reason is Reason.REPELLING
    assert found.plug_in <= 1


def test_duplicated_neurons_read_too_low():
    """The known miss of the other sign: pairs of equal neurons count as something in common."""
    variances, found = power_law(32, 160), []
    for seed in range(12):
        one, two = (draw(32, variances, 2 * seed + k) for k in (0, 1))
        one[16:] = one[:16]
        two[16:] = two[:16]
        found.append(debiased_similarity(one, two).value)
    assert sum(found) / len(found) < 0.9


def test_zero_rows_are_dropped_and_counted():
    one, two = layers(0, 20, 20)
    full = debiased_similarity(one, two)
    padded = debiased_similarity(torch.cat([one, torch.zeros(2, 20)]), two)
    assert (padded.dropped, padded.neurons_1, padded.reason) == (2, 20, Reason.ZERO_ROWS)
    assert padded.value == full.value
    assert debiased_similarity(torch.zeros(4, 20), two).reason is Reason.TOO_FEW_NEURONS


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_neurons_have_a_test_but_no_value(n):
    one, two = layers(0, n)
    found = debiased_similarity(one, two)
    assert found.reason is Reason.TOO_FEW_NEURONS
    assert math.isnan(found.value)
    assert not math.isnan(found.z)


def test_one_input_has_no_direction():
    found = debiased_similarity(draw(9, torch.ones(1), 0), draw(9, torch.ones(1), 1))
    assert found.reason is Reason.NO_CHANNELS
    assert math.isnan(found.z)
    assert debiased_similarity(*layers(0), spatial=20).reason is Reason.NO_CHANNELS


def test_four_identical_neurons_are_one_direction():
    found = debiased_similarity(torch.ones(4, 6), torch.ones(5, 6))
    assert found.value == pytest.approx(1)
    assert found.low == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((torch.full((4, 6), torch.nan), torch.ones(4, 6)), {}, "rows_1: 24 of 24 values are not finite"),
        ((torch.ones(4, 6), torch.full((4, 6), torch.inf)), {}, "rows_2: 24 of 24 values are not finite"),
        ((torch.ones(0, 6), torch.ones(4, 6)), {}, "rows_1: got an empty array"),
        ((torch.ones(6), torch.ones(4, 6)), {}, r"rows_1: got shape \(6,\), expected \[n, d\]"),
        ((torch.ones(4, 6), torch.ones(4, 7)), {}, r"need a rotation \[7, 6\]; align their inputs"),
        ((torch.ones(4, 6), torch.ones(4, 6), torch.ones(6, 5)), {}, r"rotation: got shape \(6, 5\)"),
        ((torch.ones(4, 6), torch.ones(4, 6), torch.ones(6, 6)), {}, "expected orthonormal columns"),
        ((torch.ones(4, 6), torch.ones(4, 6)), {"spatial": 4}, "got 6 columns for 4 places"),
        ((torch.ones(4, 6), torch.ones(4, 6)), {"spatial": 0}, "expected 1 or more"),
        ((torch.ones(4, 6), torch.ones(4, 6)), {"slots": 2, "spatial": 3}, "expected slots alone"),
        ((torch.ones(4, 6), torch.ones(4, 6)), {"remove_top": 5}, "remove_top: got 5 of 6 channels"),
        ((torch.ones(4, 6), torch.ones(4, 6)), {"remove_top": -1}, "remove_top: got -1"),
    ],
)
def test_unusable_input_is_named_in_one_line(arguments, options, message):
    with pytest.raises(InputError, match=message) as caught:
        debiased_similarity(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_fields_have_the_names_that_outside_checks_call():
    names = list(DebiasedSimilarity.__dataclass_fields__)
    assert names[:6] == ["value", "low", "high", "z", "p_value", "reason"]
    assert names[6:11] == ["cross", "within_1", "within_2", "plug_in", "coverage"]
    assert names[11:] == ["neurons_1", "neurons_2", "dimension", "dropped", "matched"]


def test_every_reason_has_a_sentence_and_only_none_is_empty():
    assert set(SENTENCES) == set(Reason)
    assert all(bool(reason) == bool(reason.sentence) for reason in Reason)
    assert Reason("related") is Reason.RELATED

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.debiased.estimate import debiased_similarity
from covalign.encoding.debiased.groups import group_similarity, neuron_independence
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.haar import haar_frame
from covalign.errors import InputError
from samples import pairs as reference
from samples.planted import draw, generator, power_law


def averages(first, second):
    """U_12 of all pairs of networks."""
    return torch.tensor([[debiased_similarity(a, b).cross for b in second] for a in first])


def condition(count, variances, seed, n=24):
    return [draw(n, variances, 100 * seed + k) for k in range(count)]


def matrix(seed, rows, columns, level=1.0, spread=0.2):
    noise = torch.randn(rows, columns, generator=generator(seed), dtype=torch.float64)
    return level + spread * noise


def test_a_condition_with_itself_is_one():
    within = matrix(0, 4, 4)
    within = within + within.T
    cross = within.clone().fill_diagonal_(torch.nan)
    assert group_similarity(cross, within, within).value == pytest.approx(1, abs=1e-12)


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10))
def test_quotient_is_symmetric_and_free_of_scale(seed, scale):
    cross, first, second = matrix(seed, 3, 4), matrix(seed + 1, 3, 3), matrix(seed + 2, 4, 4)
    first, second = first + first.T, second + second.T
    found = group_similarity(cross, first, second)
    back = group_similarity(cross.T, second, first)
    assert (back.value, back.low, back.high) == pytest.approx((found.value, found.low, found.high))
    assert (found.seeds_a, found.seeds_b) == (back.seeds_b, back.seeds_a) == (3, 4)
    scaled = group_similarity(scale * cross, scale**2 * first, second)
    assert (scaled.value, scaled.high) == pytest.approx((found.value, found.high))


def test_interval_is_the_jackknife_over_seeds():
    cross, first, second = matrix(0, 4, 3), matrix(1, 4, 4), matrix(2, 3, 3)

    def quotient(rows, columns):
        inside = [first[i, j] for i in rows for j in rows if i != j]
        other = [second[i, j] for i in columns for j in columns if i != j]
        between = [cross[i, j] for i in rows for j in columns]
        means = [float(sum(each) / len(each)) for each in (between, inside, other)]
        return means[0] / math.sqrt(means[1] * means[2])

    found = group_similarity(cross, first, second)
    rows, columns = range(4), range(3)
    left = [(quotient([i for i in rows if i != k], columns),) for k in rows]
    right = [(quotient(rows, [j for j in columns if j != k]),) for k in columns]
    variance = float(reference.scatter(left) + reference.scatter(right))
    assert found.value == pytest.approx(quotient(rows, columns))
    assert found.high - found.value == pytest.approx(2.570582 * math.sqrt(variance), rel=1e-5)


def test_pairs_that_share_initial_weights_are_left_out():
    cross = matrix(0, 3, 3)
    spoiled = cross + 100 * torch.eye(3)
    left_out = cross.clone().fill_diagonal_(torch.nan)
    within = torch.ones(3, 3)
    found = group_similarity(spoiled.fill_diagonal_(torch.nan), within, within)
    assert found == group_similarity(left_out, within, within)
    assert found.seeds_a == 3
    alone = group_similarity(torch.full((3, 3), torch.nan), within, within)
    assert (alone.reason, alone.seeds_a) == (Reason.NO_PAIRS, 0)


def test_fewer_than_three_seeds_have_a_value_without_interval():
    found = group_similarity(torch.ones(2, 3), torch.ones(2, 2), torch.ones(3, 3))
    assert (found.value, found.reason) == (1.0, Reason.TOO_FEW_SEEDS)
    assert math.isnan(found.low)
    one = group_similarity(torch.ones(1, 3), torch.ones(1, 1), torch.ones(3, 3))
    assert one.reason is Reason.NO_PAIRS
    assert math.isnan(one.value)


def test_what_seeds_do_not_share_cannot_be_compared():
    found = group_similarity(torch.ones(3, 3), -torch.ones(3, 3), torch.ones(3, 3))
    assert (found.reason, math.isnan(found.value)) == (Reason.TOO_LITTLE_LEARNED, True)
    few = torch.tensor([[0.0, 1, -0.4], [1, 0, -0.4], [-0.4, -0.4, 0]])
    assert group_similarity(torch.ones(3, 3), few, torch.ones(3, 3)).reason is Reason.TOO_LITTLE_LEARNED


@pytest.mark.slow
def test_seeds_of_one_population_read_one_even_where_their_neurons_repel_each_other():
    """Neurons made orthogonal: R of a pair is biased, Q over seeds is not."""
    variances = torch.cat([torch.full((8,), 12.0), torch.ones(40)]).double()

    def repelling(seed):
        left, _, right = torch.linalg.svd(draw(24, variances, seed), full_matrices=False)
        return left @ right

    first, second = ([repelling(100 * s + k) for k in range(4)] for s in (1, 2))
    found = group_similarity(averages(first, second), averages(first, first), averages(second, second))
    assert found.low < 1 < found.high
    assert found.value == pytest.approx(1, abs=0.15)
    own = torch.tensor([debiased_similarity(a, first[0]).within_1 for a in first])
    within = averages(first, first)
    assert neuron_independence(within, own) > 1.15 or bool(own.mean() <= 0)


@pytest.mark.slow
def test_conditions_that_share_half_of_what_they_learn_lie_between():
    one, two = power_law(24, 48, 1.0, 12), power_law(24, 48, 1.0, 12)
    second = one.clone()
    second[1::2] = two[1::2].roll(5)
    a, b = condition(4, one, 1), condition(4, second, 2)
    found = group_similarity(averages(a, b), averages(a, a), averages(b, b))
    turned = [rows @ haar_frame(48, 48, generator(7)) for rows in b]
    apart = group_similarity(averages(a, turned), averages(a, a), averages(turned, turned))
    assert 0.3 < found.value < 1.05
    assert abs(apart.value) < 0.2


@pytest.mark.slow
def test_independence_of_neurons_is_one_where_they_are_independent():
    networks = condition(6, power_law(24, 48, 1.0, 12), 3)
    own = torch.tensor([debiased_similarity(a, networks[0]).within_1 for a in networks])
    assert neuron_independence(averages(networks, networks), own) == pytest.approx(1, abs=0.15)
    copied = [torch.cat([rows[:12], rows[:12]]) for rows in networks]
    own = torch.tensor([debiased_similarity(a, networks[0]).within_1 for a in copied])
    assert neuron_independence(averages(copied, copied), own) < 0.9
    assert math.isnan(neuron_independence(torch.ones(1, 1), torch.ones(1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(3, 2), torch.ones(3, 3), torch.ones(3, 3)), r"got shapes \(3, 2\), \(3, 3\), \(3, 3\)"),
        ((torch.ones(3, 2), torch.ones(3, 2), torch.ones(2, 2)), "expected .ma, mb., .ma, ma., .mb, mb."),
        ((torch.ones(3), torch.ones(3, 3), torch.ones(3, 3)), "cross: got shape .3,., expected 2 axes"),
        ((torch.ones(0, 0), torch.ones(3, 3), torch.ones(3, 3)), "cross: got shape .0, 0."),
        ((torch.ones(1, 1) / 0, torch.ones(1, 1), torch.ones(1, 1)), "entries finite or NaN"),
        (([["no"]], torch.ones(1, 1), torch.ones(1, 1)), "cross: got list, expected an array"),
    ],
)
def test_unusable_averages_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        group_similarity(*arguments)


def test_independence_needs_one_average_a_network():
    with pytest.raises(InputError, match=r"within: got shape \(3, 3\) for 2 networks"):
        neuron_independence(torch.ones(3, 3), torch.ones(2))

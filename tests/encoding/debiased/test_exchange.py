import itertools
import math

import pytest
import torch

from covalign.encoding.debiased.exchange import exchange_test, separations
from covalign.errors import InputError
from samples.conditions import learned

SIDES = (0,) * 5 + (1,) * 5


def agreements(templates, noise, generator):
    vectors = learned(templates, noise, generator)
    return vectors @ vectors.T


def null(seed: int, size: int = 10, noise: float = 1.0):
    """Networks of one condition, whatever their labels; each has a part of its own in all of its pairs."""
    generator = torch.Generator().manual_seed(seed)
    return agreements([torch.ones(12)] * size, noise, generator)


def apart(strength: float, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randn(2, 12, generator=generator)
    return agreements([one] * 5 + [one + strength * other] * 5, 0.6, generator)


def slow(matrix, labels):
    """The definition, deal by deal: sets of networks, means over pairs, one after the other."""

    def statistic(first, second):
        within = [
            torch.stack([matrix[i, j] for i, j in itertools.combinations(each, 2)]).mean()
            for each in (first, second)
        ]
        between = torch.stack([matrix[i, j] for i in first for j in second]).mean()
        return float((within[0] + within[1]) / 2 - between)

    everyone = set(range(len(labels)))
    given = tuple(i for i in everyone if labels[i] == 0)
    observed = statistic(given, tuple(everyone - set(given)))
    every = [
        statistic(first, tuple(everyone - set(first)))
        for first in itertools.combinations(everyone, len(given))
    ]
    return observed, sum(value >= observed - 1e-12 for value in every) / len(every)


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_the_definition_says_deal_by_deal(seed):
    matrix, labels = null(seed, 7), (0, 1, 0, 1, 1, 0, 0)
    found = exchange_test([(matrix, labels)])
    observed, p = slow(matrix, labels)
    assert (found.separation, found.p_value) == (pytest.approx(observed), pytest.approx(p))
    assert (found.deals, found.exact) == (math.comb(7, 4), True)


def test_five_against_five_that_share_nothing_are_one_of_126_ways():
    found = exchange_test([(torch.block_diag(torch.ones(5, 5), torch.ones(5, 5)), SIDES)])
    assert found.p_value == found.least == pytest.approx(1 / 126)
    assert found.separation == pytest.approx(1)


def test_strata_multiply_what_can_be_told():
    both = torch.block_diag(torch.ones(5, 5), torch.ones(5, 5))
    found = exchange_test([(both, SIDES)] * 2)
    assert (found.p_value, found.least, found.exact) == (
        pytest.approx(1 / 126**2),
        pytest.approx(1 / 126**2),
        True,
    )
    drawn = exchange_test([(both, SIDES)] * 3, draws=99)
    assert (drawn.p_value, drawn.least, drawn.deals, drawn.exact) == (0.01, 0.01, 100, False)


def test_the_level_holds_where_conditions_teach_the_same():
    """Of 200 populations without a difference at most about a twentieth may show one at p = .05."""
    found = torch.tensor([exchange_test([(null(seed), SIDES)]).p_value for seed in range(200)])
    assert float((found <= 0.05).double().mean()) < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert abs(float(found.mean()) - 0.5) < 0.08


def test_dealing_across_strata_would_be_noticed():
    """A small difference shows within kinds of labels that differ much; dealt without regard to these it is lost."""
    generator = torch.Generator().manual_seed(0)
    kinds, sets = 6 * torch.randn(2, 12, generator=generator), 1.2 * torch.randn(2, 12, generator=generator)
    templates = [kind + one for kind in kinds for one in sets for _ in range(5)]
    whole = agreements(templates, 0.8, generator)
    within = exchange_test([(whole[:10, :10], SIDES), (whole[10:, 10:], SIDES)])
    pooled = exchange_test([(whole, SIDES * 2)])
    assert within.p_value < 0.001
    assert pooled.p_value > 0.2


def test_a_difference_shows_the_more_the_larger_it_is():
    shown = [
        sum(exchange_test([(apart(strength, seed), SIDES)]).p_value <= 0.05 for seed in range(20))
        for strength in (0.0, 0.4, 1.5)
    ]
    assert shown[0] <= 4
    assert shown[0] < shown[1] < shown[2]
    assert shown[2] >= 18


def test_labels_of_another_thing_are_no_difference():
    """Strata differ strongly from each other; within each there is nothing, and nothing may show."""
    generator = torch.Generator().manual_seed(1)
    small = 0
    for _ in range(60):
        strata = [
            (agreements([template] * 10, 0.8, generator), SIDES)
            for template in torch.randn(2, 12, generator=generator)
        ]
        small += exchange_test(strata).p_value <= 0.05
    assert small <= 8


def test_detectable_is_where_p_reaches_a_twentieth():
    matrix = null(3)
    found = exchange_test([(matrix, SIDES)])
    deals = torch.tensor(
        [[0 if i in first else 1 for i in range(10)] for first in itertools.combinations(range(10), 5)]
    )
    every = separations(matrix, deals)
    assert float((every >= found.detectable - 1e-9).double().mean()) <= 0.05
    assert float((every >= found.detectable - 0.02).double().mean()) > 0.05


def test_three_seeds_a_side_can_show_nothing_and_it_says_so():
    found = exchange_test([(torch.block_diag(torch.ones(3, 3), torch.ones(3, 3)), (0, 0, 0, 1, 1, 1))])
    assert found.least == pytest.approx(0.1)
    assert math.isnan(found.detectable)


def test_several_conditions_are_tested_at_once_however_many_the_deals():
    labels = sum(((group,) * 5 for group in range(4)), ())
    same = exchange_test([(null(0, 20), labels)], draws=499)
    other = exchange_test([(torch.block_diag(*[torch.ones(5, 5)] * 4), labels)], draws=499)
    assert other.p_value == other.least == 1 / 500
    assert same.p_value > 0.05
    assert not same.exact


def test_pairs_that_are_no_pair_do_not_count():
    matrix = torch.block_diag(torch.ones(5, 5), torch.ones(5, 5)).double()
    wild = matrix.clone()
    wild[0, 5] = wild[5, 0] = 1e6
    wild.fill_diagonal_(-7.0)
    left_out = torch.where(wild == 1e6, torch.nan, wild)
    assert exchange_test([(left_out, SIDES)]).separation == pytest.approx(1)


def test_without_any_value_there_is_no_p():
    found = exchange_test([(torch.full((10, 10), torch.nan), SIDES)])
    assert math.isnan(found.p_value)
    assert math.isnan(found.separation)


@pytest.mark.parametrize(
    ("strata", "message"),
    [
        ([], "got 0 strata"),
        ([(torch.ones(3, 3), (0, 0, 1))], "expected at least two conditions of at least two networks"),
        ([(torch.ones(4, 4), (0, 0, 0, 0))], "expected at least two conditions"),
        ([(torch.ones(4, 3), (0, 0, 1, 1))], r"got agreements \(4, 3\) and 4 labels"),
        ([(torch.ones(4, 4) * math.inf, (0, 0, 1, 1))], "finite or NaN"),
    ],
)
def test_what_cannot_be_tested_is_refused(strata, message):
    with pytest.raises(InputError, match=message):
        exchange_test(strata)

import itertools
import math

import pytest
import torch
from scipy.stats import kstest

from covalign.encoding.lineage.balance import balanced
from covalign.encoding.lineage.order import ENOUGH, order_p_value, order_spread, same_order, turned_order
from samples.planted import generator


def rows(law, n, c, s, draw):
    """Independent neurons of one covariance, far from isotropic, which all draws share."""
    shape = torch.linspace(0, 4, c * s, dtype=torch.float64).neg().exp()
    turn = torch.linalg.qr(torch.randn(c * s, c * s, generator=generator(99), dtype=torch.float64))[0]
    found = torch.randn(n, c * s, generator=draw, dtype=torch.float64) * shape
    if law == "heavy":  # Student's t with two degrees of freedom
        found = found / (torch.randn(n, 2, generator=draw, dtype=torch.float64).square().mean(1, True)).sqrt()
    return (found @ turn + 0.3 * shape).reshape(n, c, s)


@pytest.mark.parametrize("law", ["gaussian", "heavy"])
def test_p_values_of_independent_networks_are_uniform_whatever_covariance_and_mean_they_share(law):
    draw = generator(3)
    found = []
    for _ in range(200):
        a, b = (balanced(rows(law, 10, 3, 2, draw)) for _ in range(2))
        found.append(same_order(a, b, channels=False, draws=199, seed=len(found)).p_value)
    assert kstest(found, "uniform").pvalue > 0.01


def test_the_p_value_is_the_share_of_all_orders():
    products = torch.randn(6, 6, generator=generator(0), dtype=torch.float64) + 1.2 * torch.eye(6)
    sums = [sum(products[i, order[i]] for i in range(6)) for order in itertools.permutations(range(6))]
    exact = sum(float(each) >= float(products.trace()) - 1e-12 for each in sums) / math.factorial(6)
    assert 0.01 < exact < 0.3
    estimates = [order_p_value(products, draws=9_999, seed=seed) for seed in range(20)]
    assert sum(estimates) / 20 == pytest.approx(exact, rel=3 / math.sqrt(20 * ENOUGH))


def test_the_spread_is_that_of_all_orders():
    products = torch.randn(5, 5, generator=generator(1), dtype=torch.float64)
    sums = [sum(products[i, order[i]] for i in range(5)) for order in itertools.permutations(range(5))]
    assert order_spread(products) == pytest.approx(float(torch.stack(sums).std(correction=0)))


def test_relatives_have_the_smallest_p_value_there_is():
    a = rows("gaussian", 16, 8, 9, generator(0))
    b = a + 0.5 * rows("gaussian", 16, 8, 9, generator(1))
    found = same_order(balanced(a), balanced(b), draws=999)
    assert found.p_value == 1 / 1000
    assert found.cosine > 5 * found.spread


def test_an_agreement_that_lies_in_neurons_alone_does_not_count_where_channels_have_no_order_either():
    draw = generator(5)
    roles = torch.randn(2, 1, 8, 9, generator=draw, dtype=torch.float64).expand(2, 8, 8, 9).flatten(0, 1)
    a, b = (roles + rows("gaussian", 16, 8, 9, draw) for _ in range(2))
    b = b[:, torch.randperm(8, generator=draw)]
    same_roles = same_order(balanced(a), balanced(b))
    assert same_roles.p_value > 0.01


def test_identical_neurons_are_ties_and_no_evidence():
    bank = torch.ones(12, 1, 9, dtype=torch.float64)
    assert same_order(balanced(bank), balanced(bank), channels=False).p_value == 1


def test_too_few_neurons_and_zeros_have_no_p_value():
    few, nothing = torch.ones(3, 3, 9, dtype=torch.float64), torch.zeros(8, 8, 9, dtype=torch.float64)
    for layer in (few, nothing):
        found = same_order(layer, layer)
        assert math.isnan(found.cosine)
        assert found.p_value == 1


@pytest.mark.parametrize("channels", [True, False])
def test_p_values_that_allow_for_signs_are_uniform_too(channels):
    draw = generator(7)
    found = []
    for _ in range(150):
        a, b = (balanced(rows("gaussian", 8, 12, 1, draw)) for _ in range(2))
        found.append(turned_order(a, b, channels=channels, draws=199, seed=len(found)))
    # the larger one of two p-values is valid, and no longer uniform
    assert kstest(found, "uniform", alternative="greater" if channels else "two-sided").pvalue > 0.01


def test_neurons_that_were_turned_over_are_found_by_their_signs():
    draw = generator(8)
    a = rows("gaussian", 16, 12, 9, draw)
    b = (a + 0.3 * rows("gaussian", 16, 12, 9, draw)) * torch.randn(16, 1, 1, generator=draw).sign()
    assert same_order(balanced(a), balanced(b), draws=999).p_value > 0.01
    assert turned_order(balanced(a), balanced(b), draws=999) <= 0.01

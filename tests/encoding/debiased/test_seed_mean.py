import math

import pytest
import torch

from covalign.encoding.debiased.seed_mean import seed_mean


def additive(generator, first=5, second=5, noise=0.2):
    """x_ij = 1 + what network i adds + what network j adds."""
    one, other = (
        noise * torch.randn(count, generator=generator, dtype=torch.float64) for count in (first, second)
    )
    return 1 + one[:, None] + other


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    found = [seed_mean(additive(generator)) for _ in range(300)]
    held = sum(each.low <= 1 <= each.high for each in found) / 300
    assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / 300) <= held
    assert held < 0.995


def test_for_additive_networks_it_is_the_two_sample_interval():
    values = additive(torch.Generator().manual_seed(1))
    found = seed_mean(values)
    variance = values.mean(1).var() / 5 + values.mean(0).var() / 5
    reach = 2.306004135  # of Student's t at 8 degrees of freedom
    assert found.value == pytest.approx(float(values.mean()))
    assert found.high - found.value == pytest.approx(reach * float(variance.sqrt()))


def test_pairs_that_are_left_out_do_not_count():
    values = additive(torch.Generator().manual_seed(2), 6, 5)
    padded = torch.cat([values, torch.full((1, 5), torch.nan, dtype=torch.float64)])
    assert seed_mean(padded) == seed_mean(values)


def test_two_seeds_have_a_mean_and_no_interval():
    found = seed_mean(torch.ones(2, 5, dtype=torch.float64))
    assert found.value == 1
    assert math.isnan(found.low)

import itertools
import math

import numpy as np
import pytest
from scipy.stats import t

from covalign.papers.intervals import over_networks


def test_pairs_that_share_no_network_give_the_plain_t_interval():
    values = [0.2, 0.5, 0.9]
    estimate = over_networks([("a0", "b0"), ("a1", "b1"), ("a2", "b2")], values)
    half = t.ppf(0.975, 2) * np.std(values, ddof=1) / math.sqrt(3)
    assert estimate.mean == pytest.approx(np.mean(values))
    assert (estimate.low, estimate.high) == pytest.approx((estimate.mean - half, estimate.mean + half))
    assert estimate.pairs == 3


def test_three_seeds_are_not_three_independent_pairs():
    values = [0.2, 0.5, 0.9]
    shared = over_networks([("0", "1"), ("0", "2"), ("1", "2")], values)
    apart = over_networks([("a0", "b0"), ("a1", "b1"), ("a2", "b2")], values)
    assert shared.high - shared.low > 1.9 * (apart.high - apart.low)


def test_the_intervals_of_pairs_of_one_sample_cover():
    rng = np.random.default_rng(0)
    pairs = list(itertools.combinations(range(6), 2))
    covered = 0
    for _ in range(400):
        effects = rng.normal(size=6)
        estimate = over_networks(pairs, [effects[a] + effects[b] + 1.0 for a, b in pairs])
        covered += estimate.low <= 1.0 <= estimate.high
    assert 0.92 <= covered / 400 <= 0.98


def test_crossed_pairs_of_two_samples_cover():
    rng = np.random.default_rng(1)
    pairs = list(itertools.product([f"a{i}" for i in range(5)], [f"b{i}" for i in range(5)]))
    covered = 0
    for _ in range(400):
        effects = {name: rng.normal() for name in sorted({n for pair in pairs for n in pair})}
        estimate = over_networks(pairs, [effects[a] + effects[b] for a, b in pairs])
        covered += estimate.low <= 0.0 <= estimate.high
    assert covered / 400 >= 0.92


def test_one_pair_has_a_mean_and_no_interval():
    estimate = over_networks([("a", "b"), ("a", "c")], [0.3, math.nan])
    assert estimate.mean == 0.3
    assert math.isnan(estimate.low)
    assert estimate.pairs == 1
    assert over_networks([("a", "b")], [math.nan]).pairs == 0

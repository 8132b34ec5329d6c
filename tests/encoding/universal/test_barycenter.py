import numpy as np
import ot
import pytest
import torch

from covalign.encoding.bures import bures_wasserstein_distance
from covalign.encoding.universal.barycenter import bures_barycenter
from covalign.errors import InputError
from samples.planted import generator, noise, orthonormal


def covariance(factor):
    return factor @ factor.T


def full_rank(d: int, count: int) -> list[torch.Tensor]:
    return [noise(d, 2 * d, seed) / (2 * d) ** 0.5 for seed in range(count)]


def test_equals_pots_fixed_point():
    factors = full_rank(6, 4)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    dense = np.stack([covariance(f).numpy() for f in factors])
    for chosen in (None, weights):
        _, expected = ot.gaussian.bures_wasserstein_barycenter(
            np.zeros((4, 6)),
            dense,
            weights=None if chosen is None else chosen.numpy(),
            num_iter=2000,
            eps=1e-14,
        )
        found = bures_barycenter(factors, chosen, tolerance=1e-13)
        assert covariance(found.factor).numpy() == pytest.approx(expected, abs=1e-8)


def test_of_copies_is_the_copied_matrix():
    factor = noise(40, 3, 0)
    copies = [factor @ orthonormal(3, 3, seed) for seed in range(4)]
    found = bures_barycenter(copies)
    assert torch.allclose(covariance(found.factor), covariance(factor), atol=1e-10)
    assert found.factor.shape == (40, 3)
    assert found.spread == pytest.approx(0, abs=1e-12)


def test_of_commuting_covariances_averages_their_roots():
    axes = orthonormal(30, 4, 0)
    deviations = torch.rand(3, 4, generator=generator(1), dtype=torch.float64)
    deviations[0, 3] = 0  # one network does not use the last direction
    found = bures_barycenter([axes * each @ orthonormal(4, 4, i) for i, each in enumerate(deviations)])
    expected = covariance(axes * deviations.mean(0))
    assert torch.allclose(covariance(found.factor), expected, atol=1e-8)
    assert found.spread == pytest.approx(
        float((deviations - deviations.mean(0)).square().sum(1).mean()), abs=1e-8
    )


@pytest.mark.parametrize(("d", "r"), [(60, 5), (12, 5), (12, 30)])
def test_no_direction_of_change_comes_closer(d, r):
    factors = [noise(d, r, seed) for seed in range(3)]
    found = bures_barycenter(factors, tolerance=1e-12, steps=5000)

    def spread(factor):
        parts = [bures_wasserstein_distance(covariance(factor), covariance(f)) ** 2 for f in factors]
        return sum(parts) / len(parts)

    assert spread(found.factor) == pytest.approx(found.spread, rel=1e-6)
    for seed in range(5):
        other = found.factor + 1e-2 * noise(*found.factor.shape, 10 + seed)
        assert spread(other) > found.spread


def test_turns_and_scales_with_its_members():
    factors = [noise(9, 4, seed) for seed in range(3)]
    turn = orthonormal(9, 9, 5)
    plain, turned = bures_barycenter(factors), bures_barycenter([3 * turn @ f for f in factors])
    assert torch.allclose(covariance(turned.factor), 9 * turn @ covariance(plain.factor) @ turn.T, atol=1e-6)


def test_independent_noise_is_averaged_out():
    common, d = 5 * orthonormal(400, 2, 0), 400
    factors = [torch.cat([common, noise(d, 6, seed) / d**0.5], 1) for seed in range(8)]
    found = covariance(bures_barycenter(factors).factor)
    inside = common / 5
    left = float(found.trace() - (inside.T @ found @ inside).trace())
    assert float((inside.T @ found @ inside).trace()) == pytest.approx(50, rel=0.02)
    assert left < 6 / 4


def test_what_cannot_be_averaged_is_refused():
    with pytest.raises(InputError, match="expected at least one, all of one dimension"):
        bures_barycenter([noise(3, 2, 0), noise(4, 2, 0)])
    with pytest.raises(InputError, match="all are zero"):
        bures_barycenter([torch.zeros(3, 2)])
    with pytest.raises(InputError, match="expected a positive one for each"):
        bures_barycenter([noise(3, 2, 0)], [0.0])

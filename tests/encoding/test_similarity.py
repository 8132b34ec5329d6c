import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from covalign.encoding.alignment import Alignment
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.similarity import eigenvector_cosines, normalized_similarity, reference_levels
from covalign.errors import InputError
from samples import reference
from samples.axioms import (
    assert_deterministic,
    assert_order_invariant,
    assert_rotation_invariant,
    assert_sign_invariant,
)
from samples.planted import generator, orthonormal, spiked, weights


@pytest.mark.slow
def test_eq_6_agrees_with_the_dense_reading():
    n, d = 24, 48
    w1, w2 = spiked(n, d, 4, 3.0, seed=1), spiked(n, d, 4, 3.0, seed=2)
    ours = normalized_similarity(weight_covariance(w1), weight_covariance(w2), draws=300, calibrate=False)
    rng = np.random.default_rng(0)
    c1, c2 = (reference.shrunk_covariance(w.numpy(), 1.0) for w in (w1, w2))
    assert ours.cosine == pytest.approx(reference.cosine(c1, c2), abs=1e-8)
    z, z_error = reference.chance(c1, 100, rng)
    u, u_error = reference.ceiling(c1, n, 100, rng)
    assert ours.chance == pytest.approx(z, abs=4 * z_error)
    assert ours.ceiling == pytest.approx(u, abs=4 * u_error)
    assert ours.value == pytest.approx((ours.cosine - ours.chance) / (ours.ceiling - ours.chance))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(40, 20), (30, 30)])
def test_the_ceiling_is_right_with_more_neurons_than_dimensions(n, d):
    w = spiked(n, d, 3, 4.0, seed=3)
    c = weight_covariance(w)
    u, error = reference.ceiling(
        reference.shrunk_covariance(w.numpy(), 1.0), n, 150, np.random.default_rng(0)
    )
    assert reference_levels(c, draws=300).ceiling == pytest.approx(u, abs=4 * error)


def similarity(a, b):
    return normalized_similarity(weight_covariance(a), weight_covariance(b), draws=5, calibrate=False).value


@settings(max_examples=5)
@given(a=weights(20, 30, ("spiked", "power law")), b=weights(20, 30, ("spiked", "power law")))
def test_the_similarity_sees_what_rotation_order_and_sign_leave(a, b):
    assert_rotation_invariant(similarity, a, b, tolerance=1e-6)
    assert_order_invariant(similarity, a, b, tolerance=1e-6)
    assert_sign_invariant(similarity, a, b, tolerance=1e-6)


@pytest.mark.slow
def test_unrelated_populations_are_near_zero_and_identical_ones_high():
    same, other = [], []
    for seed in range(8):
        a = weight_covariance(spiked(64, 128, 10, 6.0, seed=seed, basis_seed=1))
        b = weight_covariance(spiked(64, 128, 10, 6.0, seed=seed + 100, basis_seed=1))
        c = weight_covariance(spiked(64, 128, 10, 6.0, seed=seed + 200, basis_seed=2))
        same.append(normalized_similarity(a, b, calibrate=False).value)
        other.append(normalized_similarity(a, c, calibrate=False).value)
    assert abs(np.mean(other)) < 0.05
    assert 0.85 < np.mean(same) < 1


def test_untrained_networks_have_no_similarity_but_a_reason():
    a, b = (torch.randn(64, 128, generator=generator(s), dtype=torch.float64) for s in (0, 1))
    result = normalized_similarity(weight_covariance(a), weight_covariance(b))
    assert math.isnan(result.value)
    assert "nothing learned" in result.reason


def test_a_rotated_and_permuted_copy_is_the_same():
    w = spiked(40, 60, 6, 4.0, seed=0)
    rotation = orthonormal(60, 60, seed=5)
    copy = weight_covariance((w @ rotation.T)[torch.randperm(40, generator=generator(1))])
    result = normalized_similarity(weight_covariance(w).rotate(Alignment(rotation)), copy)
    assert result.cosine == pytest.approx(1, abs=1e-8)
    assert "same weights" in result.calibrated_reason
    assert result.calibrated == 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers():
    assert_deterministic(similarity, spiked(40, 60, 6, 4.0, seed=0), spiked(40, 60, 6, 4.0, seed=1))
    a, b = (weight_covariance(spiked(40, 60, 6, 4.0, seed=s)) for s in (0, 1))
    assert normalized_similarity(a, b, seed=3).chance != normalized_similarity(a, b, seed=4).chance


def test_shrunk_covariances_are_not_shrunk_again():
    a, b = (weight_covariance(spiked(40, 60, 6, 4.0, seed=s)) for s in (0, 1))
    once = normalized_similarity(a.shrink(), b.shrink())
    assert once.value == normalized_similarity(a, b, calibrate=False).value
    assert "unshrunk eigenvalues" in once.calibrated_reason


def test_eigenvector_cosines_of_a_covariance_with_itself_are_the_identity():
    c = weight_covariance(spiked(40, 60, 6, 4.0, seed=0))
    torch.testing.assert_close(eigenvector_cosines(c, c, 5), torch.eye(5, dtype=torch.float64))


def test_unusable_requests_are_named():
    a, b = weight_covariance(torch.eye(4)), weight_covariance(torch.eye(5))
    with pytest.raises(InputError, match="dimensions 4 and 5"):
        normalized_similarity(a, b)
    with pytest.raises(InputError, match="dimensions 4 and 5"):
        eigenvector_cosines(a, b, 2)
    with pytest.raises(InputError, match="ranks: got 0"):
        eigenvector_cosines(a, a, 0)
    with pytest.raises(InputError, match="draws: got 0"):
        reference_levels(a, draws=0)

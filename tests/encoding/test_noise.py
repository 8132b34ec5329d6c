import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.covariance import weight_covariance
from covalign.encoding.noise import bulk_check, noise_level
from covalign.errors import InputError
from samples.axioms import (
    assert_homogeneous,
    assert_order_invariant,
    assert_rotation_invariant,
    assert_sign_invariant,
)
from samples.planted import noise, orthonormal, spiked, weights

SHAPES = [(64, 32), (64, 64), (40, 200), (64, 640), (128, 64)]


def checked(w):
    c = weight_covariance(w)
    return bulk_check(c.eigenvalues, c.neurons, c.dimension)


def level(w):
    c = weight_covariance(w)
    return noise_level(c.eigenvalues, c.neurons, c.dimension)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_noise_looks_like_noise(n, d):
    assert all(checked(noise(n, d, seed)).ok for seed in range(20))


@pytest.mark.parametrize(("n", "d"), SHAPES)
@pytest.mark.parametrize("strength", [1.5, 8.0])
def test_a_quarter_of_spikes_does_not_hide_the_noise(n, d, strength):
    w = spiked(n, d, min(n, d) // 4, strength, seed=1)
    assert checked(w).ok
    assert level(w) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_noise_that_has_decayed_is_noticed(n, d):
    w = spiked(n, d, 4, 8.0, seed=1)
    basis = orthonormal(d, 4, seed=0)
    decayed = 0.6 * w + 0.4 * w @ basis @ basis.T
    check = checked(decayed)
    assert not check.ok
    assert "does not look like noise" in check.reason


def test_a_direction_that_has_decayed_is_noticed():
    c = weight_covariance(noise(64, 320, 0))
    values = c.eigenvalues.clone()
    values[-1] = 0.01
    assert "was the network trained with weight decay" in bulk_check(values, 64, 320).reason


def test_a_spectrum_without_bulk_is_noticed():
    check = checked(spiked(64, 64, 60, 40.0, seed=1))
    assert not check.ok
    assert "have left the bulk" in check.reason


def test_too_few_eigenvalues_are_named():
    assert "too few to recognize a bulk" in checked(noise(4, 300, 0)).reason


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_the_level_is_a_variance(scale, seed):
    w = noise(48, 96, seed)
    assert level(w) == pytest.approx(1, rel=0.1)
    assert_homogeneous(level, w, scale=scale, degree=2, tolerance=1e-6)


@given(w=weights(20, 30, ("noise", "spiked", "power law")))
def test_the_level_sees_what_rotation_order_and_sign_leave(w):
    assert_rotation_invariant(level, w)
    assert_order_invariant(level, w)
    assert_sign_invariant(level, w)


def test_weights_of_low_rank_have_no_noise_level():
    with pytest.raises(InputError, match="no noise to measure"):
        level(noise(40, 3, 0) @ noise(3, 30, 1))


def test_a_cut_spectrum_is_refused():
    with pytest.raises(InputError, match="expected 30, the unshrunk spectrum"):
        bulk_check([2.0, 1.0], 30, 50)

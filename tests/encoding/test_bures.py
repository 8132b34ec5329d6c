import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyriemann.geometry.distance import distance_wasserstein

from covalign.encoding.alignment import Alignment
from covalign.encoding.bures import (
    bures_wasserstein_cosine,
    bures_wasserstein_distance,
    bures_wasserstein_distances,
)
from covalign.encoding.covariance import weight_covariance
from covalign.errors import InputError
from samples import reference
from samples.axioms import (
    assert_bounded,
    assert_distance,
    assert_homogeneous,
    assert_one_on_itself,
    assert_order_invariant,
    assert_rotation_invariant,
    assert_scale_invariant,
    assert_sign_invariant,
    assert_symmetric,
)
from samples.planted import SEEDS, generator, orthonormal, spiked, weights


def sample(seed: int, n: int = 9, d: int = 14):
    return weight_covariance(spiked(n, d, 3, 2.0, seed=seed, basis_seed=seed % 7))


def dense(c):
    return ((c.eigenvectors * c.eigenvalues) @ c.eigenvectors.T).numpy()


def test_cosine_agrees_with_the_dense_reading():
    a, b = sample(1), sample(2)
    expected = reference.cosine(dense(a), dense(b))
    assert bures_wasserstein_cosine(a, b) == pytest.approx(expected, abs=1e-8)
    assert bures_wasserstein_cosine(dense(a), dense(b)) == pytest.approx(expected, abs=1e-8)


def test_distance_agrees_with_pot_and_pyriemann():
    a, b = sample(1, n=40), sample(2, n=40)
    ours = bures_wasserstein_distance(a, b)
    assert ours == pytest.approx(float(ot.gaussian.bures_distance(dense(a), dense(b))), abs=1e-8)
    assert ours == pytest.approx(float(distance_wasserstein(dense(a), dense(b))), abs=1e-8)


def test_distance_of_commuting_covariances_is_that_of_their_roots():
    values_1, values_2 = torch.tensor([4.0, 1.0, 0.0]), torch.tensor([1.0, 9.0, 1.0])
    expected = float((values_1.sqrt() - values_2.sqrt()).norm())
    assert bures_wasserstein_distance(values_1.diag(), values_2.diag()) == pytest.approx(expected)


def cosine(a, b):
    return bures_wasserstein_cosine(weight_covariance(a), weight_covariance(b))


def distance(a, b):
    return bures_wasserstein_distance(weight_covariance(a), weight_covariance(b))


@settings(max_examples=10)
@given(a=weights(), b=weights(), scale=st.floats(1e-3, 1e3))
def test_the_cosine_sees_what_rotation_order_sign_and_unit_leave(a, b, scale):
    assert_rotation_invariant(cosine, a, b)
    assert_order_invariant(cosine, a, b)
    assert_sign_invariant(cosine, a, b)
    assert_scale_invariant(cosine, a, b, scale=scale, tolerance=1e-6)


@settings(max_examples=10)
@given(a=weights(), b=weights())
def test_the_cosine_is_symmetric_between_zero_and_one_and_one_on_itself(a, b):
    assert_symmetric(cosine, a, b)
    assert_bounded(cosine, a, b)
    assert_one_on_itself(cosine, a)


@settings(max_examples=10)
@given(a=weights(), b=weights(), c=weights(), scale=st.floats(1e-3, 1e3))
def test_the_distance_is_one_in_units_of_the_weights(a, b, c, scale):
    assert_distance(distance, a, b, c, tolerance=1e-6)
    assert_rotation_invariant(distance, a, b, tolerance=1e-6)
    assert_homogeneous(distance, a, b, scale=scale, degree=1, tolerance=1e-6)


@given(seed=SEEDS)
def test_turning_a_covariance_is_turning_its_weights(seed):
    a, b = sample(seed), sample(seed + 1)
    rotation = Alignment(orthonormal(14, 14, seed))
    turned = bures_wasserstein_cosine(a.rotate(rotation), b.rotate(rotation))
    assert turned == pytest.approx(bures_wasserstein_cosine(a, b), abs=1e-9)


def test_orthogonal_supports_have_cosine_zero():
    a, b = torch.diag(torch.tensor([1.0, 1, 0, 0])), torch.diag(torch.tensor([0.0, 0, 1, 2]))
    assert bures_wasserstein_cosine(a, b) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("c1", "c2", "message"),
    [
        (torch.zeros(3, 3), torch.eye(3), "c1: the covariance is zero"),
        (torch.eye(3), torch.eye(4), "dimensions 3 and 4 cannot be compared"),
        (torch.ones(2, 2).triu(), torch.eye(2), "not symmetric"),
        (-torch.eye(2), torch.eye(2), "expected none below zero"),
        (torch.eye(2) * torch.inf, torch.eye(2), "not finite"),
    ],
)
def test_unusable_covariances_are_named(c1, c2, message):
    with pytest.raises(InputError, match=message):
        bures_wasserstein_cosine(c1, c2)


def test_integer_seeds_make_different_samples():
    assert not np.allclose(dense(sample(1)), dense(sample(2)))
    assert generator(1).initial_seed() == 1


def test_distances_of_all_pairs_are_those_of_each_pair():
    first = sample(1)
    several = [
        first,
        sample(2),
        first,
        sample(3).shrink(),
        dense(sample(4)),
        sample(5, n=20),
        np.zeros((14, 14)),
    ]
    table = bures_wasserstein_distances(several)
    for i, one in enumerate(several):
        for j, other in enumerate(several):
            expected = 0.0 if i == j else bures_wasserstein_distance(one, other)
            assert float(table[i, j]) == pytest.approx(expected, abs=1e-9)
    assert torch.equal(table, table.T)
    assert float(bures_wasserstein_distances([first])) == 0


def test_distances_of_all_pairs_know_what_is_nearly_the_same():
    one = sample(1)
    near = dense(one) * (1 + 1e-12)
    assert float(bures_wasserstein_distances([one, near])[0, 1]) < 1e-6


def test_distances_of_what_cannot_be_compared_are_refused():
    with pytest.raises(InputError, match="expected at least one"):
        bures_wasserstein_distances([])
    with pytest.raises(InputError, match="dimensions 14, 20 cannot be compared"):
        bures_wasserstein_distances([sample(1), sample(1, d=20)])

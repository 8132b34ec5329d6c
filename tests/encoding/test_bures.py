import numpy as np
import ot
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyriemann.geometry.distance import distance_wasserstein

from covalign.encoding.alignment import Alignment
from covalign.encoding.bures import bures_wasserstein_cosine, bures_wasserstein_distance
from covalign.encoding.covariance import weight_covariance
from covalign.errors import InputError
from samples import reference
from samples.planted import generator, orthonormal, spiked

SEEDS = st.integers(0, 10_000)


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


@given(seed=SEEDS)
def test_cosine_with_itself_is_one_and_distance_zero(seed):
    c = sample(seed)
    assert bures_wasserstein_cosine(c, c) == pytest.approx(1, abs=1e-12)
    assert bures_wasserstein_distance(c, c) == pytest.approx(0, abs=1e-10)


@given(seeds=st.tuples(SEEDS, SEEDS, SEEDS))
def test_distance_is_symmetric_and_obeys_the_triangle_inequality(seeds):
    a, b, c = (sample(seed) for seed in seeds)
    ab, bc, ac = (bures_wasserstein_distance(*pair) for pair in ((a, b), (b, c), (a, c)))
    assert ab == pytest.approx(bures_wasserstein_distance(b, a), abs=1e-10)
    assert ac <= ab + bc + 1e-10


@given(seed=SEEDS, scale=st.floats(1e-6, 1e6))
def test_cosine_is_invariant_to_a_common_rotation_and_to_rescaling(seed, scale):
    a, b = sample(seed), sample(seed + 1)
    rotation = Alignment(orthonormal(14, 14, seed))
    plain = bures_wasserstein_cosine(a, b)
    assert bures_wasserstein_cosine(a.rotate(rotation), b.rotate(rotation)) == pytest.approx(plain, abs=1e-9)
    assert bures_wasserstein_cosine(b, a) == pytest.approx(plain, abs=1e-9)
    assert bures_wasserstein_cosine(dense(a), scale * dense(b)) == pytest.approx(plain, abs=1e-6)


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

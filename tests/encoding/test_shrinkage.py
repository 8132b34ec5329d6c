import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.shrinkage import cross_validated_eigenvalues, shrink_eigenvalues
from covalign.encoding.spiked import bulk_edges, eigenvector_overlap, sample_eigenvalue
from covalign.errors import InputError
from samples.planted import generator, neurons, orthonormal

METHODS = ["operator", "frobenius", "frechet", "nuclear"]


def published(value, gamma):
    """Eq. 3, read from the paper."""
    if value <= (1 + math.sqrt(gamma)) ** 2:
        return 0.0
    return (value - 1 - gamma) / 2 + math.sqrt(((value + 1 - gamma) / 2) ** 2 - value)


@given(
    values=st.lists(st.floats(0, 200), min_size=1, max_size=20),
    gamma=st.floats(0.05, 20),
)
def test_the_default_is_eq_3(values, gamma):
    expected = torch.tensor([published(v, gamma) for v in values]).double()
    assert shrink_eigenvalues(values, gamma) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
@given(gamma=st.floats(0.05, 20), excess=st.floats(1e-3, 100), step=st.floats(1e-3, 10))
def test_shrinkers_are_zero_on_noise_and_grow_with_signal(method, gamma, excess, step):
    edge = bulk_edges(gamma)[1]
    noise, weak, strong = shrink_eigenvalues([edge, edge + excess, edge + excess + step], gamma, method)
    assert noise == 0
    assert 0 <= weak <= strong < edge + excess + step - 1


def test_only_the_published_shrinker_jumps():
    for gamma in (0.5, 5.0):
        above = [bulk_edges(gamma)[1] + 1e-9]
        assert float(shrink_eigenvalues(above, gamma)) == pytest.approx(math.sqrt(gamma), rel=1e-3)
        for method in METHODS[1:]:
            assert float(shrink_eigenvalues(above, gamma, method)) == pytest.approx(0, abs=1e-3)


def loss(kind, shrunk, spike, c):
    """Loss of shrunk + 1 along a sample eigenvector of squared overlap c² with the spike's, by 2 x 2 matrices."""
    s = math.sqrt(1 - c**2)
    truth = torch.tensor([[1 + spike, 0.0], [0.0, 1.0]]).double()
    v = torch.tensor([c, s]).double()
    error = torch.eye(2).double() + shrunk * torch.outer(v, v) - truth
    if kind == "frechet":
        values, vectors = torch.linalg.eigh(truth + error)
        error = (vectors * values.sqrt()) @ vectors.T - truth.sqrt()
    singular = torch.linalg.svdvals(error)
    return float({"operator": singular.max(), "nuclear": singular.sum()}.get(kind, singular.square().sum()))


@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS)
def test_each_shrinker_minimizes_its_own_loss(kind):
    gamma, spike = 2.0, 6.0
    c = math.sqrt(float(eigenvector_overlap([spike], gamma)))
    chosen = float(shrink_eigenvalues([float(sample_eigenvalue([spike], gamma))], gamma, kind))
    grid = torch.linspace(0, 2 * spike, 2401).tolist()
    assert loss(kind, chosen, spike, c) <= min(loss(kind, x, spike, c) for x in grid) + 1e-4


def test_none_changes_nothing():
    assert shrink_eigenvalues([3.0, 0.2], 1.0, "none").tolist() == [3.0, 0.2]


def test_an_unknown_shrinker_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="expected one of operator, frobenius, frechet, nuclear, none"):
        shrink_eigenvalues([1.0], 1.0, "ledoit-wolf")


@pytest.mark.slow
def test_pure_noise_keeps_next_to_nothing():
    n, d = 64, 320
    kept = []
    for seed in range(1000):
        noise = torch.randn(n, d, generator=generator(seed))
        values = torch.linalg.eigvalsh(noise @ noise.T / n)
        kept.append(int((shrink_eigenvalues(values, d / n) > 0).sum()))
    assert sum(kept) / len(kept) <= 0.25
    assert max(kept) <= 3


def test_cross_validation_finds_the_signal_along_sample_eigenvectors():
    n, d = 200, 600
    spikes = torch.tensor([40.0, 25.0, 15.0]).double()
    w = neurons(n, orthonormal(d, 3, seed=0), spikes, seed=1)
    found = cross_validated_eigenvalues(w)
    values = torch.linalg.svdvals(w).square() / n
    assert found[:3] == pytest.approx(shrink_eigenvalues(values[:3], d / n, "frobenius"), rel=0.15)
    assert float(found[3:].max()) < 2
    assert bool((found.diff() <= 0).all())


def test_cross_validation_is_in_units_of_the_noise():
    w = neurons(60, orthonormal(30, 2, seed=0), torch.tensor([9.0, 5.0]).double(), seed=1)
    assert cross_validated_eigenvalues(0.1 * w, 0.01) == pytest.approx(
        cross_validated_eigenvalues(w), abs=1e-9
    )


def test_cross_validation_of_too_few_neurons_is_named():
    with pytest.raises(InputError, match="expected at least 2 of each"):
        cross_validated_eigenvalues([[1.0, 2.0]])
    with pytest.raises(InputError, match="init_variance"):
        cross_validated_eigenvalues([[1.0, 2.0], [0.0, 1.0]], init_variance=0.0)

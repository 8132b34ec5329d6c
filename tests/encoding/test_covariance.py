import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from covalign.encoding.alignment import Alignment, procrustes
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.spectrum import weight_spectrum
from covalign.errors import InputError
from samples import reference
from samples.axioms import (
    assert_homogeneous,
    assert_order_invariant,
    assert_rotation_invariant,
    assert_sign_invariant,
)
from samples.planted import generator, noise, orthonormal, shuffled, spiked, weights

SHAPES = [(20, 50), (50, 20), (30, 30)]


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_eigenvalues_and_effective_rank_agree_with_the_dense_reading(n, d):
    w = spiked(n, d, 4, 3.0, seed=1) * 0.1
    ours = weight_covariance(w, init_variance=0.01)
    dense = np.linalg.eigvalsh(reference.covariance(w.numpy(), 0.01))[::-1]
    np.testing.assert_allclose(ours.eigenvalues, dense[: min(n, d)], atol=1e-10)
    shrunk = reference.shrink(dense[: min(n, d)], d / n)
    np.testing.assert_allclose(ours.shrink().eigenvalues, shrunk, atol=1e-8)
    assert ours.effective_rank == pytest.approx(reference.effective_rank(shrunk), abs=1e-8)


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_a_spectrum_is_that_of_the_covariance_with_its_ranks(n, d):
    w = spiked(n, d, 4, 30.0, seed=1) * 0.1
    alone, c = weight_spectrum(w, init_variance=0.01), weight_covariance(w, init_variance=0.01)
    torch.testing.assert_close(alone.eigenvalues, c.eigenvalues, rtol=1e-9, atol=1e-12)
    assert (alone.neurons, alone.dimension, alone.init_variance) == (n, d, 0.01)
    assert alone.kept == c.kept == 4
    for rank in ("effective_rank", "participation_ratio", "entropy_rank", "stable_rank"):
        assert getattr(alone, rank) == pytest.approx(getattr(c, rank), rel=1e-9)
    with pytest.raises(InputError, match="already shrunk"):
        alone.shrink().shrink()


@pytest.mark.parametrize(("n", "d"), SHAPES)
def test_eigenvectors_rebuild_the_covariance(n, d):
    w = spiked(n, d, 4, 3.0, seed=1)
    c = weight_covariance(w)
    rebuilt = (c.eigenvectors * c.eigenvalues) @ c.eigenvectors.T
    torch.testing.assert_close(rebuilt, w.T @ w / n)


def test_rotation_agrees_with_the_dense_reading():
    w = spiked(30, 60, 4, 3.0, seed=1)
    phi_1, phi_2 = torch.randn(500, 60, generator=generator(2)).double(), torch.randn(500, 60).double()
    a = reference.rotation(phi_1.numpy(), phi_2.numpy())
    alignment = procrustes(phi_2.T @ phi_1)
    np.testing.assert_allclose(alignment.rotation, a, atol=1e-8)
    rotated = weight_covariance(w).rotate(alignment)
    dense = a @ reference.covariance(w.numpy(), 1.0) @ a.T
    ours = (rotated.eigenvectors * rotated.eigenvalues) @ rotated.eigenvectors.T
    np.testing.assert_allclose(ours, dense, atol=1e-8)


def test_joint_neurons_rotate_on_channels_and_keep_space():
    weight = torch.randn(8, 5, 3, 3, generator=generator(0), dtype=torch.float64)
    a = orthonormal(7, 5, seed=1)
    rotated = weight_covariance(weight).rotate(Alignment(a))
    directly = weight_covariance(torch.einsum("pc,ocij->opij", a, weight))
    rebuilt = (rotated.eigenvectors * rotated.eigenvalues) @ rotated.eigenvectors.T
    torch.testing.assert_close(
        rebuilt, (directly.eigenvectors * directly.eigenvalues) @ directly.eigenvectors.T
    )


def test_shrinking_twice_is_refused():
    c = weight_covariance(spiked(20, 40, 3, 5.0, seed=0)).shrink()
    assert c.shrunk
    with pytest.raises(InputError, match="already shrunk"):
        c.shrink()


def test_ranks_of_a_flat_spectrum_are_its_length():
    c = weight_covariance(torch.eye(6, dtype=torch.float64) * 30)
    assert c.participation_ratio == pytest.approx(6)
    assert c.entropy_rank == pytest.approx(6)
    assert c.stable_rank == pytest.approx(6)
    assert c.effective_rank == pytest.approx(3.5)


def test_ranks_of_noise_are_nan():
    c = weight_covariance(torch.full((4, 4), 1e-3))
    assert c.kept == 0
    assert all(
        math.isnan(r) for r in (c.effective_rank, c.participation_ratio, c.entropy_rank, c.stable_rank)
    )


@given(seed=st.integers(0, 1000), scale=st.floats(1e-4, 1e4))
def test_scaling_weights_with_the_initial_variance_changes_nothing(seed, scale):
    w = spiked(15, 25, 3, 3.0, seed=seed)
    a, b = weight_covariance(w, 1.0), weight_covariance(scale * w, scale**2)
    torch.testing.assert_close(a.eigenvalues, b.eigenvalues)
    assert a.effective_rank == pytest.approx(b.effective_rank, nan_ok=True)


def eigenvalues(w):
    return weight_covariance(w).eigenvalues


def ranks(w):
    c = weight_covariance(w)
    return torch.tensor([c.kept, c.effective_rank, c.participation_ratio, c.entropy_rank, c.stable_rank])


@pytest.mark.parametrize("measure", [eigenvalues, ranks])
@settings(max_examples=10)
@given(w=weights(15, 25))
def test_spectrum_and_ranks_see_what_rotation_order_and_sign_leave(measure, w):
    assert_rotation_invariant(measure, w, tolerance=1e-6)
    assert_order_invariant(measure, w, tolerance=1e-6)
    assert_sign_invariant(measure, w, tolerance=1e-6)


@settings(max_examples=10)
@given(w=weights(15, 25), scale=st.floats(1e-3, 1e3))
def test_eigenvalues_are_in_units_of_squared_weights(w, scale):
    assert_homogeneous(eigenvalues, w, scale=scale, degree=2)


@given(seed=st.integers(0, 1000))
def test_eigenvectors_and_their_signs_do_not_depend_on_the_order_of_neurons(seed):
    w = spiked(15, 25, 3, 3.0, seed=seed)
    a, b = weight_covariance(w), weight_covariance(shuffled(w, seed))
    torch.testing.assert_close((a.eigenvectors * b.eigenvectors).sum(0), torch.ones(15, dtype=torch.float64))


@pytest.mark.slow
def test_pure_noise_keeps_next_to_nothing():
    kept = torch.tensor(
        [
            weight_covariance(noise(n, d, seed)).kept
            for seed in range(250)
            for n, d in ((64, 30), (64, 64), (40, 200), (64, 320))
        ]
    )
    assert len(kept) == 1000
    assert float(kept.double().mean()) <= 0.25
    assert int(kept.max()) <= 3


@pytest.mark.parametrize(
    ("weight", "variance", "message"),
    [
        (torch.zeros(3), 1.0, "a row per neuron"),
        (torch.zeros(0, 3), 1.0, "empty"),
        (torch.full((2, 2), torch.nan), 1.0, "not finite"),
        (torch.eye(2), 0.0, "positive number"),
        (torch.eye(2), math.nan, "positive number"),
        (torch.eye(2, dtype=torch.complex64), 1.0, "complex"),
        ([["a"]], 1.0, "expected a tensor"),
    ],
)
def test_unusable_input_is_named(weight, variance, message):
    with pytest.raises(InputError, match=message):
        weight_covariance(weight, variance)


def test_rotation_into_fewer_dimensions_is_refused():
    c = weight_covariance(torch.randn(4, 6, generator=generator(0)))
    with pytest.raises(InputError, match="align the narrower network to the wider"):
        c.rotate(Alignment(torch.eye(3, 6, dtype=torch.float64)))

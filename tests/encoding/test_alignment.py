import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from covalign.encoding.alignment import Alignment, alignment_correlation, procrustes
from covalign.errors import InputError
from samples.planted import generator, orthonormal


def test_a_planted_rotation_is_recovered():
    phi = torch.randn(400, 20, generator=generator(0), dtype=torch.float64)
    planted = orthonormal(20, 20, seed=1)
    alignment = procrustes((phi @ planted.T).T @ phi)
    torch.testing.assert_close(alignment.rotation, planted)


def test_a_planted_isometry_into_a_wider_network_is_recovered():
    phi = torch.randn(400, 12, generator=generator(0), dtype=torch.float64)
    planted = orthonormal(20, 12, seed=1)
    torch.testing.assert_close(procrustes((phi @ planted.T).T @ phi).rotation, planted)


@given(seed=st.integers(0, 1000), d1=st.integers(1, 8), extra=st.integers(0, 5))
def test_columns_are_orthonormal_whatever_the_moment(seed, d1, extra):
    rank_one = torch.randn(d1 + extra, 1, generator=generator(seed)) @ torch.randn(1, d1)
    for moment in (torch.randn(d1 + extra, d1, generator=generator(seed)), rank_one):
        rotation = procrustes(moment).rotation
        torch.testing.assert_close(rotation.T @ rotation, torch.eye(d1, dtype=torch.float64))


def test_agrees_with_scipy():
    rng = np.random.default_rng(0)
    phi_1, phi_2 = rng.standard_normal((300, 15)), rng.standard_normal((300, 15))
    theirs, _ = orthogonal_procrustes(phi_1, phi_2)
    np.testing.assert_allclose(procrustes(phi_2.T @ phi_1).rotation, theirs.T, atol=1e-8)


def test_correlation_of_a_rotated_copy_is_one():
    phi = torch.randn(400, 12, generator=generator(0), dtype=torch.float64)
    planted = orthonormal(12, 12, seed=1)
    energy = float(phi.square().sum())
    moment = (phi @ planted.T).T @ phi
    assert alignment_correlation(planted, moment, energy, energy) == pytest.approx(1, abs=1e-12)


def test_too_few_samples_are_named():
    few = Alignment(torch.eye(10, dtype=torch.float64), samples=20)
    assert "20 samples in 10 dimensions" in few.reason
    assert Alignment(torch.eye(10, dtype=torch.float64), fitted=False).reason == ""


def test_a_moment_that_is_no_matrix_is_refused():
    with pytest.raises(InputError, match="cross_moment"):
        procrustes(torch.zeros(3))

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from covalign.encoding.alignment import (
    Alignment,
    alignment_correlation,
    alignment_distances,
    leading_alignment,
    procrustes,
)
from covalign.errors import InputError
from covalign.kernels.krylov import leading_triplets
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


def decaying(d2, d1, draw):
    values = torch.arange(1, min(d1, d2) + 1, dtype=torch.float64) ** -1.0
    left, right = (
        torch.linalg.qr(torch.randn(side, len(values), generator=draw, dtype=torch.float64)).Q
        for side in (d2, d1)
    )
    return left * values @ right.T


@pytest.mark.parametrize("shape", [(300, 300), (400, 260)])
def test_leading_directions_are_those_of_the_full_decomposition(shape):
    moment = decaying(*shape, generator(3))
    found = leading_alignment(moment, 12)
    left, singular, right = torch.linalg.svd(moment, full_matrices=False)
    torch.testing.assert_close(found.singular, singular[:12], rtol=1e-8, atol=0)
    assert found.captured == pytest.approx(float(singular[:12].sum()), rel=1e-9)
    torch.testing.assert_close(found.left @ found.right.T, left[:, :12] @ right[:12], rtol=0, atol=1e-6)
    assert float((found.left @ found.right.T * moment).sum()) == pytest.approx(found.captured, rel=1e-9)


def test_a_flat_spectrum_is_decomposed_in_full():
    moment = torch.linalg.qr(torch.randn(200, 200, generator=generator(4), dtype=torch.float64)).Q
    moment = moment * (1 + 1e-5 * torch.arange(200, dtype=torch.float64))
    found = leading_alignment(moment, 5)
    torch.testing.assert_close(found.singular, torch.linalg.svdvals(moment)[:5], rtol=1e-12, atol=0)
    assert leading_triplets(moment, 5, 1e-8) is None


def test_more_directions_than_there_are_cannot_be_had():
    with pytest.raises(InputError, match="got 4, expected 1 to 3"):
        leading_alignment(torch.eye(3), 4)


def test_distances_are_those_of_a_loop_over_pairs():
    draw = generator(5)
    many = [torch.randn(60, width, generator=draw, dtype=torch.float64) + 2 for width in (7, 7, 12, 3)]
    found = alignment_distances(many)
    for i, one in enumerate(many):
        for j, other in enumerate(many):
            a, b = one - one.mean(0), other - other.mean(0)
            rotation = procrustes(a.T @ b).rotation if i != j else torch.eye(a.shape[1])
            cosine = float((rotation * (a.T @ b)).sum() / (a.norm() * b.norm()))
            assert float(found[i, j]) == pytest.approx(math.acos(min(1.0, cosine)), abs=1e-7)


def test_a_turned_representation_is_at_no_distance():
    one = torch.randn(50, 6, generator=generator(6), dtype=torch.float64)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator(7), dtype=torch.float64)).Q
    assert float(alignment_distances([one, one @ turn])[0, 1]) < 1e-5


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([torch.ones(3, 2)], "expected at least two"),
        ([torch.ones(3, 2), torch.ones(4, 2)], "numbers of rows"),
        ([torch.ones(3, 2), torch.randn(3, 2)], "the same for all samples"),
    ],
)
def test_representations_that_have_no_distance_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        alignment_distances(given)

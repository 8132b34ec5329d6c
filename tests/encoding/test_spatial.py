import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from covalign.encoding.spatial import matched_cosines, spatial_covariance, subspace_overlap
from covalign.errors import InputError
from covalign.networks.filters import FilterBank, analytic_filters
from covalign.studies.spatial.bank import filter_bank
from samples.axioms import (
    assert_bounded,
    assert_one_on_itself,
    assert_order_invariant,
    assert_rotation_invariant,
    assert_scale_invariant,
    assert_sign_invariant,
    assert_symmetric,
)
from samples.planted import generator, orthonormal, weights

SPREAD = ("power law", "noise", "unit rows")
"""Structures of nine distinct eigenvalues; in exact ties the leading three would be a matter of rounding."""


def planted(values, basis, count=4000, seed=0):
    """Kernels with covariance basis diag(values) basis^T."""
    k = math.isqrt(len(values))
    draws = torch.randn(count, len(values), generator=generator(seed), dtype=torch.float64)
    return (draws * torch.tensor(values).sqrt() @ basis.T).reshape(count // 8, 8, k, k)


def test_eigenvalues_agree_with_a_loop_over_kernels():
    weight = torch.randn(6, 5, 3, 3, generator=generator(0), dtype=torch.float64)
    moment = np.zeros((9, 9))
    for row in weight.numpy():
        for kernel in row:
            moment += np.outer(kernel.ravel(), kernel.ravel()) / 30
    c = spatial_covariance(weight)
    np.testing.assert_allclose(c.eigenvalues, np.linalg.eigvalsh(moment)[::-1], atol=1e-12)
    np.testing.assert_allclose(c.matrix, moment, atol=1e-12)


def test_planted_patterns_are_found_in_order():
    basis = orthonormal(9, 9, seed=3)
    c = spatial_covariance(planted([9.0, 6, 4, 2, 1, 0.1, 0.1, 0.1, 0.1], basis))
    assert float((c.eigenvectors[:, :5] * basis[:, :5]).sum(0).abs().min()) > 0.99


def test_a_rank_swap_moves_neither_overlap_nor_matched_cosines():
    basis = orthonormal(9, 9, seed=3)
    values = [9.0, 6, 4, 2, 1, 0.01, 0.01, 0.01, 0.01]
    a = spatial_covariance(planted(values, basis))
    b = spatial_covariance(planted([9.0, 4, 6, 2, 1, 0.01, 0.01, 0.01, 0.01], basis))
    assert subspace_overlap(a, b, 5) > 0.99
    assert float(matched_cosines(a, b, 5).min()) > 0.98
    assert float((a.eigenvectors[:, 1] @ b.eigenvectors[:, 1]).abs()) < 0.2


@pytest.mark.slow
def test_overlap_of_independent_subspaces_is_rank_over_area():
    overlaps = [
        subspace_overlap(
            spatial_covariance(planted([5.0] * 3 + [0.1] * 6, orthonormal(9, 9, seed=2 * s), 800)),
            spatial_covariance(planted([5.0] * 3 + [0.1] * 6, orthonormal(9, 9, seed=2 * s + 1), 800)),
            3,
        )
        for s in range(200)
    ]
    assert np.mean(overlaps) == pytest.approx(3 / 9, abs=0.03)


def overlap(a, b):
    """Of kernels in rows: four output channels of nine input channels."""
    return subspace_overlap(*(spatial_covariance(w.reshape(4, 9, 3, 3)) for w in (a, b)), 3)


def cosines(a, b):
    return matched_cosines(*(spatial_covariance(w.reshape(4, 9, 3, 3)) for w in (a, b)), 3)


@pytest.mark.parametrize("measure", [overlap, cosines])
@settings(max_examples=8)
@given(a=weights(36, 9, SPREAD), b=weights(36, 9, SPREAD), scale=st.floats(1e-3, 1e3))
def test_likeness_of_patterns_sees_what_rotation_order_sign_and_unit_leave(measure, a, b, scale):
    assert_rotation_invariant(measure, a, b)
    assert_order_invariant(measure, a, b)
    assert_sign_invariant(measure, a, b)
    assert_scale_invariant(measure, a, b, scale=scale)
    assert_bounded(measure, a, b)
    assert_symmetric(lambda *w: torch.as_tensor(measure(*w)).double().sort().values, a, b)
    assert_one_on_itself(lambda *w: torch.as_tensor(measure(*w)).double().mean(), a)


def test_the_sign_does_not_depend_on_the_weights_sign():
    weight = torch.randn(40, 8, 3, 3, generator=generator(0))
    a, b = spatial_covariance(weight), spatial_covariance(-weight)
    torch.testing.assert_close(a.eigenvectors, b.eigenvectors)


def test_a_bank_of_planted_networks_has_their_filters():
    basis = analytic_filters().filters.flatten(1).T.double()
    full = torch.linalg.qr(torch.cat([basis, orthonormal(9, 9, seed=0)], 1)).Q[:, :9]
    layer = planted([9.0, 6, 5, 2, 1.5, 0.01, 0.01, 0.01, 0.01], full)
    bank = filter_bank({"net": [torch.randn(4, 3, 3, 3, generator=generator(0)), layer, 10 * layer]})
    assert bank.provenance["layers"] == 2
    cosines = (bank.filters.flatten(1) * analytic_filters().filters.flatten(1)).sum(1).abs()
    assert float(cosines.min()) > 0.97


def test_centring_removes_the_mean_kernel():
    c = spatial_covariance(torch.ones(4, 4, 3, 3), centred=True)
    assert float(c.eigenvalues.max()) == pytest.approx(0, abs=1e-12)


def test_unusable_requests_are_named():
    small, large = (spatial_covariance(torch.randn(4, 4, k, k)) for k in (3, 5))
    with pytest.raises(InputError, match=r"\(3, 3\) and \(5, 5\) kernels"):
        subspace_overlap(small, large)
    with pytest.raises(InputError, match="rank: got 10, expected 1 to 9"):
        matched_cosines(small, small, 10)
    with pytest.raises(InputError, match="rank: got 0"):
        subspace_overlap(small, small, 0)
    with pytest.raises(InputError, match="no layer to average"):
        filter_bank({"net": [torch.randn(4, 4, 3, 3)]})
    with pytest.raises(InputError, match="expected"):
        spatial_covariance(torch.randn(4, 9))


def test_a_bank_survives_saving(tmp_path):
    bank = analytic_filters()
    again = FilterBank.load(bank.save(tmp_path / "bank.safetensors"))
    assert again.fingerprint == bank.fingerprint
    assert again.provenance == bank.provenance
    (tmp_path / "bad").write_bytes(b"no bank")
    with pytest.raises(InputError, match="cannot be read"):
        FilterBank.load(tmp_path / "bad")


@pytest.mark.parametrize("shape", [(6, 1, 7, 40), (4, 3, 12, 12), (2, 2, 1, 150), (90, 1, 11, 13)], ids=str)
def test_of_large_kernels_the_patterns_are_those_of_the_whole_covariance(shape):
    """An independent way: the full second moment of all taps, diagonalized."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(*shape, generator=generator, dtype=torch.float64)
    weight = weight * torch.linspace(0.1, 1, shape[-1], dtype=torch.float64)
    kernels = weight.flatten(2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(kernels.T @ kernels / len(kernels))
    found = spatial_covariance(weight)
    rank = min(len(kernels), kernels.shape[1])
    assert (found.area, found.kernels, found.patterns) == (kernels.shape[1], len(kernels), min(rank, 64))
    torch.testing.assert_close(found.eigenvalues, values.flip(0)[:rank].clamp(min=0), atol=1e-12, rtol=1e-9)
    kept = found.eigenvectors.shape[1]
    assert kept == min(rank, 64)
    torch.testing.assert_close(found.eigenvectors.T @ found.eigenvectors, torch.eye(kept).double())
    cosines = (found.eigenvectors * vectors.flip(1)[:, :kept]).sum(0).abs()
    torch.testing.assert_close(cosines, torch.ones(kept).double(), atol=1e-6, rtol=0)
    if kept == rank:
        torch.testing.assert_close(found.matrix, kernels.T @ kernels / len(kernels))


@pytest.mark.parametrize("shape", [(1, 1, 3, 3), (2, 1, 5, 5), (3, 1, 11, 11)], ids=str)
def test_small_kernels_have_a_complete_basis_however_few_they_are(shape):
    found = spatial_covariance(torch.randn(*shape, generator=torch.Generator().manual_seed(0)))
    area = shape[2] * shape[3]
    assert (len(found.eigenvalues), *found.eigenvectors.shape) == (area, area, area)
    assert found.patterns == shape[0]

import pytest
import torch

from covalign.kernels.thin import (
    leading_factors,
    nuclear_norm,
    nuclear_norms,
    squared_factors,
    squared_factors_by_svd,
    squared_values,
)
from samples.planted import generator


def rows(n, d, condition):
    """Rows whose squared singular values fall evenly, in log, from 1 to 1 / condition."""
    draw = generator(n + d)
    r = min(n, d)
    left, right = (
        torch.linalg.qr(torch.randn(side, r, generator=draw, dtype=torch.float64)).Q for side in (n, d)
    )
    return left * torch.logspace(0, -0.5 * condition, r, dtype=torch.float64) @ right.T


@pytest.mark.parametrize("shape", [(12, 60), (60, 12), (20, 20), (1, 9), (9, 1)])
@pytest.mark.parametrize("condition", [0.5, 4.9, 9, 16])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e150])
def test_factors_are_those_of_the_singular_value_decomposition(shape, condition, scale):
    matrix = rows(*shape, condition)
    values, vectors = squared_factors(matrix * scale**0.5)
    expected, _ = squared_factors_by_svd(matrix)
    kept = expected > 1e-12 * expected[0]
    torch.testing.assert_close(values[kept] / scale, expected[kept], rtol=1e-9, atol=0)
    assert bool((values.diff() <= 0).all())
    torch.testing.assert_close(
        vectors.T @ vectors, torch.eye(min(shape), dtype=torch.float64), rtol=0, atol=1e-9
    )
    back = vectors * values @ vectors.T / scale
    torch.testing.assert_close(back, matrix.T @ matrix, rtol=0, atol=1e-13)


@pytest.mark.parametrize("shape", [(12, 60), (60, 12), (20, 21), (1, 9)])
@pytest.mark.parametrize("condition", [0.5, 4.9, 9, 16])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e150])
def test_values_alone_are_those_of_the_singular_value_decomposition(shape, condition, scale):
    matrix = rows(*shape, condition)
    values = squared_values(matrix * scale**0.5)
    expected, _ = squared_factors_by_svd(matrix)
    kept = expected > 1e-12 * expected[0]
    torch.testing.assert_close(values[kept] / scale, expected[kept], rtol=1e-9, atol=0)
    assert len(values) == min(shape)


def test_zero_rows_have_zero_values_and_orthonormal_vectors():
    values, vectors = squared_factors(torch.zeros(3, 8, dtype=torch.float64))
    assert values.tolist() == [0, 0, 0]
    assert squared_values(torch.zeros(3, 8, dtype=torch.float64)).tolist() == [0, 0, 0]
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(12, 60), (60, 12), (20, 20)])
@pytest.mark.parametrize("condition", [0.5, 3, 5, 8, 16])
def test_the_nuclear_norm_is_the_sum_of_singular_values(shape, condition):
    matrix = rows(*shape, condition)
    assert nuclear_norm(1e-150 * matrix) / 1e-150 == pytest.approx(
        float(torch.linalg.svdvals(matrix).sum()), rel=1e-11
    )


@pytest.mark.parametrize("shape", [(12, 60), (60, 12), (20, 20)])
def test_nuclear_norms_of_many_are_those_of_each_whatever_their_condition(shape):
    many = torch.stack([rows(*shape, condition) for condition in (0.5, 16, 8, 5, 4)])
    expected = torch.linalg.svdvals(many).sum(1)
    torch.testing.assert_close(nuclear_norms(many), expected, rtol=1e-11, atol=0)
    assert nuclear_norms(torch.zeros(2, 3, 4, dtype=torch.float64)).tolist() == [0, 0]


def test_the_nuclear_norm_of_nothing_is_zero():
    assert nuclear_norm(torch.zeros(3, 4, dtype=torch.float64)) == 0


@pytest.mark.parametrize("shape", [(12, 60), (60, 12), (20, 21)])
def test_leading_factors_are_right_where_others_vanish(shape):
    matrix = rows(*shape, 16)
    values, vectors = leading_factors(matrix)
    expected, axes = squared_factors_by_svd(matrix)
    kept = expected > 1e-5
    torch.testing.assert_close(values[kept], expected[kept], rtol=1e-10, atol=0)
    cosines = (vectors[:, kept] * axes[:, kept]).sum(0).abs()
    torch.testing.assert_close(cosines, torch.ones_like(cosines), rtol=0, atol=1e-9)

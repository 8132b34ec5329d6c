import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.kernels.orthonormal import PROBES, largest_error
from samples.planted import generator

TOLERANCE = 1e-5


def frame(d, r, seed=0):
    return torch.linalg.qr(torch.randn(d, r, generator=generator(seed), dtype=torch.float64)).Q


def slow(matrix):
    return float((matrix.T @ matrix - torch.eye(matrix.shape[1], dtype=torch.float64)).abs().max())


@given(st.integers(2, 90), st.integers(0, 2**31), st.sampled_from([0.0, 1e-9, 5e-6, 2e-5, 1e-3]))
def test_the_verdict_is_that_of_the_product(rank, seed, size):
    draw = generator(seed)
    matrix = frame(rank + 5, rank, seed)
    row, column = (int(torch.randint(0, n, (), generator=draw)) for n in matrix.shape)
    matrix[row, column] += size
    expected = slow(matrix)
    found = largest_error(matrix, TOLERANCE)
    assert (found > TOLERANCE) == (expected > TOLERANCE)
    if expected > TOLERANCE:
        assert found == pytest.approx(expected, rel=1e-9)


def test_one_repeated_column_among_many_is_found():
    matrix = frame(300, 200)
    matrix[:, 17] = matrix[:, 150]
    assert largest_error(matrix, TOLERANCE) == pytest.approx(1)


def test_rotations_in_float32_pass_as_they_do_by_the_product():
    matrix = frame(400, 10 * PROBES).float().double()
    assert slow(matrix) < TOLERANCE
    assert largest_error(matrix, TOLERANCE) < TOLERANCE

import pytest
import torch

from covalign.kernels import symmetric
from covalign.kernels.symmetric import gram, leading_eigenvectors
from samples.planted import draw, generator, power_law


@pytest.mark.parametrize("count", [1, 7, 128, 129, 389])
def test_a_gram_matrix_is_the_product_and_exactly_symmetric(count):
    rows = torch.randn(count, 90, generator=generator(count), dtype=torch.float64)
    found, expected = gram(rows), rows @ rows.T
    assert float((found - expected).abs().max()) < 1e-12 * float(expected.abs().max())
    assert torch.equal(found, found.T)


def test_a_gram_matrix_is_the_same_with_the_threads_of_either_library(monkeypatch):
    rows = torch.randn(3, 70, 90, generator=generator(2), dtype=torch.float64)
    for threads in (torch.get_num_threads(), torch.get_num_threads() + 1):
        monkeypatch.setattr(symmetric, "numpy_threads", lambda threads=threads: threads)
        found = gram(rows)
        torch.testing.assert_close(found, rows @ rows.mT, rtol=1e-12, atol=1e-12)
        assert torch.equal(found, found.mT)


def test_a_gram_matrix_of_columns_is_that_of_the_transposed_rows():
    rows = torch.randn(90, 13, generator=generator(1), dtype=torch.float64)
    torch.testing.assert_close(gram(rows.T), rows.T @ rows)


@pytest.mark.parametrize(("size", "count"), [(20, 3), (60, 1), (60, 5), (60, 40), (200, 5)])
def test_leading_eigenvectors_are_those_of_the_whole_decomposition(size, count):
    matrix = gram(draw(size, power_law(size, 2 * size), size))
    values, vectors = leading_eigenvectors(matrix, count)
    everything = torch.linalg.eigh(matrix)
    assert torch.allclose(values, everything.eigenvalues[-count:], rtol=1e-12, atol=0)
    overlaps = (vectors * everything.eigenvectors[:, -count:]).sum(0).abs()
    assert float((overlaps - 1).abs().max()) < 1e-10

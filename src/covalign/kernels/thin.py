"""What are the singular values and right singular vectors of a thin matrix?

Of X ``[n, d]`` with one side at least twice as long as the other, they follow from the smaller Gram matrix,
X X^T = U L U^T with V = X^T U L^(-1/2), or X^T X = V L V^T, in a few large products and one small eigenproblem. What
that costs in accuracy is known: eigenvalues are wrong by about eps lambda_1, so that lambda_r is right to
eps lambda_1 / lambda_r relatively, and V is orthonormal to the same. Below the ratio `FLOOR` the singular value
decomposition of X is taken instead.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

FLOOR = 1e-5
"""Smallest lambda_r / lambda_1 that is read from a Gram matrix: a relative error of some 1e-11 (n = 512)."""

NORM_FLOOR = 1e-9
"""The same for a sum of singular values, each wrong by at most eps / (2 sqrt(1e-9)) s_1, or 4e-12 s_1."""


def squared_factors(
    rows: Float64[Tensor, "n d"],
) -> tuple[Float64[Tensor, " r"], Float64[Tensor, "d r"]]:
    """Return the squared singular values, descending, and the right singular vectors; signs are arbitrary."""
    if max(rows.shape) >= 2 * min(rows.shape):
        values, vectors = leading_factors(rows)
        if bool(values[-1] > FLOOR * values[0]):
            return values, vectors
    return squared_factors_by_svd(rows)


def leading_factors(
    rows: Float64[Tensor, "n d"],
) -> tuple[Float64[Tensor, " r"], Float64[Tensor, "d r"]]:
    """The same from the smaller Gram matrix, for every shape: of use where lambda_i exceeds `FLOOR` lambda_1."""
    n, d = rows.shape
    largest = float(rows.abs().max())
    scaled = rows / largest if largest > 0 else rows  # so that no square over- or underflows
    values, vectors = torch.linalg.eigh(scaled @ scaled.T if n <= d else scaled.T @ scaled)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    right = scaled.T @ (vectors / values.sqrt()) if n <= d else vectors
    return values * largest**2, right.contiguous()


def squared_factors_by_svd(
    rows: Float64[Tensor, "n d"],
) -> tuple[Float64[Tensor, " r"], Float64[Tensor, "d r"]]:
    """The same by a singular value decomposition: for every shape and every condition."""
    _, singular, right = torch.linalg.svd(rows, full_matrices=False)
    return singular.square(), right.T.contiguous()


def nuclear_norm(matrix: Float64[Tensor, "n m"]) -> float:
    """Return the sum of the singular values: from the smaller Gram matrix where its eigenvalues allow (`FLOOR`)."""
    n, m = matrix.shape
    largest = float(matrix.abs().max()) if n and m else 0.0
    if largest == 0:
        return 0.0
    scaled = matrix / largest
    squares = torch.linalg.eigvalsh(scaled @ scaled.T if n <= m else scaled.T @ scaled)
    if bool(squares[0] > NORM_FLOOR * squares[-1]):
        return float(squares.sqrt().sum()) * largest
    return float(torch.linalg.svdvals(scaled).sum()) * largest

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

from covalign.kernels.symmetric import gram

FLOOR = 1e-5
"""Smallest lambda_r / lambda_1 that is read from a Gram matrix: a relative error of some 1e-11 (n = 512)."""

NORM_ERROR = 1e-10
"""Bound on the relative error of a sum of singular values from which on it is not read from a Gram matrix; of 261
random spectra below it none was off by more than a third of it."""


TAME = 1e-100, 1e100
"""Between these, the largest entry of a matrix is left as it is: its squares neither over- nor underflow."""


def squared_values(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, " r"]:
    """Return the squared singular values alone, descending, as right as those of `squared_factors`."""
    scaled, size = _scaled(rows)
    values: Tensor = torch.linalg.eigvalsh(_smaller_gram(scaled)).flip(0).clamp(min=0)
    if bool(values[-1] > FLOOR * values[0]):
        return values * size**2
    singular: Tensor = torch.linalg.svdvals(rows)
    return singular.square()


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
    scaled, size = _scaled(rows)
    values, vectors = torch.linalg.eigh(_smaller_gram(scaled))
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    right = scaled.T @ (vectors / values.sqrt()) if n <= d else vectors
    return values * size**2, right.contiguous()


def _scaled(rows: Float64[Tensor, "*batch n d"]) -> tuple[Float64[Tensor, "*batch n d"], float]:
    """Return rows in units in which no square over- or underflows, and the unit."""
    largest = max(abs(float(end)) for end in torch.aminmax(rows))
    if largest == 0 or TAME[0] < largest < TAME[1]:
        return rows, 1.0
    return rows / largest, largest


def _smaller_gram(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "r r"]:
    n, d = rows.shape
    return gram(rows if n <= d else rows.T)


def squared_factors_by_svd(
    rows: Float64[Tensor, "n d"],
) -> tuple[Float64[Tensor, " r"], Float64[Tensor, "d r"]]:
    """The same by a singular value decomposition: for every shape and every condition."""
    _, singular, right = torch.linalg.svd(rows, full_matrices=False)
    return singular.square(), right.T.contiguous()


def nuclear_norm(matrix: Float64[Tensor, "n m"]) -> float:
    """Return the sum of the singular values: from the smaller Gram matrix where that is accurate (`NORM_ERROR`)."""
    return float(nuclear_norms(matrix[None])[0])


def nuclear_norms(matrices: Float64[Tensor, "b n m"]) -> Float64[Tensor, " b"]:
    """Return the sum of the singular values of each matrix, with one call for all that it takes.

    Eigenvalues of a Gram matrix are wrong by about eps lambda_1, hence s_i by eps s_1^2 / (2 s_i), and a value that
    vanishes by sqrt(eps) s_1; singular values are taken where these add up to more than `NORM_ERROR` of the sum.
    """
    count, n, m = matrices.shape
    if not (n and m):
        return matrices.new_zeros(count)
    scaled, size = _scaled(matrices)
    squares = torch.linalg.eigvalsh(gram(scaled if n <= m else scaled.mT))
    norms = squares.clamp(min=0).sqrt().sum(1)
    rounding = torch.finfo(squares.dtype).eps * squares[:, -1:]
    errors = (rounding / squares.clamp(min=rounding).sqrt()).sum(1) / 2
    poor = ~(errors < NORM_ERROR * norms)
    if bool(poor.any()):
        norms[poor] = torch.linalg.svdvals(scaled[poor]).sum(1)
    whole: Tensor = norms * size
    return whole

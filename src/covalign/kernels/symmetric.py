"""What of a symmetric matrix has to be computed, and what follows?

Of X X^T one half is the mirror of the other. `gram` forms the blocks on and below the diagonal, by halves,

    X = [A; B],    X X^T = [A A^T, (B A^T)^T; B A^T, B B^T],

down to `LEAF` rows: n^2 d (1 + LEAF / n) operations instead of 2 n^2 d. `leading_eigenvectors` finds the few largest
eigenvalues without the eigenvectors of the others (LAPACK's syevr on a range of indices), to the same accuracy.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

LEAF = 128
"""Rows from which on a product is split; measured."""

WORTHWHILE = 48
"""Size of a matrix from which on leaving out eigenvectors pays; measured."""


def gram(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "n n"]:
    """Return X X^T."""
    if len(rows) <= LEAF or rows.device.type != "cpu":
        return rows @ rows.T
    found = rows.new_empty(len(rows), len(rows))
    _fill(found, rows)
    return found


def _fill(found: Float64[Tensor, "n n"], rows: Float64[Tensor, "n d"]) -> None:
    if len(rows) <= LEAF:
        found.copy_(rows @ rows.T)
        return
    half = (len(rows) + 1) // 2
    first, second = rows[:half], rows[half:]
    _fill(found[:half, :half], first)
    _fill(found[half:, half:], second)
    below = second @ first.T
    found[half:, :half] = below
    found[:half, half:] = below.T


def leading_eigenvectors(
    symmetric: Float64[Tensor, "n n"], count: int
) -> tuple[Float64[Tensor, " count"], Float64[Tensor, "n count"]]:
    """Return the largest eigenvalues, ascending, and their eigenvectors in columns; signs are arbitrary."""
    size = len(symmetric)
    if size < WORTHWHILE or 2 * count > size or symmetric.device.type != "cpu":
        values, vectors = torch.linalg.eigh(symmetric)
        return values[-count:], vectors[:, -count:]
    from scipy.linalg import eigh  # here: importing it takes longer than most tests of this file

    values, vectors = eigh(symmetric.numpy(), subset_by_index=(size - count, size - 1), check_finite=False)
    return torch.from_numpy(values), torch.from_numpy(vectors)

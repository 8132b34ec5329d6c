"""What of a symmetric matrix has to be computed, and what follows?

Of X X^T one half is the mirror of the other: `gram` leaves the product of a matrix with its own transpose to NumPy,
which forms one half (BLAS's syrk, n^2 d operations instead of 2 n^2 d) and mirrors it; where NumPy would take other
threads than were asked of PyTorch, PyTorch forms all of it. `leading_eigenvectors` finds
the few largest eigenvalues without the eigenvectors of the others (LAPACK's syevr on a range of indices), to the
same accuracy.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.kernels.threads import numpy_threads

WORTHWHILE = 48
"""Size of a matrix from which on leaving out eigenvectors pays; measured."""


def gram(rows: Float64[Tensor, "*batch n d"]) -> Float64[Tensor, "*batch n n"]:
    """Return X X^T, exactly symmetric, of one matrix or of each of a batch."""
    if rows.device.type != "cpu":
        return rows @ rows.mT
    if numpy_threads() != torch.get_num_threads():
        product: Tensor = rows @ rows.mT
        return product.tril() + product.tril(-1).mT
    values = rows.numpy()
    return torch.from_numpy(values @ values.swapaxes(-1, -2))


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

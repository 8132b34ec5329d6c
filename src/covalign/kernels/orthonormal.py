"""Are the columns of a tall matrix orthonormal, up to a tolerance?

Asked is whether every entry of E = A^T A - I is at most t. The obvious way forms A^T A, 2 d^3 operations. Random
signs x answer it with 4 d^2 each: if every entry of E x is at most t for all `PROBES` of them, then an entry above t
would have had to cancel every time, for which the probability is at most one half each (flipping the sign of that
entry moves its sum by more than 2 t). Only where a probe exceeds t is A^T A formed, which decides.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

PROBES = 40
"""Probability of overlooking an entry above the tolerance: 2^-40."""


def largest_error(matrix: Float64[Tensor, "d r"], tolerance: float) -> float:
    """Return the largest entry of |A^T A - I| where it exceeds the tolerance, else some number that does not."""
    rank = matrix.shape[1]
    if rank > PROBES:
        generator = torch.Generator().manual_seed(rank)
        signs = torch.randint(0, 2, (rank, PROBES), generator=generator).to(matrix) * 2 - 1
        probed = float((matrix.T @ (matrix @ signs) - signs).abs().max())
        if probed <= tolerance:
            return probed
    return float((matrix.T @ matrix - torch.eye(rank).to(matrix)).abs().max())

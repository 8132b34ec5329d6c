"""Which sign does an eigenvector get, so that two of them can be compared?"""

import torch
from jaxtyping import Float64
from torch import Tensor


def canonical_signs(vectors: Float64[Tensor, "d r"]) -> Float64[Tensor, " r"]:
    """Signs that make columns comparable: positive sum, or else a positive first large entry.

    A column whose sum is below a tenth of its largest possible value (sqrt(d) for a unit vector) is treated
    as odd, and its first entry of at least 0.4 times the maximal magnitude decides.
    """
    total = vectors.sum(0)
    size = vectors.abs()
    first = (size >= 0.4 * size.amax(0)).double().argmax(0)
    leading = vectors.gather(0, first[None])[0]
    decisive = torch.where(total.abs() > 0.1 * vectors.norm(dim=0) * vectors.shape[0] ** 0.5, total, leading)
    return torch.where(decisive < 0, -1.0, 1.0).to(vectors)

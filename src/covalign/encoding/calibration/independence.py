"""Are two samples of neurons independent, or do they share their noise?"""

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.covariance import WeightCovariance

SHARED_NOISE = 0.5
"""Largest correlation between the bulks of two matrices that still count as independent; our choice."""


def shared_noise(c1: WeightCovariance, c2: WeightCovariance, kept1: int, kept2: int) -> float:
    """Correlation tr B₁B₂ / (|B₁||B₂|) of the bulks, each minus its mean over the directions that are not spikes.

    About ±1/d for independent noise; near 1 where one network was trained on from the other. B = Σ_i b_i v_iv_iᵀ
    - m (I - VVᵀ), with b_i = λ_i - m in the bulk and 0 for spikes, is never formed.
    """
    squared = (c1.eigenvectors.T @ c2.eigenvectors).square()
    (b1, m1), (b2, m2) = (_centred_bulk(c, kept) for c, kept in ((c1, kept1), (c2, kept2)))
    outside = c1.dimension - len(b1) - len(b2) + squared.sum()
    together = (
        b1 @ squared @ b2
        - m2 * (b1 @ (1 - squared.sum(1)))
        - m1 * (b2 @ (1 - squared.sum(0)))
        + m1 * m2 * outside
    )
    apart = [b.square().sum() + m**2 * (c1.dimension - len(b)) for b, m in ((b1, m1), (b2, m2))]
    return float(together / (apart[0] * apart[1]).sqrt())


def _centred_bulk(c: WeightCovariance, kept: int) -> tuple[Float64[Tensor, " r"], float]:
    mean = float(c.eigenvalues[kept:].sum()) / (c.dimension - kept)
    return torch.cat([torch.zeros_like(c.eigenvalues[:kept]), c.eigenvalues[kept:] - mean]), mean

"""Populations of neurons without a gap in their spectrum, and what is true of them."""

import torch
from torch import Tensor

from ..planted import generator


def haar_frame(dimension: int, count: int, generator: torch.Generator) -> Tensor:
    """Orthonormal columns, uniformly distributed: the Q of a Gaussian's QR with positive R."""
    q, r = torch.linalg.qr(torch.randn(dimension, count, generator=generator, dtype=torch.float64))
    return q * r.diagonal().sign()


def power_law(n: int, d: int, exponent: float = 1.0, strength: float = 8.0) -> Tensor:
    """Variances 1 + strength sqrt(d / n) i^-exponent, which reach below the bulk edge."""
    ranks = torch.arange(1, d + 1, dtype=torch.float64)
    return 1 + strength * (d / n) ** 0.5 * ranks**-exponent


def draw(n: int, variances: Tensor, seed: int) -> Tensor:
    """Neurons with independent normal coordinates of given variances."""
    return torch.randn(n, len(variances), generator=generator(seed), dtype=torch.float64) * variances.sqrt()


def turned(rows: Tensor, seed: int) -> Tensor:
    """Rows in random orientation: unrelated to what they were."""
    return rows @ haar_frame(rows.shape[1], rows.shape[1], generator(seed))


def direction_moment(variances: Tensor) -> Tensor:
    """E w_i^2 / |w|^2 of a normal w, by quadrature of int l_i / (1 + 2 l_i t) prod_j (1 + 2 l_j t)^-1/2 dt."""
    total = float(variances.sum())
    logs = torch.linspace(-18, 9, 4001, dtype=torch.float64)
    times = logs.exp() / total
    factors = 1 + 2 * times[:, None] * variances
    density = (-0.5 * factors.log().sum(1)).exp() * times * (logs[1] - logs[0])
    return (density[:, None] * variances / factors).sum(0)


def similarity(variances_1: Tensor, variances_2: Tensor) -> float:
    """R of two populations with the same axes."""
    first, second = (direction_moment(v) - 1 / len(v) for v in (variances_1, variances_2))
    return float((first @ second) / (first.norm() * second.norm()))

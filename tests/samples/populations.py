"""What is true of a population of neurons with given variances along common axes."""

import torch
from torch import Tensor


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

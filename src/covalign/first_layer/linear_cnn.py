"""What does a linear CNN learn, exactly?

K filters w_k, no nonlinearity, global average pooling and readout V, on average patches x of images with
labels y (both with their means removed, equivalently a bias is fitted):

    y_hat = V W x,     L = mean |y - y_hat|^2,     W = (w_1 ... w_K)^T,

by full-batch gradient descent. With the fixed readout V = (1 ... 1) of one output, b = mean x y, A = mean x
x^T = sum a_i v_i v_i^T and w_bar = mean of the filters, every filter receives the same update and

    v_i^T w_bar(t) = [1 - (1 - 2 eta K a_i)^t] / (K a_i) v_i^T b + (1 - 2 eta K a_i)^t v_i^T w_bar(0)

(derived from the model of Chowers & Weiss 2023, section 4). Several outputs have K filters each.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError


@dataclass(frozen=True, eq=False)
class LinearCNN:
    """A linear CNN after training.

    Attributes:
        weight: filters as rows; with the fixed readout, rows c K to (c + 1) K belong to output c.
        readout: V.
        loss: mean squared error on the centred training data.
    """

    weight: Float64[Tensor, "K d"]
    readout: Float64[Tensor, "outputs K"]
    loss: float


def one_hot(labels: Tensor, classes: int) -> Float64[Tensor, "n classes"]:
    """One column per class, 1 where the label is that class, with column means removed."""
    columns = torch.nn.functional.one_hot(labels, classes).double()
    return columns - columns.mean(0)


def train_linear_cnn(
    averages: ArrayLike,
    targets: ArrayLike,
    initial: ArrayLike,
    rate: float | int,
    steps: int,
    readout: ArrayLike | None = None,
) -> LinearCNN:
    """Train by plain full-batch gradient descent, one step after the other.

    Args:
        averages: average patches of shape ``[n, d]`` (see `average_patches`).
        targets: labels as numbers, shape ``[n, outputs]``.
        initial: filters before training, shape ``[K, d]``; with the fixed readout, K per output.
        rate: learning rate eta.
        steps: number of steps t.
        readout: initial readout of shape ``[outputs, K]``, which is then trained too; None fixes it at
            ones for each output's own block of filters.

    Raises:
        InputError: shapes that do not belong together, or a rate at which training diverges.
    """
    x, y = _centred(averages, "averages", "n d"), _centred(targets, "targets", "n outputs")
    weight = as_float64(initial, "initial", "K d")
    top = (
        block_readout(y.shape[1], len(weight))
        if readout is None
        else as_float64(readout, "readout", "outputs K")
    )
    if len(x) != len(y) or weight.shape[1] != x.shape[1] or top.shape != (y.shape[1], len(weight)):
        raise InputError(
            f"linear CNN: got averages {tuple(x.shape)}, targets {tuple(y.shape)}, initial filters "
            f"{tuple(weight.shape)} and readout {tuple(top.shape)}, expected [n, d], [n, outputs], [K, d] "
            "and [outputs, K]; pass one label row per image and filters of the patches' length"
        )
    second_moment, cross_moment = x.T @ x / len(x), y.T @ x / len(x)
    for _ in range(steps):
        residual = cross_moment - top @ weight @ second_moment
        update = 2 * rate * top.T @ residual
        top = top if readout is None else top + 2 * rate * residual @ weight.T
        weight = weight + update
    if not torch.isfinite(weight).all():
        raise InputError(f"rate: got {rate}, at which gradient descent diverges; choose a smaller one")
    return LinearCNN(weight, top, float((y - x @ (top @ weight).T).square().sum(1).mean()))


def linear_cnn_filters(
    averages: ArrayLike, targets: ArrayLike, initial: ArrayLike, rate: float | int, steps: int
) -> Float64[Tensor, "K d"]:
    """Filters of the linear CNN with fixed readout after ``steps`` steps, in closed form.

    Arguments as in `train_linear_cnn`, with which the result agrees to rounding.
    """
    x, y = _centred(averages, "averages", "n d"), _centred(targets, "targets", "n outputs")
    weight = as_float64(initial, "initial", "K d")
    readout = block_readout(y.shape[1], len(weight))
    variances, axes = torch.linalg.eigh(x.T @ x / len(x))
    per_output = len(weight) // y.shape[1]
    growth = finite_time_gain(variances, 2 * rate * per_output * steps, steps) / per_output
    means = readout @ weight / per_output
    residual: Tensor = (y.T @ x / len(x) @ axes - per_output * means @ axes * variances) * growth @ axes.T
    return weight + readout.T @ residual


def finite_time_gain(
    variances: Float64[Tensor, " d"], tau: float | int, steps: int | None = None
) -> Float64[Tensor, " d"]:
    """How far gradient descent has come towards 1/a: g(a) = (1 - exp(-tau a)) / a, and tau at a = 0.

    With ``steps`` given, (1 - tau a / steps)^steps replaces the exponential: gradient descent with that many
    steps of finite size instead of gradient flow.
    """
    if steps is None:
        approach = -torch.expm1(-tau * variances)
    else:
        step = tau * variances / max(steps, 1)
        stable = torch.where(step < 1, step, 0.0)
        approach = torch.where(step < 1, -torch.expm1(steps * torch.log1p(-stable)), 1 - (1 - step) ** steps)
    zero = variances.abs() <= torch.finfo(torch.float64).tiny
    return torch.where(zero, tau, approach / torch.where(zero, 1.0, variances))


def block_readout(outputs: int, filters: int) -> Float64[Tensor, "outputs K"]:
    """The fixed readout: each output sums its own block of filters."""
    if filters % outputs:
        raise InputError(
            f"initial: got {filters} filters for {outputs} outputs, expected a multiple; "
            "the fixed readout gives each output its own filters"
        )
    return torch.eye(outputs, dtype=torch.float64).repeat_interleave(filters // outputs, 1)


def _centred(value: ArrayLike, name: str, dims: str) -> Tensor:
    """Values with column means removed."""
    tensor = as_float64(value, name, dims)
    return tensor - tensor.mean(0)

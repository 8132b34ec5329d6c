"""In which coordinates do many networks meet?

Each of m networks receives phi_i(x) ``[d_i]`` for the same images and positions. Generalized Procrustes analysis
(Gower 1975; ten Berge 1977) turns all of them towards each other: with C_ij = E[phi_i phi_j^T] / (e_i e_j), e_i^2 =
E |phi_i|^2, so that none counts more for its scale, it maximizes

    f = sum_{i<j} tr(A_i C_ij A_j^T),      A_i ``[d, d_i]`` with orthonormal columns, d the largest width,

one network at a time: A_i <- polar(sum_{j != i} A_j C_ji), which is the alignment of network i to the mean of the
others as they are placed. f never falls. The start places networks one after the other, widest first, each at the
mean of those before it; f has other local maxima, as all such problems do.

f does not change when all A_i are turned together. Fixed is, at the end: axes are the principal axes of the mean
aligned second moment mean_i A_i C_ii A_i^T, strongest first, and the mean input is not negative along any of them.
What stays undetermined: turns among axes of equal variance, and the sign of an axis along which the mean is zero.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.alignment import procrustes
from covalign.errors import InputError

GAIN = 1e-5
"""Relative gain of f in a sweep below which it is taken to have arrived; our choice."""

SWEEPS = 20
"""At most so many; our choice."""


@dataclass(frozen=True, eq=False)
class CommonBasis:
    """Coordinates in which networks meet.

    Attributes:
        rotations: A_i ``[d, d_i]``, one a network.
        variances: shape ``[d]``, of the mean aligned input of unit energy along the axes, descending; their sum is 1.
        agreement: 2 f / (m (m - 1)), the mean over pairs of tr(A_i C_ij A_j^T); 1 where all inputs agree exactly, NaN
            for one network.
        sweeps: how often every network was turned.
    """

    rotations: tuple[Float64[Tensor, "d _"], ...]
    variances: Float64[Tensor, " d"]
    agreement: float
    sweeps: int


def common_basis(
    moments: Mapping[tuple[int, int], Float64[Tensor, "_ _"]],
    means: Sequence[Float64[Tensor, " _"]],
    gain: float = GAIN,
) -> CommonBasis:
    """Turn networks towards each other.

    Args:
        moments: E[phi_i phi_j^T] for all i <= j, shape ``[d_i, d_j]``; a common factor does not matter.
        means: E phi_i, which fix the signs.
        gain: relative gain of f in a sweep below which it is taken to have arrived.

    Raises:
        InputError: moments that are missing, or inputs that are zero.
    """
    count = len(means)
    if missing := [(i, j) for j in range(count) for i in range(j + 1) if (i, j) not in moments]:
        raise InputError(f"moments: {missing[0]} is missing, expected all pairs i <= j of {count} networks")
    energies = [float(moments[i, i].trace()) for i in range(count)]
    if not min(energies, default=0) > 0:
        raise InputError("moments: a network receives nothing but zeros; its inputs cannot be aligned")
    scaled = {(i, j): each / (energies[i] * energies[j]) ** 0.5 for (i, j), each in moments.items()}
    placed, reached, sweeps = _placed(scaled, [len(mean) for mean in means], gain)
    axes, variances = _axes(placed, scaled, [m / e**0.5 for m, e in zip(means, energies, strict=True)])
    pairs = count * (count - 1) / 2
    agreement = reached / pairs if pairs else float("nan")
    return CommonBasis(tuple(axes @ each for each in placed), variances, agreement, sweeps)


def objective(
    rotations: Sequence[Float64[Tensor, "d _"]], moments: Mapping[tuple[int, int], Float64[Tensor, "_ _"]]
) -> float:
    """Return f = sum_{i<j} tr(A_i C_ij A_j^T)."""
    return sum(
        float(((rotations[i] @ moment) * rotations[j]).sum()) for (i, j), moment in moments.items() if i < j
    )


def _placed(
    moments: Mapping[tuple[int, int], Tensor], widths: Sequence[int], gain: float
) -> tuple[list[Float64[Tensor, "d _"]], float, int]:
    """Return the rotations before axes are fixed, f there, and the number of sweeps.

    With T_i = sum_{j != i} A_j C_ji the part of f that network i has is tr(A_i^T T_i), so that f is known at every
    turn without being summed again.
    """
    order = sorted(range(len(widths)), key=lambda i: -widths[i])
    rotations: dict[int, Tensor] = {order[0]: torch.eye(widths[order[0]], dtype=torch.float64)}
    reached, sweeps = 0.0, 0
    for i in order[1:]:
        pull = _pull(i, rotations, moments)
        rotations[i] = procrustes(pull).rotation
        reached += float((rotations[i] * pull).sum())
    while len(order) > 2 and sweeps < SWEEPS:
        before = reached
        for i in order:
            pull = _pull(i, rotations, moments)
            turned = procrustes(pull).rotation
            reached += float(((turned - rotations[i]) * pull).sum())
            rotations[i] = turned
        sweeps += 1
        if reached - before <= gain * abs(reached):
            break
    return [rotations[i] for i in range(len(order))], reached, sweeps


def _pull(
    i: int, rotations: Mapping[int, Tensor], moments: Mapping[tuple[int, int], Tensor]
) -> Float64[Tensor, "d d_i"]:
    """Return T_i = sum_j A_j C_ji over the other networks that are placed."""
    total: Tensor | None = None
    for j, rotation in rotations.items():
        if j != i:
            part = rotation @ (moments[j, i] if j < i else moments[i, j].T)
            total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _axes(
    placed: Sequence[Tensor], moments: Mapping[tuple[int, int], Tensor], means: Sequence[Tensor]
) -> tuple[Float64[Tensor, "d d"], Float64[Tensor, " d"]]:
    """Return the rotation into principal axes, as rows, with their signs fixed, and the variances along them."""
    second = sum((a @ moments[i, i] @ a.T for i, a in enumerate(placed)), torch.zeros(()).double()) / len(
        placed
    )
    values, vectors = torch.linalg.eigh(second)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    mean = sum((a @ each for a, each in zip(placed, means, strict=True)), torch.zeros(()).double())
    signs = torch.where(mean @ vectors < 0, -1.0, 1.0).to(vectors)
    return (vectors * signs).T.contiguous(), values

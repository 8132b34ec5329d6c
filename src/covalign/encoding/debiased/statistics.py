"""How much do neurons have in common, and how uncertain is that?

With k an inner product of neurons, three averages (Hoeffding 1948: U-statistics, unbiased whatever the spectra),

    U_11 = mean over i != j of k(w_i, w_j),   U_22 likewise,   U_12 = mean over i, j of k(w_i, v_j),

their scatter J when one neuron is left out (the jackknife), and what is degenerate in them: after each neuron's own
effect is taken out, the kernel's residual has mean square zeta, and contributes

    q = 2 zeta / (n (n - 1))  to the variance of U_aa,      q = zeta / (n_1 n_2)  to that of U_12.

The jackknife counts this part twice; the variance is J - q. It needs row sums and sums of squares of k alone, which
are gathered block by block.

Where neuron i of one network belongs to neuron i of the other, the pair is the unit that is drawn: U_12 leaves out
j = i, its kernel is (k(w_i, v_j) + k(w_j, v_i)) / 2, all three are U-statistics of the same pairs, and J and q have
entries off the diagonal. For a copy all entries are equal.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.debiased.kernels import Features, kernel_blocks

NEURONS = 4
"""Fewest neurons that leave a degree of freedom, n (n - 3) / 2, for the degenerate part."""


@dataclass(frozen=True, eq=False)
class Averages:
    """U_12, U_11 and U_22 in this order, with their uncertainty.

    Attributes:
        means: shape ``[3]``.
        scatter: J, leave-one-out scatter ``[3, 3]``.
        degenerate: q, variance of the degenerate parts ``[3, 3]``.
        freedom: degrees of freedom of the scatter.
    """

    means: Float64[Tensor, "3"]
    scatter: Float64[Tensor, "3 3"]
    degenerate: Float64[Tensor, "3 3"]
    freedom: int


@dataclass(frozen=True, eq=False)
class Within:
    """U_aa of one network: its value, what it changes by without each neuron, zeta, and ||mean P(w w^T)||^2."""

    mean: float
    shifts: Float64[Tensor, " n"]
    zeta: float
    energy: float


@dataclass(frozen=True, eq=False)
class Between:
    """U_12 of two networks, what it changes by without each neuron of either, and zeta."""

    mean: float
    shifts_1: Float64[Tensor, " n1"]
    shifts_2: Float64[Tensor, " n2"]
    zeta: float


def within(features: Features, inner: Float64[Tensor, "n n"] | None = None) -> Within:
    """Return U_aa = mean over i != j of k(w_i, w_j); NaN below two neurons, zeta NaN below four.

    ``inner`` are the inner products of the rows, where they are known.
    """
    n, own = len(features), features.own
    sums, squares = torch.zeros_like(own), -float(own.square().sum())
    for part, values in kernel_blocks(features, features, inner):
        sums[part] = values.sum(1)
        squares += float(values.square().sum())
    total, others = float(sums.sum()), sums - own
    mean = float(others.sum()) / (n * (n - 1)) if n > 1 else torch.nan
    effects = (others - (n - 1) * mean) / (n - 2) if n > 2 else torch.full_like(own, torch.nan)
    zeta = torch.nan
    if n >= NEURONS:
        varied = squares / 2 - n * (n - 1) / 2 * mean**2 - (n - 2) * float(effects.square().sum())
        zeta = max(0.0, varied) / (n * (n - 3) / 2)
    return Within(mean, -2 / max(n - 1, 1) * effects, zeta, max(0.0, total) / max(n, 1) ** 2)


def between(first: Features, second: Features, inner: Float64[Tensor, "n1 n2"] | None = None) -> Between:
    """Return U_12 = mean over all i, j of k(w_i, v_j); shifts and zeta are NaN below two neurons a side."""
    n1, n2 = len(first), len(second)
    rows, columns, squares = first.rows.new_zeros(n1), first.rows.new_zeros(n2), 0.0
    for part, values in kernel_blocks(first, second, inner):
        rows[part] = values.sum(1)
        columns += values.sum(0)
        squares += float(values.square().sum())
    mean = float(rows.sum()) / (n1 * n2)
    effects_1, effects_2 = rows / n2 - mean, columns / n1 - mean
    varied = squares - n1 * n2 * mean**2
    varied -= n2 * float(effects_1.square().sum()) + n1 * float(effects_2.square().sum())
    freedom = (n1 - 1) * (n2 - 1)
    zeta = max(0.0, varied) / freedom if freedom else torch.nan
    return Between(mean, -effects_1 / max(n1 - 1, 1), -effects_2 / max(n2 - 1, 1), zeta)


def independent(cross: Between, first: Within, second: Within) -> Averages:
    """Averages of two networks whose neurons are independent draws."""
    scatter, degenerate = torch.zeros(3, 3, dtype=torch.float64), torch.zeros(3, 3, dtype=torch.float64)
    counts = []
    for index, (own, shifts) in enumerate(((first, cross.shifts_1), (second, cross.shifts_2)), start=1):
        n = len(shifts)
        counts.append(n)
        scatter += _embedded(torch.stack([shifts, own.shifts]).cpu(), [0, index])
        degenerate[index, index] = 2 * own.zeta / (n * (n - 1)) if n > 1 else torch.nan
    degenerate[0, 0] = cross.zeta / (counts[0] * counts[1])
    return Averages(_three(cross.mean, first.mean, second.mean), scatter, degenerate, min(counts) - 1)


def paired(first: Features, second: Features) -> Averages:
    """Averages of two networks in which neuron i belongs to neuron i."""
    n = len(first)
    own = torch.stack([own_pairs(first, second), first.own, second.own])
    sums = torch.zeros_like(own)
    products = -torch.einsum("ai,bi->ab", own, own)
    for (part, forth), (_, back), (_, one), (_, two) in zip(
        kernel_blocks(first, second),
        kernel_blocks(second, first),
        kernel_blocks(first, first),
        kernel_blocks(second, second),
        strict=True,
    ):
        values = torch.stack([(forth + back) / 2, one, two])
        sums[:, part] = values.sum(2)
        products += torch.einsum("aij,bij->ab", values, values)
    others = sums - own
    means = others.sum(1) / (n * (n - 1))
    effects = (others - (n - 1) * means[:, None]) / (n - 2)
    varied = products / 2 - n * (n - 1) / 2 * means.outer(means) - (n - 2) * effects @ effects.T
    degenerate = 2 / (n * (n - 1)) * varied / (n * (n - 3) / 2)
    scatter = (n - 1) / n * (4 / (n - 1) ** 2) * effects @ effects.T
    return Averages(means.cpu(), scatter.cpu(), degenerate.cpu(), n - 1)


def own_pairs(first: Features, second: Features) -> Float64[Tensor, " n"]:
    """Return k(w_i, v_i)."""
    quadratic = (first.rows * second.rows).sum(1).square()
    return quadratic + first.sign * (first.linear * second.linear).sum(1)


def pooled(parts: Sequence[Averages]) -> Averages:
    """Mean over independent parts (matched groups of a grouped convolution): variances add."""
    count = len(parts)
    return Averages(
        torch.stack([part.means for part in parts]).mean(0),
        torch.stack([part.scatter for part in parts]).sum(0) / count**2,
        torch.stack([part.degenerate for part in parts]).sum(0) / count**2,
        sum(part.freedom for part in parts),
    )


def _embedded(shifts: Float64[Tensor, "2 n"], places: list[int]) -> Float64[Tensor, "3 3"]:
    """Scatter (n - 1) / n sum of products of leave-one-out shifts, at its places of a 3 x 3 matrix."""
    n = shifts.shape[1]
    found = torch.zeros(3, 3, dtype=torch.float64)
    found[torch.tensor(places)[:, None], torch.tensor(places)] = (n - 1) / n * shifts @ shifts.T
    return found


def _three(*values: float) -> Float64[Tensor, "3"]:
    return torch.tensor(values, dtype=torch.float64)

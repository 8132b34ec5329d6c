"""Are the neurons of two networks independent draws, or does each have its own counterpart?

Copies, fine-tunes and networks of one initialization violate the one assumption that U_12 makes. They are looked for
in the cosines C_ij of neurons, in two ways.

**In the same order.** If neurons are independent, every order of one network's neurons is equally likely, so that
sum_i C_ii has over permutations the mean n mean(C) and the variance sum r_ij^2 / (n - 1), r the doubly centred C
(Hoeffding 1951), whatever the spectra. `SAME_ORDER` standard deviations above that, neuron i belongs to neuron i.

**In any order.** Let e_1 <= e_2 <= e_3 be distances of a neuron to its nearest ones in the other network,
e^2 = 1 - |C|. Around an independent draw density is smooth, and log(e_2 / e_1) and 2 log(e_3 / e_2) are exponential
variables of the same mean, whatever the dimension (Renyi 1953; Facco et al. 2017 estimate dimensions so). A copy or
a relative is closer than density explains: the ratio of the sums over neurons of both, whose squared relative error
is about 2 / n, is then far above 1. What the networks' own neurons do (repel or copy each other) plays no part.
Neurons that are each other's nearest, and unusually so, are matched.

Networks in which every neuron learned one of a fixed set of patterns, each once, are matched as well: there the
neurons of a layer are no independent draws either.
"""

import math
from typing import TypeAlias

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from covalign.encoding.debiased.coordinates import Layer, with_unit_length
from covalign.encoding.debiased.kernels import BLOCK

SAME_ORDER = 5.0
"""Standard deviations from which neurons count as paired in their order (one chance in 3 million); our choice."""

FACTOR = 1.5
"""Ratio of mean log-distances from which neurons count as matched, with `DEVIATIONS` / sqrt(n) more; our choice."""

DEVIATIONS = 12.0
UNUSUAL = 3.0
"""Log-distance ratio of a single pair, in units of its mean, from which it is left out (5 % of chance pairs)."""

NEARLY_ALL = 0.75
"""Share of matched neurons from which the rest is matched too, as well as it can be; our choice."""


def counterparts(
    first: Layer, second: Layer, inner: Float64[Tensor, "n1 n2"] | None = None
) -> Int64[Tensor, "m 2"]:
    """Return index pairs of neurons that belong together; none where the networks look independent.

    ``inner`` are the inner products of their rows, where they are known.
    """
    if min(len(first.kept), len(second.kept)) < 4:
        return torch.empty(0, 2, dtype=torch.int64)
    cosines = inner if first.unit and second.unit else None
    first, second = with_unit_length(first), with_unit_length(second)
    if cosines is None and len(first.kept) * len(second.kept) <= BLOCK:
        cosines = first.rows @ second.rows.T
    same = same_order(first, second, cosines)
    return same if len(same) else any_order(first.rows, second.rows, cosines)


def same_order(
    first: Layer, second: Layer, cosines: Float64[Tensor, "n1 n2"] | None = None
) -> Int64[Tensor, "m 2"]:
    """Return pairs of neurons that were the same row, where their cosines are far above those of other orders."""
    nothing = torch.empty(0, 2, dtype=torch.int64)
    if len(first.kept) + first.dropped != len(second.kept) + second.dropped:
        return nothing
    places = (first.kept[:, None] == second.kept).nonzero()
    n = len(places)
    if n < 4:
        return nothing
    if cosines is not None:
        excess, energy = _centred(cosines[places[:, 0]][:, places[:, 1]])
    else:
        a, b = first.rows[places[:, 0]], second.rows[places[:, 1]]
        centred_a, centred_b = a - a.mean(0), b - b.mean(0)
        excess, energy = float((centred_a * centred_b).sum()), _product_energy(centred_a, centred_b)
    return places.cpu() if excess > SAME_ORDER * math.sqrt(energy / (n - 1)) else nothing


def _centred(cosines: Float64[Tensor, "n n"]) -> tuple[float, float]:
    """Sum of the diagonal, and sum of squares, of what is left without the means of rows and columns."""
    residual = cosines - cosines.mean(1, keepdim=True) - cosines.mean(0) + cosines.mean()
    return float(residual.trace()), float(residual.square().sum())


def any_order(
    rows_1: Float64[Tensor, "n1 d"],
    rows_2: Float64[Tensor, "n2 d"],
    cosines: Float64[Tensor, "n1 n2"] | None = None,
) -> Int64[Tensor, "m 2"]:
    """Return pairs of mutually nearest neurons that are closer than density explains."""
    nothing = torch.empty(0, 2, dtype=torch.int64)
    (near_1, gaps_1, steps_1), (near_2, gaps_2, steps_2) = _both_nearest(rows_1, rows_2, cosines)
    needed = FACTOR + DEVIATIONS / math.sqrt(min(len(rows_1), len(rows_2)))
    mean_1, mean_2 = float(steps_1.mean()), float(steps_2.mean())
    if float(gaps_1.mean()) < needed * mean_1 or float(gaps_2.mean()) < needed * mean_2:
        return nothing
    everyone = torch.arange(len(rows_1), device=rows_1.device)
    mutual = near_2[near_1] == everyone
    unusual = (gaps_1 > UNUSUAL * mean_1) & (gaps_2[near_1] > UNUSUAL * mean_2)
    found = torch.stack([everyone, near_1], 1)[mutual & unusual].cpu()
    return _completed(found, rows_1, rows_2)


Nearest: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Index of the nearest, log(e_2 / e_1), and 2 log(e_3 / e_2), of every neuron."""


def _both_nearest(
    rows_1: Float64[Tensor, "n1 d"],
    rows_2: Float64[Tensor, "n2 d"],
    cosines: Float64[Tensor, "n1 n2"] | None,
) -> tuple[Nearest, Nearest]:
    if cosines is None:
        return _nearest(rows_1, rows_2), _nearest(rows_2, rows_1)
    sizes = cosines.abs()
    return _ordered(sizes), _ordered(sizes.T)


def _nearest(rows: Float64[Tensor, "n1 d"], others: Float64[Tensor, "n2 d"]) -> Nearest:
    """Nearest of many neurons, some at a time."""
    step = max(1, BLOCK // len(others))
    parts = [_ordered((rows[i : i + step] @ others.T).abs()) for i in range(0, len(rows), step)]
    index, gaps, steps = (torch.cat(each) for each in zip(*parts, strict=True))
    return index, gaps, steps


def _ordered(cosines: Float64[Tensor, "n1 n2"]) -> Nearest:
    """Distances below rounding count as rounding."""
    largest, index = cosines.topk(3)
    e1, e2, e3 = ((1 - largest).clamp(min=1e-15).log() / 2).T
    return index[:, 0], e2 - e1, 2 * (e3 - e2)


def _completed(
    found: Int64[Tensor, "m 2"], rows_1: Float64[Tensor, "n1 d"], rows_2: Float64[Tensor, "n2 d"]
) -> Int64[Tensor, "n 2"]:
    """Match the few that are left so that their squared cosines are largest, where both networks are of one size."""
    from scipy.optimize import linear_sum_assignment

    n = len(rows_1)
    if n != len(rows_2) or not NEARLY_ALL * n <= len(found) < n:
        return found
    left_1, left_2 = (_without(n, found[:, side]) for side in (0, 1))
    cosines = (rows_1[left_1] @ rows_2[left_2].T).square()
    a, b = (torch.as_tensor(index) for index in linear_sum_assignment(cosines.cpu().numpy(), maximize=True))
    return torch.cat([found, torch.stack([left_1[a], left_2[b]], 1)])


def _without(count: int, taken: Int64[Tensor, " m"]) -> Int64[Tensor, " rest"]:
    free = torch.ones(count, dtype=torch.bool)
    free[taken] = False
    return free.nonzero()[:, 0]


def _product_energy(a: Float64[Tensor, "n d"], b: Float64[Tensor, "n d"]) -> float:
    """Return the sum of squares of a b^T, from the smaller of two products."""
    if len(a) <= a.shape[1]:
        step = max(1, BLOCK // len(b))
        return sum((float((a[i : i + step] @ b.T).square().sum()) for i in range(0, len(a), step)), start=0.0)
    return float(((a.T @ a) * (b.T @ b)).sum())

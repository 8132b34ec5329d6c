"""Could the seeds have been dealt to the conditions the other way round?

Under the hypothesis that conditions teach a layer the same, their networks are exchangeable: which of them carries
which condition's label is chance. With R(i, j) the agreement of two networks, a stratum is a set of networks that
differ in the condition under test alone, and for two conditions A, B in it

    separation(A, B) = (mean R(A_i, A_j) + mean R(B_i, B_j)) / 2 - mean R(A_i, B_j),      i /= j

(the unbiased squared maximum mean discrepancy of Gretton et al. 2012, with R as the kernel). The statistic is the
mean of it over pairs of conditions and over strata. Labels of networks are dealt again within every stratum, all
networks keep their agreements with all others, and

    p = share of deals whose statistic is at least the observed one,

over all deals where there are at most `EXACT`, else over random ones, the observed one counted among them (Phipson
& Smyth 2010). Networks are exchanged, never pairs: the pairs of one network are not independent. Nor are networks
that started from the same weights: with equal seeds in several conditions the test is approximate.

The level of the test is exact, for any number of networks; what they cannot tell apart need not be equal. Two
conditions of five networks can be dealt in 126 ways, so that no p is below 1/126 = .008 in one stratum, nor below
.0001 in two (`least`); `detectable` is the separation that would have shown. How alike two conditions are says Q
(`covalign.encoding.debiased.groups`), not the test.
"""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from covalign.arrays import ArrayLike
from covalign.errors import InputError

EXACT = 100_000
"""Most deals that are all looked at."""
DRAWS = 9_999
"""Random deals otherwise; our choice."""
LEVEL = 0.05
TIE = 1e-12


@dataclass(frozen=True)
class Exchange:
    """Whether networks of different conditions are exchangeable.

    Attributes:
        separation: the statistic, in units of R; around 0 where conditions teach the same.
        p_value: NaN where there is no statistic.
        least: the smallest p that this many networks could have given.
        detectable: separation from which p would have been at most .05.
        deals: how many were looked at.
        exact: whether these were all.
    """

    separation: float
    p_value: float
    least: float
    detectable: float
    deals: int
    exact: bool


Stratum = tuple[Float64[Tensor, "m m"], tuple[int, ...]]


def exchange_test(
    strata: Sequence[tuple[ArrayLike, Sequence[int]]], *, draws: int = DRAWS, seed: int = 0
) -> Exchange:
    """Test whether networks of different conditions are exchangeable.

    Args:
        strata: of each, agreements R ``[m, m]`` of its networks (symmetric; the diagonal is ignored, NaN is left out)
            and the condition of every network as a number. At least two conditions, of at least two networks each.
        draws: random deals where there are too many to look at all.
        seed: of these.

    Raises:
        InputError: no strata, shapes that do not fit, or a condition of fewer than two networks.

    Example:
        Three networks a side that agree within a side alone: of ten ways to make two threes, one is as separate.

        >>> within = torch.block_diag(torch.ones(3, 3), torch.ones(3, 3))
        >>> found = exchange_test([(within, (0, 0, 0, 1, 1, 1))])
        >>> found.separation, found.p_value, found.least, found.exact
        (1.0, 0.1, 0.1, True)
    """
    known = [_checked(*each) for each in strata]
    if not known or draws < 1:
        raise InputError(
            f"exchange: got {len(known)} strata and {draws} draws, expected at least one of each"
        )
    ways = [_ways(labels) for _, labels in known]
    exact = math.prod(ways) <= EXACT
    generator = torch.Generator().manual_seed(seed)
    found = torch.zeros(1, dtype=torch.float64)
    for matrix, labels in known:
        deals = _all(labels) if exact else _drawn(labels, draws, generator)
        own = separations(matrix, deals) / len(known)
        found = (found[:, None] + own).flatten() if exact else found + own
    observed = float(found[0])  # the first deal is the one that was made
    alike = math.prod(_same(labels) for _, labels in known)
    least = alike / math.prod(ways) if exact else max(alike / math.prod(ways), 1 / len(found))
    if math.isnan(observed):
        return Exchange(math.nan, math.nan, least, math.nan, len(found), exact)
    large = found.isnan() | (found >= observed - TIE * max(1.0, abs(observed)))
    return Exchange(observed, float(large.double().mean()), least, _detectable(found), len(found), exact)


def separations(matrix: Float64[Tensor, "m m"], deals: Int64[Tensor, "p m"]) -> Float64[Tensor, " p"]:
    """Return the mean separation over pairs of conditions under every deal of labels.

    Args:
        matrix: agreements, NaN where left out.
        deals: labels of the networks, one deal a row.
    """
    groups = int(deals.max()) + 1
    kept = (~matrix.isnan()).double().fill_diagonal_(0)
    values = torch.where(kept > 0, matrix, 0.0)
    found = []
    for part in deals.split(20_000):
        member = [(part == group).double() for group in range(groups)]
        means = _sums(member, values) / _sums(member, kept)
        within = means.diagonal(dim1=1, dim2=2)
        apart = (within[:, :, None] + within[:, None, :]) / 2 - means
        first, second = torch.triu_indices(groups, groups, 1)
        found.append(apart[:, first, second].mean(1))
    return torch.cat(found)


def _sums(
    member: Sequence[Float64[Tensor, "p m"]], values: Float64[Tensor, "m m"]
) -> Float64[Tensor, "p g g"]:
    """Sum values over pairs of networks of every two conditions, under every deal."""
    reached = [each @ values for each in member]
    return torch.stack([torch.stack([(one * two).sum(1) for two in member], 1) for one in reached], 1)


def _checked(matrix: ArrayLike, labels: Sequence[int]) -> Stratum:
    tensor = torch.as_tensor(matrix).to(torch.float64)
    names = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    if tensor.shape != (len(labels), len(labels)) or bool(tensor.isinf().any()):
        raise InputError(
            f"exchange: got agreements {tuple(tensor.shape)} and {len(labels)} labels, expected [m, m], "
            "finite or NaN, and m labels"
        )
    if len(names) < 2 or min(Counter(labels).values()) < 2:
        raise InputError(
            f"exchange: got networks of conditions {dict(Counter(labels))}, expected at least two conditions of at "
            "least two networks"
        )
    return tensor, tuple(names[label] for label in labels)


def _ways(labels: Sequence[int]) -> int:
    """Number of different deals."""
    counts = Counter(labels).values()
    return math.factorial(len(labels)) // math.prod(map(math.factorial, counts))


def _same(labels: Sequence[int]) -> int:
    """Number of deals that make the same sets of networks."""
    return math.prod(math.factorial(times) for times in Counter(Counter(labels).values()).values())


def _all(labels: Sequence[int]) -> Int64[Tensor, "p m"]:
    """Return every deal, the given one first."""
    deals = [list(labels)]
    deals += [deal for deal in _arrangements(Counter(labels), len(labels)) if deal != deals[0]]
    return torch.tensor(deals)


def _arrangements(counts: Counter[int], length: int) -> list[list[int]]:
    if length == 0:
        return [[]]
    if len(counts) == 2:
        first, second = counts
        chosen = itertools.combinations(range(length), counts[first])
        return [[first if i in places else second for i in range(length)] for places in map(set, chosen)]
    return [
        [label, *rest]
        for label in counts
        if counts[label]
        for rest in _arrangements(counts - Counter([label]), length - 1)
    ]


def _drawn(labels: Sequence[int], draws: int, generator: torch.Generator) -> Int64[Tensor, "p m"]:
    """Return random deals after the given one."""
    order = torch.rand((draws, len(labels)), generator=generator).argsort(1)
    given = torch.tensor(labels)
    return torch.cat([given[None], given[order]])


def _detectable(found: Float64[Tensor, " p"]) -> float:
    """Return the smallest separation whose p is at most `LEVEL`; NaN where none is."""
    ordered = torch.where(found.isnan(), torch.inf, found).sort(descending=True).values
    values, counts = torch.unique_consecutive((ordered / TIE / 10).round() * TIE * 10, return_counts=True)
    reached = counts.cumsum(0) / len(found) <= LEVEL
    return (
        float(values[reached][-1])
        if bool(reached.any()) and math.isfinite(float(values[reached][-1]))
        else math.nan
    )

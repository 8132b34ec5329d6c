"""Which directions are learned by how many networks, and how much of a network do the others explain?

Rows are neurons of unit length in common coordinates, ``[n_i, d]``, S_i = mean w w^T of network i. For every
network i

    U^(-i) = leading eigenvectors of the mean of S_j over j != i,      x_ir = u_r^(-i) . S_i u_r^(-i):

no neuron of network i has a part in the directions that it is judged by. From these follow

    debiased eigenvalues   mean_i x_ir - 1/d, of the mean of the traceless second moments: products of different
                           networks alone, where the eigenvalues of the mean itself count every neuron with itself
    captured_i(r)          sum_{s<=r} x_is, beside r/d (chance) and own_i(r), what half of network i's own neurons
                           capture of the other half
    explained_i            (captured_i - r/d) / (own_i - r/d); above 1 where many networks say more of a network than
                           half of its own neurons
    shared(r)              share of networks whose x_ir exceeds the `LEVEL` quantile of a direction turned at random

"At random" means channels turned by a Haar rotation, places kept: all networks use space alike in joint convolutions,
which is no evidence of shared channels. Chance is 1 - `LEVEL` of the networks at every rank. The *shared rank* is the
number of leading directions before the first one that fewer than half of the networks share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.haar import haar_frame, normal
from covalign.errors import InputError
from covalign.kernels.thin import squared_factors

LEVEL = 0.95
"""Quantile of random directions above which a network counts as having learned one."""

DRAWS = 400
"""Random directions per network and rank; our choice."""

RANKS = 64
"""Directions at most that are followed; our choice."""


@dataclass(frozen=True, eq=False)
class Sharing:
    """How directions are shared by m networks, strongest first.

    Attributes:
        variances: debiased eigenvalues ``[r]``, in units of a neuron's squared length.
        captured: ``[m, r]``, share of each network's variance along the leading directions of the others.
        own: ``[m, r]``, the same of half of its neurons along the leading directions of the other half; NaN beyond
        half
            the number of its neurons.
        shared: ``[r]``, share of networks that learned the r-th direction.
        dimension: d, so that chance captures r / d.
    """

    variances: Float64[Tensor, " r"]
    captured: Float64[Tensor, "m r"]
    own: Float64[Tensor, "m r"]
    shared: Float64[Tensor, " r"]
    dimension: int

    @property
    def shared_rank(self) -> int:
        """Number of leading directions before the first that fewer than half of the networks share."""
        fewer = (self.shared < 0.5).nonzero()
        return int(fewer[0, 0]) if len(fewer) else len(self.shared)

    def explained(self, rank: int | None = None, of: "Sharing | None" = None) -> Float64[Tensor, " m"]:
        """Share of what a network learned along its own strongest directions that the others' directions explain.

        Args:
            rank: number of directions; by default as many as half of every network's neurons allow.
            of: whose own strength is the measure; for a null, that of the networks it is the null of.
        """
        own = (of or self).own
        r = min(rank or own.shape[1], int((~own.isnan()).all(0).sum()))
        if r < 1:
            return torch.full((len(own),), torch.nan, dtype=torch.float64)
        chance = r / self.dimension
        return (self.captured[:, r - 1] - chance) / (own[:, r - 1] - chance)


def sharing(
    rows: Sequence[Float64[Tensor, "_ d"]], *, places: int = 1, ranks: int = RANKS, seed: int = 0
) -> Sharing:
    """Follow the leading directions of all but one network into the one that was left out.

    Args:
        rows: neurons of unit length in common coordinates, columns ordered (channel, place).
        places: k^2 of a joint convolution, 1 otherwise.
        ranks: at most so many directions.
        seed: of random directions and halves.

    Raises:
        InputError: fewer than two networks, or one with fewer than four neurons.
    """
    if len(rows) < 2 or min(map(len, rows)) < 4:
        raise InputError(
            f"sharing: got networks of {[len(each) for each in rows]} neurons, expected two networks of four neurons"
        )
    d = rows[0].shape[1]
    generator = torch.Generator().manual_seed(seed)
    most = min(ranks, d, *(sum(map(len, rows)) - len(each) for each in rows))
    seen, exceeded, own = [], [], []
    for i, each in enumerate(rows):
        directions = leading_directions([other for j, other in enumerate(rows) if j != i], most)[1]
        along = (each @ directions).square().mean(0)
        seen.append(along)
        exceeded.append(along > _random_level(each, directions, places, generator))
        own.append(_own(each, most, generator))
    along = torch.stack(seen)
    return Sharing(
        along.mean(0) - 1 / d, along.cumsum(1), torch.stack(own), torch.stack(exceeded).double().mean(0), d
    )


def leading_directions(
    rows: Sequence[Float64[Tensor, "_ d"]], ranks: int
) -> tuple[Float64[Tensor, " r"], Float64[Tensor, "d r"]]:
    """Return leading eigenvalues and eigenvectors of the mean second moment of networks; signs are arbitrary."""
    values, vectors = squared_factors(torch.cat([each / (len(each) * len(rows)) ** 0.5 for each in rows]))
    return values[:ranks], vectors[:, :ranks]


def turned_at_random(
    rows: Float64[Tensor, "n d"], places: int, generator: torch.Generator
) -> Float64[Tensor, "n d"]:
    """Return the neurons with their channels turned by a Haar rotation: the null of shared orientation."""
    channels = rows.shape[1] // places
    if places == 1 and len(rows) < channels:
        left, singular, _ = torch.linalg.svd(rows, full_matrices=False)
        turned: Tensor = (left * singular) @ haar_frame(channels, len(singular), generator).T
        return turned
    rotation = haar_frame(channels, channels, generator)
    return (rotation @ rows.reshape(len(rows), channels, places)).flatten(1)


def _random_level(
    rows: Float64[Tensor, "n d"], directions: Float64[Tensor, "d r"], places: int, generator: torch.Generator
) -> Float64[Tensor, " r"]:
    """Return the quantile of the variance along each direction, with the channels of that turned at random."""
    if places == 1:
        return _plain_level(rows, generator).expand(directions.shape[1])
    channels = rows.shape[1] // places
    size = min(channels, places)
    frames = torch.stack([haar_frame(channels, size, generator) for _ in range(DRAWS)])
    blocks = directions.T.reshape(-1, channels, places)
    levels = []
    for block in blocks:
        values, vectors = torch.linalg.eigh(block.T @ block)
        root = (vectors * values.clamp(min=0).sqrt())[:, -size:].T
        drawn = (frames @ root).flatten(1)
        levels.append((rows @ drawn.T).square().mean(0).quantile(LEVEL))
    return torch.stack(levels)


def _plain_level(rows: Float64[Tensor, "n d"], generator: torch.Generator) -> Float64[Tensor, ""]:
    """Return the quantile of u . S u over uniform directions u: sum_k lambda_k g_k^2 / |g|^2, g standard normal."""
    values, _ = squared_factors(rows)
    values = values / len(rows)
    rest = rows.shape[1] - len(values)
    squares = normal(DRAWS, len(values), generator=generator).square()
    half = torch.full((DRAWS,), max(rest, 1) / 2, dtype=torch.float64)
    remaining = 2 * torch._standard_gamma(half, generator=generator) if rest else torch.zeros(DRAWS).double()
    level: Tensor = ((squares @ values) / (squares.sum(1) + remaining)).quantile(LEVEL)
    return level


def _own(rows: Float64[Tensor, "n d"], ranks: int, generator: torch.Generator) -> Float64[Tensor, " r"]:
    """Return what leading directions of one half of a network's neurons capture of the other, mean of both ways."""
    order, half = torch.randperm(len(rows), generator=generator), len(rows) // 2
    found = torch.full((ranks,), torch.nan, dtype=torch.float64)
    curves = []
    for used, held in (
        (order[:half], order[half:]),
        (order[len(order) - half :], order[: len(order) - half]),
    ):
        directions = leading_directions([rows[used]], min(ranks, half))[1]
        curves.append((rows[held] @ directions).square().mean(0).cumsum(0))
    found[: len(curves[0])] = (curves[0] + curves[1]) / 2
    return found

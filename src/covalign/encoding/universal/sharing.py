"""Which directions are learned by how many networks, and how much of a network do the others explain?

Rows are neurons of unit length in common coordinates, ``[n_i, d]``, S_i = mean w w^T of network i. For every
network i

    U^(-i) = leading eigenvectors of the mean of S_j over j != i,      x_ir = u_r^(-i) . S_i u_r^(-i):

no neuron of network i has a part in the directions that it is judged by. From these follow

    debiased eigenvalues   mean_i x_ir - 1/d, of the mean of the traceless second moments: products of different
                           networks alone, where the eigenvalues of the mean itself count every neuron with itself
    captured_i(r)          sum_{s<=r} x_is, beside r/d (chance) and most_i(r), the sum of the r largest eigenvalues of
                           S_i: what no r directions can exceed (Fan 1949)
    explained_i            (captured_i - r/d) / (most_i - r/d): 0 at chance, 1 where the others' directions are
                           network i's own. Few neurons fall short of 1 for their noise alone, which is most_i's own
                           and no one else's: hold it against the nulls.
    shared(r)              share of networks whose x_ir exceeds the `LEVEL` quantile of a direction turned at random

"At random" means channels turned by a Haar rotation, places kept: all networks use space alike in joint convolutions,
which is no evidence of shared channels. Chance is 1 - `LEVEL` of the networks at every rank. The *shared rank* is the
number of leading directions before the first one that fewer than half of the networks share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from scipy.linalg import eigh
from torch import Tensor

from covalign.encoding.haar import haar_frame, normal
from covalign.errors import InputError
from covalign.kernels.symmetric import gram
from covalign.kernels.thin import FLOOR, squared_factors, squared_values

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
        most: ``[m, r]``, the largest share that any r directions capture of it.
        shared: ``[r]``, share of networks that learned the r-th direction.
        dimension: d, so that chance captures r / d.
    """

    variances: Float64[Tensor, " r"]
    captured: Float64[Tensor, "m r"]
    most: Float64[Tensor, "m r"]
    shared: Float64[Tensor, " r"]
    dimension: int

    @property
    def shared_rank(self) -> int:
        """Number of leading directions before the first that fewer than half of the networks share."""
        fewer = (self.shared < 0.5).nonzero()
        return int(fewer[0, 0]) if len(fewer) else len(self.shared)

    def explained(self, rank: int | None = None) -> Float64[Tensor, " m"]:
        """Share of what any directions can capture of a network, beyond chance, that the others' directions do.

        Args:
            rank: number of directions, below d; by default the fewest that carry half of what a network has beyond
                chance, in the mean over networks.
        """
        levels = torch.arange(1, self.most.shape[1] + 1, dtype=torch.float64) / self.dimension
        beyond = self.most - levels
        r = rank or int((beyond.mean(0) < beyond.mean(0).max() / 2).sum()) + 1
        return (self.captured - levels)[:, r - 1] / beyond[:, r - 1]


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
    seen, exceeded, largest = [], [], []
    for i, each in enumerate(rows):
        directions = leading_directions([other for j, other in enumerate(rows) if j != i], most)[1]
        along = (each @ directions).square().mean(0)
        seen.append(along)
        exceeded.append(along > _random_level(each, directions, places, generator))
        largest.append(_most(each, most))
    along = torch.stack(seen)
    return Sharing(
        along.mean(0) - 1 / d,
        along.cumsum(1),
        torch.stack(largest),
        torch.stack(exceeded).double().mean(0),
        d,
    )


def leading_directions(
    rows: Sequence[Float64[Tensor, "_ d"]], ranks: int
) -> tuple[Float64[Tensor, " r"], Float64[Tensor, "d r"]]:
    """Return leading eigenvalues and eigenvectors of the mean second moment of networks; signs are arbitrary."""
    together = torch.cat([each / (len(each) * len(rows)) ** 0.5 for each in rows])
    n, d = together.shape
    count = min(ranks, n, d)
    small = gram(together if n <= d else together.T)
    found, own = eigh(small.numpy(), subset_by_index=[len(small) - count, len(small) - 1])
    values, vectors = torch.from_numpy(found).flip(0), torch.from_numpy(own).flip(1)
    if not bool(values[-1] > FLOOR * values[0]):
        values, vectors = squared_factors(together)
        return values[:ranks], vectors[:, :ranks]
    return values, (together.T @ (vectors / values.sqrt()) if n <= d else vectors.contiguous())


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
    values = squared_values(rows) / len(rows)
    rest = rows.shape[1] - len(values)
    squares = normal(DRAWS, len(values), generator=generator).square()
    half = torch.full((DRAWS,), max(rest, 1) / 2, dtype=torch.float64)
    remaining = 2 * torch._standard_gamma(half, generator=generator) if rest else torch.zeros(DRAWS).double()
    level: Tensor = ((squares @ values) / (squares.sum(1) + remaining)).quantile(LEVEL)
    return level


def _most(rows: Float64[Tensor, "n d"], ranks: int) -> Float64[Tensor, " r"]:
    """Return the sums of leading eigenvalues of the mean second moment; those beyond the number of neurons are 0."""
    values = squared_values(rows / len(rows) ** 0.5)
    found = torch.zeros(ranks, dtype=torch.float64)
    found[: len(values)] = values[:ranks]
    return found.cumsum(0)

"""What remains of R where only second moments were stored?

Of unit-length neurons S = mean w w^T ``[d, d]`` of rank r is kept as eigenvalues and eigenvectors, and n. Since
k(w, w) = 1 - 1/d for every neuron,

    U_12 = <S_1, S_2> - 1/d,    U_aa = (n (||S_a||^2 - 1/d) - (1 - 1/d)) / (n - 1),    z

follow exactly, for plain layers without folded scales. The correction of the ratio's bias, the interval, and the
search for related networks need the neurons themselves: the value here is U_12 / sqrt(U_11 U_22), the reason
``no_interval``, and related networks are not noticed.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike
from covalign.encoding.debiased import chance
from covalign.encoding.debiased.coordinates import checked_rotation, layer
from covalign.encoding.debiased.estimate import DebiasedSimilarity
from covalign.encoding.debiased.reasons import Reason
from covalign.errors import InputError


@dataclass(frozen=True, eq=False)
class DirectionMoment:
    """Second moment of the directions of neurons.

    Attributes:
        eigenvalues: ``[r]``, their sum is 1.
        eigenvectors: ``[d, r]``, orthonormal columns.
        neurons: n, without zero rows.
    """

    eigenvalues: Float64[Tensor, " r"]
    eigenvectors: Float64[Tensor, "d r"]
    neurons: int

    @property
    def energy(self) -> float:
        """||S - I/d||^2."""
        return float(self.eigenvalues.square().sum()) - 1 / len(self.eigenvectors)

    @property
    def within(self) -> float:
        """U_aa; NaN for one neuron."""
        own = 1 - 1 / len(self.eigenvectors)
        return (self.neurons * self.energy - own) / (self.neurons - 1) if self.neurons > 1 else math.nan


def direction_moment(rows: ArrayLike) -> DirectionMoment:
    """Return the second moment of the directions of rows ``[n, d]``.

    Raises:
        InputError: unusable rows, or all of them zero.
    """
    directions = layer(rows, "rows").rows
    if not len(directions):
        raise InputError(
            "rows: got zero rows only, expected a neuron with a direction; was the layer pruned?"
        )
    _, singular, right = torch.linalg.svd(directions, full_matrices=False)
    return DirectionMoment(singular.square() / len(directions), right.T.contiguous(), len(directions))


def stored_similarity(
    first: DirectionMoment, second: DirectionMoment, rotation: ArrayLike | None = None
) -> DebiasedSimilarity:
    """Estimate R of two layers from their second moments alone, without interval and bias correction.

    Args:
        first: of network 1.
        second: of network 2; widths must be equal, since neurons cut to the narrower inputs lose their length.
        rotation: A ``[d, d]``; None for shared inputs.

    Raises:
        InputError: different dimensions, or a matrix that is no rotation.
    """
    d = len(first.eigenvectors)
    if len(second.eigenvectors) != d or d < 2:
        raise InputError(
            f"second moments of dimensions {d} and {len(second.eigenvectors)} cannot be compared, expected equal "
            "ones of 2 or more; pass the rows to debiased_similarity"
        )
    turn = checked_rotation(rotation, d, d)
    carried = first.eigenvectors if turn is None else turn.to(first.eigenvectors) @ first.eigenvectors
    overlaps = (carried.T @ second.eigenvectors).square()
    cross = float(first.eigenvalues @ overlaps @ second.eigenvalues) - 1 / d
    energies = first.energy, second.energy
    variance = chance.plain_variance(*energies, d)
    z = cross / math.sqrt(variance) if variance > 0 else math.nan
    skewness = chance.skewness_of_cubes(_cube(first), _cube(second), variance, d)
    value, reason = _ratio(cross, first, second)
    return DebiasedSimilarity(
        value,
        math.nan,
        math.nan,
        z,
        chance.upper_tail(z, skewness),
        reason,
        cross,
        first.within,
        second.within,
        cross / math.sqrt(energies[0] * energies[1]) if variance > 0 else math.nan,
        1.0,
        first.neurons,
        second.neurons,
        d,
    )


def _ratio(cross: float, first: DirectionMoment, second: DirectionMoment) -> tuple[float, Reason]:
    if min(first.neurons, second.neurons) < 2:
        return math.nan, Reason.TOO_FEW_NEURONS
    if min(first.within, second.within) <= 0:
        return math.nan, Reason.TOO_LITTLE_LEARNED
    return cross / math.sqrt(first.within * second.within), Reason.NO_INTERVAL


def _cube(moment: DirectionMoment) -> float:
    """Return tr (S - I/d)^3, zero eigenvalues included."""
    d = len(moment.eigenvectors)
    squares, cubes = (float(moment.eigenvalues.pow(power).sum()) for power in (2, 3))
    return cubes - 3 * squares / d + 2 / d**2

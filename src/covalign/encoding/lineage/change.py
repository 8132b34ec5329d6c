"""How did one layer become another, given which neurons and channels correspond?

Up to factors of neurons, of either sign, and positive ones of channels (r_i, k_j, least squares), the change is

    min_{r, k} ||B_ij - r_i k_j A_ij|| / ||B||,

and its kind is read off the numbers themselves, either layer being taken as the earlier one: equal; equal after
rounding to 16 bits; equal up to factors; zeros where the other has none, else equal (pruned); at most 256 levels,
or integers of -127 to 127 times a step for each neuron (quantized); a difference of low rank; anything else is
training.
"""

import math
from dataclasses import dataclass
from enum import Enum

import torch
from jaxtyping import Float64
from torch import Tensor

EQUAL = 1e-5
"""Relative difference that storage in 32 bits and a change of scales leave (our choice)."""
PRUNED = 0.05
"""Share of weights that are zero in one layer alone, from which a layer counts as pruned (our choice)."""
LEVELS = 256
QUANTIZED = 0.5
"""Largest relative change that is taken for rounding to few levels (our choice)."""
LOW = 1 / 3
"""Share of all directions up to which an update counts as one of low rank (our choice)."""
LARGEST = 256
"""Rank up to which an update of a large layer counts as low (our choice; adapters rarely have more)."""
SOME = 2**14
"""Weights from which most layers show that they have more levels."""
ROUNDS = 30


class Kind(Enum):
    """How a layer became another; the value is what people read."""

    SAME = "identical"
    ROUNDED = "equal after rounding to 16 bits"
    RESCALED = "equal up to factors"
    PRUNED = "pruned, else equal"
    PRUNED_TRAINED = "pruned and trained"
    QUANTIZED = "quantized"
    LOW_RANK = "update of low rank"
    TRAINED = "trained"


@dataclass(frozen=True)
class Change:
    """What distinguishes two corresponding layers.

    Attributes:
        kind: the sort of change.
        size: relative change up to factors.
        zeros_a, zeros_b: shares of zero weights.
        rank: of the difference, where it is low; else 0.
    """

    kind: Kind
    size: float
    zeros_a: float = 0.0
    zeros_b: float = 0.0
    rank: int = 0


def measure_change(a: Float64[Tensor, "n c s"], b: Float64[Tensor, "n c s"]) -> Change:
    """Return how two layers with corresponding neurons and channels differ."""
    if (equal := measure_equality(a, b)) is not None:
        return equal
    size = _distance(a, b)
    kind = _stored(a, b, size)
    rank = 0 if kind else _low_rank((b - a).flatten(1), float(b.norm()))
    kind = kind or (Kind.LOW_RANK if rank else Kind.TRAINED)
    return Change(kind, size, _zeros(a), _zeros(b), rank)


def measure_equality(a: Float64[Tensor, "n c s"], b: Float64[Tensor, "n c s"]) -> Change | None:
    """Return in what sense two layers are equal, None where they are not; cheap."""
    if torch.equal(a, b):
        return Change(Kind.SAME, 0.0, _zeros(a), _zeros(b))
    size = _distance(a, b)
    if _rounded(a, b) or _rounded(b, a):
        return Change(Kind.ROUNDED, size, _zeros(a), _zeros(b))
    return Change(Kind.RESCALED, size, _zeros(a), _zeros(b)) if size <= EQUAL else None


def _stored(a: Float64[Tensor, "n c s"], b: Float64[Tensor, "n c s"], size: float) -> Kind | None:
    """Return which way of storing made unequal layers of each other; None where none shows."""
    both = ((a != 0) & (b != 0)).to(a)
    removed = [float(((each != 0) & (both == 0)).double().mean()) for each in (a, b)]
    if max(removed) >= PRUNED:
        return Kind.PRUNED if _distance(a * both, b * both) <= EQUAL else Kind.PRUNED_TRAINED
    if _quantized(a) != _quantized(b) and size < QUANTIZED:
        return Kind.QUANTIZED
    return None


def _distance(a: Float64[Tensor, "n c s"], b: Float64[Tensor, "n c s"]) -> float:
    """Return min ||B - r_i k_j A|| / ||B|| over factors of neurons and channels, by alternating least squares."""
    total = float(b.square().sum())
    if total == 0:
        return 0.0 if not a.any() else 1.0
    products, energies = (a * b).sum(2), a.square().sum(2)
    neurons, channels = a.new_ones(len(a)), a.new_ones(a.shape[1])
    for _ in range(ROUNDS):
        neurons = _quotient(products @ channels, energies @ channels.square())
        channels = _quotient(neurons @ products, neurons.square() @ energies).clamp(min=0)
    return math.sqrt(float((b - neurons[:, None, None] * channels[:, None] * a).square().sum()) / total)


def _zeros(a: Tensor) -> float:
    return float((a == 0).double().mean())


def _quotient(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 0, numerator / denominator, torch.ones_like(numerator))


def _rounded(a: Tensor, b: Tensor) -> bool:
    """Whether b is a in 16 bits."""
    return any(torch.equal(a.to(kind).to(b), b) for kind in (torch.float16, torch.bfloat16))


def _quantized(a: Float64[Tensor, "n c s"]) -> bool:
    """Whether a whole layer has at most 256 levels, or every neuron stands on a grid of 127 steps a side."""
    few = a.numel() > 4 * LEVELS and len(a.flatten()[:SOME].float().unique()) <= LEVELS
    if few and len(a.float().unique()) <= LEVELS:
        return True
    rows = a.flatten(1)
    steps = 127 * rows / rows.abs().amax(1, keepdim=True).clamp(min=1e-300)
    return a.numel() >= 64 and bool(((steps - steps.round()).abs() < 1e-3).all())


def _low_rank(update: Float64[Tensor, "n d"], size: float) -> int:
    """Return the rank of an update if it is at most a third of what is possible, and `LARGEST`, else 0.

    Products with one random vector more than that have the rank of the update, or more than is low (Halko,
    Martinsson & Tropp 2011): their cost does not grow with the square of a layer's smaller side.
    """
    most = min(LARGEST, int(LOW * min(update.shape)))
    draw = torch.Generator().manual_seed(0)
    probes = torch.randn(update.shape[1], most + 1, generator=draw, dtype=torch.float64).to(update.device)
    values = torch.linalg.svdvals(update @ (probes / math.sqrt(most + 1)))
    rank = int((values > max(1e-4 * float(values[0]), 1e-7 * size)).sum())
    return rank if rank <= most else 0

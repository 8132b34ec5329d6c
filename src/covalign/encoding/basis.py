"""Do two networks share a basis, so that their weights can be subtracted?

A fine-tune keeps the meaning of every channel; an independently trained network, or a copy with permuted
channels, does not. The raw weights tell: their correlation

    rho = <W, W'> / (||W|| ||W'||)

is compared with that of copies of W' whose channels are shuffled, which keep everything but the meaning of
indices: output channels, and input channels, each on its own, since a permuted copy may agree in one of them. Not
shuffled is what has a meaning of its own: the channels of images at the first layer, and the classes at the
readout. Independent networks exchange hidden channels freely, so that for them the p-value of either shuffle,
(1 + #{rho_shuffled >= rho}) / (1 + shuffles), is exact, and the larger of the two is conservative.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

SHUFFLES = 999
ENOUGH = 6
"""Channels below which too few orders exist for a p-value below `LEVEL`."""
LEVEL = 0.01
"""A layer shares the basis where its p-value is below this; independent layers do so at most once in a hundred."""


@dataclass(frozen=True)
class BasisTest:
    """Raw-weight correlation of one layer against channel-shuffled copies.

    Attributes:
        correlation: rho; NaN where a weight is zero.
        shuffled: the largest rho of a shuffled copy; NaN where there are too few channels to shuffle.
        p_value: the larger one of output and input channels; 1 where nothing could be shuffled.
        conclusive: whether there are enough channels for a p-value below `LEVEL`.
    """

    correlation: float
    shuffled: float
    p_value: float
    conclusive: bool

    @property
    def shared(self) -> bool:
        """Whether the layer's channels mean the same in both networks."""
        return self.p_value < LEVEL


def basis_test(
    base: Float[Tensor, "c_out c k_h k_w"],
    other: Float[Tensor, "c_out c k_h k_w"],
    *,
    outputs: bool = True,
    inputs: bool = True,
    seed: int = 0,
) -> BasisTest:
    """Test whether two layers of equal shape share their basis.

    Args:
        base, other: their weights.
        outputs: shuffle output channels; not for a readout.
        inputs: shuffle input channels; not for a first layer, nor for grouped convolutions.
        seed: of the shuffles.
    """
    one, two = (weight.detach().double() for weight in (base, other))
    sides = [(one, two)] if outputs else []
    if inputs:
        sides.append((one.transpose(0, 1), two.transpose(0, 1)))
    sides = [(a, b) for a, b in sides if len(a) >= ENOUGH]
    size = math.sqrt(float(one.square().sum() * two.square().sum()))
    if size == 0 or not sides:
        rho = float((one * two).sum()) / size if size else math.nan
        return BasisTest(rho, math.nan, 1.0, conclusive=False)
    rho = float((one * two).sum()) / size
    shuffled = [_shuffled(a, b, seed) / size for a, b in sides]
    exceeding = max(int((draws >= rho - 1e-12).sum()) for draws in shuffled)
    p_value = (1 + (0 if torch.equal(one, two) else exceeding)) / (1 + SHUFFLES)
    return BasisTest(rho, max(float(draws.max()) for draws in shuffled), p_value, conclusive=True)


def shares_basis(tests: Sequence[BasisTest]) -> bool:
    """Whether two networks share a basis: more than half of these layers do."""
    return 2 * sum(test.shared for test in tests) > len(tests)


def _shuffled(one: Tensor, two: Tensor, seed: int) -> Float64[Tensor, " shuffles"]:
    """Return <W, P W'> for random permutations P of the first axis, from one product of all pairs."""
    products = one.flatten(1) @ two.flatten(1).T
    generator = torch.Generator().manual_seed(seed)
    orders = torch.rand(SHUFFLES, len(one), generator=generator).argsort(1)
    return products[torch.arange(len(one)), orders].sum(1)

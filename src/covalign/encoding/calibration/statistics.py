"""What can be seen of two spectra and their agreement?"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.haar import haar_block
from covalign.encoding.spiked import eigenvector_overlap, population_spike


@dataclass(frozen=True, eq=False)
class Visible:
    """What is seen of b samples: spikes above the edge (zero below), and their eigenvector overlaps."""

    spikes: Float64[Tensor, "b k"]
    overlap: Float64[Tensor, "b k"]

    @classmethod
    def of(cls, eigenvalues: Float64[Tensor, "b k"], gamma: float) -> "Visible":
        """Return what these sample eigenvalues show."""
        spikes = population_spike(eigenvalues, gamma)
        return cls(spikes, eigenvector_overlap(spikes, gamma))

    @property
    def correction(self) -> Float64[Tensor, "b k"]:
        """1/c, at most 2."""
        return self.overlap.clamp(min=0.25).rsqrt()

    def take(self, index: Tensor) -> "Visible":
        """Return chosen samples."""
        return Visible(self.spikes[index], self.overlap[index])


def agreement_statistics(
    first: Visible, second: Visible, overlaps: Float64[Tensor, "*draws b k1 k2"], dimension: int
) -> Float64[Tensor, "*draws b 3"]:
    """T, V and F of the module's docstring (0 where nothing is visible)."""
    weighted = first.spikes.sqrt()[:, :, None] * overlaps * second.spikes.sqrt()[:, None]
    raised = first.correction[:, :, None] * weighted * second.correction[:, None]
    singular = torch.linalg.svdvals(torch.stack([weighted, raised]))
    signal1, signal2 = first.spikes * first.overlap, second.spikes * second.overlap
    nuclear = singular[0].sum(-1) / _geometric(signal1.sum(1), signal2.sum(1))
    full1, full2 = signal1 * first.correction.square(), signal2 * second.correction.square()
    corrected = singular[1].sum(-1) / _geometric(full1.sum(1), full2.sum(1))
    excess = singular[0].square().sum(-1) - first.spikes.sum(1) * second.spikes.sum(1) / dimension
    quadratic = excess / _geometric(signal1.square().sum(1), signal2.square().sum(1))
    return torch.stack([nuclear, corrected, quadratic], -1)


def _geometric(a: Float64[Tensor, " b"], b: Float64[Tensor, " b"]) -> Float64[Tensor, " b"]:
    return (a * b).sqrt().clamp(min=1e-12)


def chance_statistics(
    first: Visible, second: Visible, dimension: int, draws: int, generator: torch.Generator
) -> Float64[Tensor, "draws b 3"]:
    """Statistics of randomly rotated eigenvectors, spectra as observed."""
    batch, k1 = first.spikes.shape
    k2 = second.spikes.shape[1]
    blocks = haar_block(draws * batch, dimension, k1, k2, generator).reshape(draws, batch, k1, k2)
    return agreement_statistics(first, second, blocks, dimension)


def above_chance(
    statistics: Float64[Tensor, "b 3"], chance: Float64[Tensor, "b 3"]
) -> Float64[Tensor, "b 3"]:
    """(T - t₀)/(1 - t₀) and likewise for V; F has no chance level left."""
    nuclear = (statistics[:, :2] - chance[:, :2]) / (1 - chance[:, :2])
    return torch.cat([nuclear, statistics[:, 2:]], 1)

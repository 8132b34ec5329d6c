"""Are the principal components of patches frequencies?

The eigenvectors of a circulant covariance are Fourier modes, and patches of natural images are nearly
stationary; where the agreement is good, an energy profile is the filter bank's response to frequency i.
Power is summed over channels; a real component cannot tell f from -f, so the two count as one mode.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.first_layer.energy import correlation
from covalign.first_layer.patches import PatchCovariance


@dataclass(frozen=True, eq=False)
class FourierAgreement:
    """How close patch eigenvectors are to Fourier modes.

    Attributes:
        shares: for each component, the share of its power in its strongest mode {f, -f}; 1 for a mode.
        frequencies: radius |f| of that mode, in cycles per patch.
        rank_correlation: Spearman correlation of component rank and frequency; positive where leading
            components are the slow ones.
    """

    shares: Float64[Tensor, " d"]
    frequencies: Float64[Tensor, " d"]
    rank_correlation: float


def fourier_agreement(patches: PatchCovariance) -> FourierAgreement:
    """Compare the eigenvectors of a patch covariance with the two-dimensional Fourier modes."""
    k = patches.kernel_size
    power = torch.fft.fft2(patches.components).abs().square().sum(1)
    mirrored = power.flip(1, 2).roll((1, 1), (1, 2))
    step = torch.fft.fftfreq(k, 1 / k, dtype=torch.float64)
    radius = (step[:, None] ** 2 + step**2).sqrt().flatten()
    alone = (step[:, None] % k == -step[:, None] % k) & (step % k == -step % k)
    modes = torch.where(alone, power, power + mirrored).flatten(1) / power.sum((1, 2), keepdim=True)[..., 0]
    shares, strongest = modes.max(1)
    frequencies = radius[strongest]
    order = torch.arange(len(frequencies), dtype=torch.float64)
    return FourierAgreement(shares, frequencies, correlation(order, _ranks(frequencies)))


def _ranks(values: Tensor) -> Float64[Tensor, " d"]:
    """Ranks from 0, ties averaged."""
    below = (values[None] < values[:, None]).sum(1)
    tied = (values[None] == values[:, None]).sum(1)
    return below + (tied - 1).double() / 2

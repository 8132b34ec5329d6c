"""How many directions did a layer learn, and how strongly?

What the eigenvalues of a weight covariance C = W^T W / (n sigma^2) (`covalign.encoding.covariance`) say by
themselves: how many stand out of the noise, and how evenly the variance is spread over these. Eigenvectors are not
needed for it, and cost more than everything else.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.shrinkage import shrink_eigenvalues
from covalign.errors import InputError
from covalign.kernels.thin import squared_values


@dataclass(frozen=True, eq=False)
class WeightSpectrum:
    """Eigenvalues of a weight covariance.

    Attributes:
        eigenvalues: shape ``[r]``, descending, in units of ``init_variance``.
        neurons: number n of rows it was estimated from.
        dimension: length d of a neuron.
        init_variance: sigma^2 of the initial weights.
        shrunk: whether noise has been removed.
    """

    eigenvalues: Float64[Tensor, " r"]
    neurons: int
    dimension: int
    init_variance: float = 1.0
    shrunk: bool = False

    @property
    def aspect_ratio(self) -> float:
        """Gamma = d / n."""
        return self.dimension / self.neurons

    def shrink(self, method: str = "operator") -> "WeightSpectrum":
        """Remove noise (eq. 3 by default); zeros are kept.

        Args:
            method: see `covalign.encoding.shrinkage.shrink_eigenvalues`.

        Raises:
            InputError: already shrunk, or an unknown method.
        """
        if self.shrunk:
            raise InputError(
                "weight covariance: got one that is already shrunk; shrink the original only once"
            )
        values = shrink_eigenvalues(self.eigenvalues, self.aspect_ratio, method)
        return replace(self, eigenvalues=values, shrunk=True)

    @property
    def shrunken(self) -> "WeightSpectrum":
        """This spectrum without noise: itself if shrunk, else `shrink` with eq. 3."""
        return self if self.shrunk else self.shrink()

    @property
    def kept(self) -> int:
        """Number of eigenvalues that stand out of the noise."""
        return int((self.shrunken.eigenvalues > 0).sum())

    @property
    def effective_rank(self) -> float:
        """sum_k k lambda_k / sum_k lambda_k on shrunk eigenvalues (eq. 4); NaN where none is kept."""
        values = self.shrunken.eigenvalues
        rank = torch.arange(1, len(values) + 1, dtype=values.dtype, device=values.device)
        return _ratio((rank * values).sum(), values.sum())

    @property
    def participation_ratio(self) -> float:
        """(tr C)^2 / tr C^2 on shrunk eigenvalues; NaN where none is kept."""
        values = self.shrunken.eigenvalues
        return _ratio(values.sum().square(), values.square().sum())

    @property
    def entropy_rank(self) -> float:
        """exp(-sum_k p_k log p_k) with p = lambda / sum lambda, shrunk; NaN where none is kept."""
        values = self.shrunken.eigenvalues
        if not bool(values.sum() > 0):
            return math.nan
        share = values / values.sum()
        return float(torch.special.entr(share).sum().exp())

    @property
    def stable_rank(self) -> float:
        """Return tr C / lambda_1 on shrunk eigenvalues; NaN where none is kept."""
        values = self.shrunken.eigenvalues
        return _ratio(values.sum(), values[0])


def weight_spectrum(weight: ArrayLike, init_variance: float = 1.0) -> WeightSpectrum:
    """Return the eigenvalues of `covalign.weight_covariance` alone, several times as fast.

    Args:
        weight: ``[c_out, d]``, or a convolution's ``[c_out, c_in, k_h, k_w]``, flattened (c_in, space).
        init_variance: variance of the initial weights.

    Raises:
        InputError: unusable weights or variance.
    """
    rows = neuron_rows(weight, init_variance)
    n, d = rows.shape
    return WeightSpectrum(squared_values(rows) / (n * init_variance), n, d, float(init_variance))


def neuron_rows(weight: ArrayLike, init_variance: float) -> Float64[Tensor, "n d"]:
    """Return neurons as rows, or refuse what cannot be decomposed in units of this variance.

    Raises:
        InputError: unusable weights or variance.
    """
    values = as_float64(weight, "weight")
    if values.ndim < 2:
        raise InputError(f"weight: got shape {tuple(values.shape)}, expected [c_out, d], a row per neuron")
    if not (init_variance > 0 and math.isfinite(init_variance)):
        raise InputError(
            f"init_variance: got {init_variance}, expected a positive number such as 1 / (3 fan_in)"
        )
    return values.flatten(1)


def _ratio(numerator: Tensor, denominator: Tensor) -> float:
    return float(numerator / denominator) if bool(denominator > 0) else math.nan

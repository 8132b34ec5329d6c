"""What does noise do to a covariance with few strong directions?

The spiked model: rows of an ``n × d`` weight matrix are independent with covariance ``I + C``, where ``C``
has few non-zero eigenvalues x (the *spikes*; ℓ = 1 + x). With aspect ratio γ = d/n,

* the eigenvalues of pure noise fill the bulk [(1 - √γ)², (1 + √γ)²] (Marchenko & Pastur 1967);
* a spike x > √γ shows as the sample eigenvalue λ = ℓ (1 + γ/x); a weaker one stays inside the bulk
  (Baik, Ben Arous & Péché 2005; Baik & Silverstein 2006);
* its sample eigenvector keeps the squared overlap c² = (1 - γ/x²)/(1 + γ/x) with the population one
  (Paul 2007; Benaych-Georges & Nadakuditi 2011).

Everything here is in units of the noise variance.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError


def aspect(gamma: float) -> float:
    """Return the aspect ratio γ = d/n as a float, or refuse what is not a positive number.

    Raises:
        InputError: ``gamma`` is not positive and finite.
    """
    if not (math.isfinite(gamma) and gamma > 0):
        raise InputError(f"aspect_ratio: got {gamma}, expected dimension / neurons, a positive number")
    return float(gamma)


def bulk_edges(gamma: float) -> tuple[float, float]:
    """Lower and upper edge of the noise eigenvalues, (1 - √γ)² and (1 + √γ)² (Marchenko & Pastur 1967).

    For γ > 1 the lower edge is that of the non-zero eigenvalues.
    """
    root = math.sqrt(aspect(gamma))
    return (1 - root) ** 2, (1 + root) ** 2


def population_spike(eigenvalue: ArrayLike, gamma: float) -> Float64[Tensor, "..."]:
    """Spike x that shows as the sample eigenvalue λ; zero at and below the upper bulk edge.

    x = (λ - 1 - γ)/2 + √(((λ + 1 - γ)/2)² - λ), the larger root of λ = (1 + x)(1 + γ/x)
    (Donoho, Gavish & Johnstone 2018, eq. 1.10).

    Args:
        eigenvalue: any shape, in units of the noise variance.
        gamma: d/n.
    """
    value = as_float64(eigenvalue, "eigenvalue")
    upper = bulk_edges(gamma)[1]
    root = (((value + 1 - gamma) / 2) ** 2 - value).clamp(min=0).sqrt()
    return torch.where(value > upper, (value - 1 - gamma) / 2 + root, 0.0)


def sample_eigenvalue(spike: ArrayLike, gamma: float) -> Float64[Tensor, "..."]:
    """Sample eigenvalue λ = (1 + x)(1 + γ/x) of a spike x > √γ; the upper bulk edge for a weaker one.

    Args:
        spike: any shape, non-negative.
        gamma: d/n.
    """
    x = as_float64(spike, "spike").clamp(min=math.sqrt(aspect(gamma)))
    return (1 + x) * (1 + gamma / x)


def eigenvector_overlap(spike: ArrayLike, gamma: float) -> Float64[Tensor, "..."]:
    """Squared cosine c² = (1 - γ/x²)/(1 + γ/x) between sample and population eigenvector; zero for x ≤ √γ.

    Paul 2007, theorem 4; Benaych-Georges & Nadakuditi 2011.

    Args:
        spike: any shape, non-negative.
        gamma: d/n.
    """
    x = as_float64(spike, "spike").clamp(min=math.sqrt(aspect(gamma)))
    return ((1 - gamma / x**2) / (1 + gamma / x)).clamp(min=0)


@lru_cache(maxsize=256)
def _bulk_distribution(gamma: float, points: int = 4001) -> tuple[np.ndarray, np.ndarray]:
    """Grid of the bulk and the distribution function of the non-zero noise eigenvalues on it.

    With λ = 1 + γ - 2√γ cos t the density √((λ₊ - λ)(λ - λ₋)) / (2πγλ) becomes smooth in t, and the
    trapezoid rule converges fast; dividing by the last value leaves the non-zero part.
    """
    angle = torch.linspace(0, math.pi, points, dtype=torch.float64)
    value = 1 + gamma - 2 * math.sqrt(gamma) * angle.cos()
    density = torch.where(value > 1e-12, angle.sin() ** 2 / value.clamp(min=1e-12), 1 - angle.sin() ** 2)
    mass = torch.cumulative_trapezoid(density, angle)
    mass = torch.cat([torch.zeros(1, dtype=torch.float64), mass])
    return value.numpy(), (mass / mass[-1]).numpy()


def bulk_quantile(probability: ArrayLike, gamma: float) -> Float64[Tensor, "..."]:
    """Quantiles of the non-zero eigenvalues of pure noise (Marchenko & Pastur 1967).

    Args:
        probability: any shape, in [0, 1].
        gamma: d/n.
    """
    wanted = as_float64(probability, "probability")
    value, mass = _bulk_distribution(aspect(gamma))
    return torch.from_numpy(np.interp(wanted.cpu().numpy(), mass, value))


def bulk_median(gamma: float) -> float:
    """Median of the non-zero eigenvalues of pure noise (Gavish & Donoho 2014 use it to find the noise)."""
    value, mass = _bulk_distribution(aspect(gamma))
    return float(np.interp(0.5, mass, value))

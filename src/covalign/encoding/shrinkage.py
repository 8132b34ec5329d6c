"""Which part of a sample eigenvalue is signal?

A shrinker maps the eigenvalues of a weight covariance, in units of the initialization variance, to what
remains once the noise is taken away; eigenvectors are kept. In the spiked model each loss has its best
shrinker (Donoho, Gavish & Johnstone 2018); all are given here with the unit bulk subtracted, so that what
is noise becomes exactly zero. `cross_validated_eigenvalues` needs no model, but the weights themselves.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float64
from scipy.optimize import isotonic_regression
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.spiked import bulk_edges, eigenvector_overlap, population_spike
from covalign.errors import InputError

__all__ = ["SHRINKERS", "bulk_edges", "cross_validated_eigenvalues", "shrink_eigenvalues"]

SHRINKERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "operator": lambda x, c2: x,
    "frobenius": lambda x, c2: c2 * x,
    "frechet": lambda x, c2: (c2 * (1 + x).sqrt() + 1 - c2) ** 2 - 1,
    "nuclear": lambda x, c2: x * (2 * c2 - 1).clamp(min=0),
}
"""Signal left of a spike x whose sample eigenvector keeps the squared overlap c²: one shrinker per loss."""


def shrink_eigenvalues(
    eigenvalues: ArrayLike, aspect_ratio: float, method: str = "operator"
) -> Float64[Tensor, "..."]:
    """Replace each eigenvalue by its signal part; noise becomes zero.

    The paper's shrinker ("operator") is

        η(λ) = (λ - 1 - γ)/2 + √(((λ + 1 - γ)/2)² - λ)  if λ > (1 + √γ)², else 0

    With x = η(λ), ℓ = 1 + x and c² the squared overlap of the eigenvectors,
    "frobenius" gives c²x, "frechet" (the Bures-Wasserstein loss) (c²√ℓ + 1 - c²)² - 1, and "nuclear"
    x(2c² - 1)₊, minus the unit bulk. "none" changes nothing.

    Args:
        eigenvalues: any shape ``[...]``, in units of the noise variance; what is returned too.
        aspect_ratio: γ = d/n, dimension over neurons.
        method: "operator", "frobenius", "frechet", "nuclear" or "none".

    Raises:
        InputError: unknown method, or unusable eigenvalues or aspect ratio.

    Example:
        With as many neurons as dimensions the noise reaches up to 4; a spike of 2 above the noise shows at 4.5:

        >>> shrink_eigenvalues([4.5, 3.9, 0.2], aspect_ratio=1.0).tolist()
        [2.0, 0.0, 0.0]

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, equation 3; Donoho, Gavish &
        Johnstone, "Optimal shrinkage of eigenvalues in the spiked covariance model", Annals of Statistics 46, 2018,
        table 2.
    """
    values = as_float64(eigenvalues, "eigenvalues")
    if method == "none":
        return values.clone()
    if method not in SHRINKERS:
        known = ", ".join([*SHRINKERS, "none"])
        raise InputError(f"shrinker: got {method!r}, expected one of {known}")
    x = population_spike(values, aspect_ratio)
    if method == "operator":
        return x
    return torch.where(x > 0, SHRINKERS[method](x, eigenvector_overlap(x, aspect_ratio)), 0.0)


def cross_validated_eigenvalues(
    weight: ArrayLike, init_variance: float = 1.0, *, folds: int = 10, seed: int = 0
) -> Float64[Tensor, " r"]:
    """Signal along each eigenvector, measured on neurons that did not choose the eigenvector.

    The neurons are cut into groups; eigenvectors come from all groups but one, variances along them from
    the one left out: x_k = mean over groups of |W_out p_k|²/(n_out σ²) - 1, made non-increasing and
    non-negative. Model-free: right for any spectrum and any distribution of the neurons (NERCOME, Lam 2016,
    eq. 2.6, in the K-fold form of Bartz 2016).

    Args:
        weight: ``[n, d]``, one row per neuron.
        init_variance: variance σ² of the noise.
        folds: number of groups; at most n.
        seed: how the neurons are dealt into groups.

    Returns:
        ``[min(n, d)]``, descending, in units of ``init_variance``; zero where nothing could be measured.

    Raises:
        InputError: fewer than two neurons or folds, or an unusable variance.
    """
    w = as_float64(weight, "weight", "n d")
    n, d = w.shape
    if n < 2 or folds < 2:
        raise InputError(f"cross-validation: got {n} neurons in {folds} folds, expected at least 2 of each")
    if not init_variance > 0:
        raise InputError(f"init_variance: got {init_variance}, expected a positive number")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).to(w.device)
    signal = w.new_zeros(min(n, d))
    groups = order.tensor_split(min(folds, n))
    for group in groups:
        rest = torch.ones(n, dtype=torch.bool, device=w.device)
        rest[group] = False
        basis = torch.linalg.svd(w[rest], full_matrices=False).Vh
        variance = (w[group] @ basis.T).square().mean(0) / init_variance
        signal[: len(variance)] += (variance - 1) / len(groups)
    fitted = isotonic_regression(signal.cpu().numpy(), increasing=False).x
    return signal.new_tensor(fitted.copy()).clamp(min=0)

"""Which components of the images do the first-layer filters respond to?

The energy profile of K filters w_k over the patch eigenvectors u_i is

    e_i = sqrt( (1/K) sum_k (w_k^T u_i)^2 )                      (Chowers & Weiss 2023, section 2.2).

It is invariant to permuting filters and to mixing them by an orthogonal matrix; two profiles are compared by
the Pearson correlation of e (not of e^2 or log e), which also ignores scale.
"""

from dataclasses import dataclass

from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError
from covalign.first_layer.patches import PatchCovariance
from covalign.showing import Shown


@dataclass(frozen=True, eq=False, repr=False)
class EnergyProfile(Shown):
    """Root-mean-square response of filters along each patch eigenvector, not normalized.

    Attributes:
        energy: e ``[d]``, leading component first, in units of the weights.
        filters: the number K of filters it was measured on; None for a prediction.
        off_diagonal: share of the squared Frobenius norm of U^T (W^T W / K) U that lies off the diagonal,
            which a profile does not show; 0 where the filters' principal axes are the patches' own. None
            for a prediction.

    References:
        Chowers & Weiss, "What do CNNs learn in the first layer and why?", ICML 2023, section 2.2.
    """

    energy: Float64[Tensor, " d"]
    filters: int | None = None
    off_diagonal: float | None = None


def energy_profile(
    weight: ArrayLike, patch_covariance: PatchCovariance, init: ArrayLike | None = None
) -> EnergyProfile:
    """Energy profile of first-layer filters.

    e_i = sqrt((1/K) sum_k (w_k^T u_i)^2) over patch eigenvectors u_i, in units of the weights, not normalized.

    Args:
        weight: filters of shape ``[K, c, k, k]``.
        patch_covariance: of the images, at the filters' kernel size and channel count.
        init: the weights before training, subtracted where given, so that the profile shows what was
            learned. Without it, the initial noise adds a constant to every e_i^2.

    Raises:
        InputError: filters whose shape is not that of the patches, or an ``init`` of another shape.

    Example:
        Two filters, both along the leading component of the patches, of lengths 3 and 4:

        >>> import torch
        >>> from covalign.first_layer.patches import patch_covariance
        >>> patches = patch_covariance(torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), 2)
        >>> filters = torch.stack([3 * patches.components[0], 4 * patches.components[0]])
        >>> energy_profile(filters, patches).energy.square().round(decimals=6).tolist()
        [12.5, 0.0, 0.0, 0.0]

    References:
        Chowers & Weiss, "What do CNNs learn in the first layer and why?", ICML 2023, section 2.2.
    """
    filters = as_float64(weight, "weight", "K c k k")
    k = patch_covariance.kernel_size
    if tuple(filters.shape[1:]) != (patch_covariance.channels, k, k):
        raise InputError(
            f"weight: got filters of shape {tuple(filters.shape[1:])}, expected "
            f"{(patch_covariance.channels, k, k)} as the patches have; compute patch_covariance with "
            f"kernel_size={filters.shape[-1]} on images of {filters.shape[1]} channels"
        )
    if init is not None:
        initial = as_float64(init, "init", "K c k k")
        if initial.shape != filters.shape:
            raise InputError(
                f"init: got shape {tuple(initial.shape)}, expected {tuple(filters.shape)} like weight; "
                "pass the initial weights of the same layer"
            )
        filters = filters - initial
    responses = filters.flatten(1) @ patch_covariance.eigenvectors
    moment = responses.T @ responses / len(filters)
    total = float(moment.square().sum())
    diagonal = float(moment.diagonal().square().sum())
    return EnergyProfile(
        energy=moment.diagonal().sqrt(),
        filters=len(filters),
        off_diagonal=1 - diagonal / total if total else 0.0,
    )


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson correlation of two vectors; NaN where one of them is constant."""
    if a.shape != b.shape:
        raise InputError(
            f"correlation: got lengths {len(a)} and {len(b)}, expected equal ones; "
            "profiles can be compared only over the same patch covariance"
        )
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / (a.norm() * b.norm()))


def profile_correlation(a: EnergyProfile, b: EnergyProfile) -> float:
    """Agreement of two energy profiles: Pearson correlation of e; NaN where a profile is flat."""
    return correlation(a.energy, b.energy)


def sampling_limit(a: EnergyProfile, b: EnergyProfile) -> float:
    """The agreement that two finite filter banks can be expected to reach at most.

    If the filters of both banks were independent Gaussian draws with one common profile e, then
    var(e_i hat) = e_i^2 / (2K) and the expected correlation is about

        r = V / sqrt((V + M / 2K_a) (V + M / 2K_b)),     V = variance and M = mean square of e over i.

    V and M are taken from the mean of the two normalized profiles, less their own sampling noise. About .94
    for 16 filters, .97 for 32 and .985 for 64 on the profiles of trained first layers. A prediction counts
    as infinitely many filters.
    """
    noise_a, noise_b = (0.5 / p.filters if p.filters else 0.0 for p in (a, b))
    profile = a.energy / a.energy.norm() + b.energy / b.energy.norm()
    mean_square = profile.square().mean()
    spread = (profile.var(correction=0) - mean_square * (noise_a + noise_b) / 4).clamp(min=0)
    limit = spread / ((spread + mean_square * noise_a) * (spread + mean_square * noise_b)).sqrt()
    return float(limit.nan_to_num(0.0))

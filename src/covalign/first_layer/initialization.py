"""Which filters would the first layer learn, drawn before any training?

W = G diag(e) U^T with the predicted energy profile e over the patch eigenvectors U and random rows G: the
profile is the learned one, the choice of filters within it is random. Works for any kernel size, width and
number of channels, because all three enter through the patches alone.
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.haar import haar_frame
from covalign.errors import InputError
from covalign.first_layer.energy import EnergyProfile
from covalign.first_layer.patches import PatchCovariance


def initial_filters(
    patch_covariance: PatchCovariance,
    profile: EnergyProfile,
    filters: int,
    variance: float | int | None = None,
    seed: int = 0,
) -> Float64[Tensor, "K c k k"]:
    """Draw first-layer filters with a given energy profile.

    The columns of G are orthogonal where there are at least d filters, so that the energy profile is met
    exactly, up to scale; with fewer filters the rows are orthogonal and it is met on average.

    Args:
        patch_covariance: of the images to train on.
        profile: `predicted_energy`, `linear_cnn_energy`, or a measured profile.
        filters: number K of filters.
        variance: mean square of the weights; None for 1 / (3 d), that of PyTorch's convolutions.
        seed: of the random rows.

    Raises:
        InputError: a profile of another length or without energy, or no filters.
    """
    d = patch_covariance.dimension
    norm = float(profile.energy.norm())
    if len(profile.energy) != d or not norm > 0:
        raise InputError(
            f"profile: got {len(profile.energy)} components of norm {norm:g}, expected "
            f"{d} with some energy; predict it from the same patch covariance"
        )
    if filters < 1:
        raise InputError(f"filters: got {filters}, expected at least 1")
    generator = torch.Generator().manual_seed(seed)
    basis = haar_frame(max(filters, d), min(filters, d), generator)
    rows = basis if filters >= d else basis.T
    weight: Tensor = rows * profile.energy @ patch_covariance.eigenvectors.T
    target = variance or 1 / (3 * d)
    weight = weight * math.sqrt(target / float(weight.square().mean()))
    return weight.reshape(filters, patch_covariance.channels, *patch_covariance.components.shape[2:])

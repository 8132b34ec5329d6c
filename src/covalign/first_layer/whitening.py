"""Does the first layer whiten its input?

The channel-summed autocorrelation of a feature map y(x), the vector of all channels at position x, is

    C(delta) = E[y(x) . y(x + delta)] / E[y(x) . y(x)],

over images and positions, no mean removed, along each axis separately: photographs are correlated further
horizontally than vertically. If the responses of a filter bank satisfy e_i ~ 1 / lambda_i for every spatial
frequency, their spectrum is flat and C is a delta (Chowers & Weiss 2023, theorem 4.3). A small kernel cannot
whiten long wavelengths, so even the perfect whitener of 3 x 3 patches keeps about 0.1 at ten pixels.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.errors import InputError
from covalign.first_layer.patches import PatchCovariance, pixel_batches


@dataclass(frozen=True, eq=False)
class Autocorrelation:
    """Channel-summed autocorrelation against distance.

    Attributes:
        horizontal: C(0) = 1, C(1), ... by distance along rows, in output pixels.
        vertical: the same along columns.
    """

    horizontal: Float64[Tensor, " shifts"]
    vertical: Float64[Tensor, " shifts"]

    @property
    def off_peak(self) -> float:
        """Root mean square of C over the distances above 0; 0 for a delta."""
        return float(torch.cat([self.horizontal[1:], self.vertical[1:]]).square().mean().sqrt())


def autocorrelation(
    images: Images | ArrayLike,
    weight: ArrayLike | None = None,
    max_shift: int = 15,
    normalization: Normalization | None = None,
) -> Autocorrelation:
    """Autocorrelation of images, or of a filter bank's responses to them.

    Args:
        images: an `Images` record or an array of shape ``[n, c, h, w]``.
        weight: filters of shape ``[K, c, k, k]``, applied at stride 1 without padding; None for the images
            themselves.
        max_shift: largest distance in pixels.
        normalization: applied to the pixels first; None takes the numbers as they are.

    Raises:
        InputError: filters that do not fit the images, or a distance that the responses do not reach.
    """
    filters = None if weight is None else as_float64(weight, "weight", "K c k k")
    sums = torch.zeros(2, max_shift + 1, dtype=torch.float64)
    for batch in pixel_batches(images, normalization):
        for part in batch.split(64):
            responses = part if filters is None else _responses(part, filters)
            sums += torch.stack([_products(responses, max_shift), _products(responses.mT, max_shift)])
    horizontal, vertical = sums / sums[:, :1]
    return Autocorrelation(horizontal, vertical)


def whitening_filters(patch_covariance: PatchCovariance) -> Float64[Tensor, "d c k k"]:
    """The perfect (ZCA) whitener Sigma^(-1/2) of patches, as d filters.

    Components without variance are left out, so that the responses' covariance is the identity on the rest.
    """
    lam, axes = patch_covariance.standard_deviations, patch_covariance.eigenvectors
    inverse = torch.where(lam > 0, 1 / torch.where(lam > 0, lam, 1.0), 0.0)
    return ((axes * inverse) @ axes.T).reshape(patch_covariance.components.shape)


def _responses(batch: Tensor, filters: Tensor) -> Float64[Tensor, "n K h w"]:
    height, width = batch.shape[2:]
    if filters.shape[1] != batch.shape[1] or max(filters.shape[2:]) > min(height, width):
        raise InputError(
            f"weight: got filters of shape {tuple(filters.shape[1:])}, expected {batch.shape[1]} channels "
            f"and a kernel of at most {min(height, width)} pixels, as the images have"
        )
    return torch.nn.functional.conv2d(batch, filters)


def _products(responses: Tensor, max_shift: int) -> Float64[Tensor, " shifts"]:
    """Mean over positions, sum over images, of y(x) . y(x + delta) along the last axis."""
    width = responses.shape[3]
    if max_shift >= min(responses.shape[2:]):
        raise InputError(
            f"max_shift: got {max_shift}, expected less than {min(responses.shape[2:])}, the size of the "
            "feature map in pixels"
        )
    products = [
        (responses[..., : width - shift] * responses[..., shift:]).mean((2, 3)).sum()
        for shift in range(max_shift + 1)
    ]
    return torch.stack(products)

"""What second-order structure do the patches of a data set have?

A patch p is an input window of kernel size k, flattened in the order (c, h, w): the order in which
PyTorch flattens a filter, so that a filter's response is the inner product of two rows. This module is the
only place where that order is decided. With d = c k^2:

    Sigma = mean of p p^T = U diag(lambda^2) U^T,      A = covariance of the image means of p,

where lambda_i is a *standard deviation* along the eigenvector u_i (Chowers & Weiss 2023, section 4.1).
Sigma describes single patches and fixes the axes of every energy profile; A describes the average patch of
an image, which is all that a linear CNN with global average pooling sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.errors import InputError
from covalign.kernels.windows import EXACT_IMAGES, window_means, window_moment
from covalign.showing import Shown

BATCH_BYTES = 2**25

MIDDLE = 128
"""Taken off uint8 pixels, so that none is larger in size."""


@dataclass(frozen=True, eq=False, repr=False)
class PatchCovariance(Shown):
    """Eigendecomposition of the patch covariance of a data set.

    Attributes:
        standard_deviations: lambda ``[d]``, descending, in units of the (normalized) pixels; exactly 0 where the
            variance is below rounding (d eps lambda_1^2).
        eigenvectors: ``[d, d]``, u_i in columns, flattened (c, h, w). Signs are fixed so that the inner product with
            (1, 1/2, 1/3, ...) is positive; rotations among equal standard deviations are not determined.
        mean: the mean patch ``[d]``.
        average_covariance: A ``[d, d]``, the covariance (mean removed) of the patch averages of single images.
        images: number of images.
        positions: number J of windows in an image.
        kernel_size: k.
        channels: c.
        stride: distance between neighbouring windows.
        centred: whether the mean patch was removed before the eigendecomposition.

    References:
        Chowers & Weiss, "What do CNNs learn in the first layer and why?", ICML 2023, sections 2.1 and 4.1.
    """

    standard_deviations: Float64[Tensor, " d"]
    eigenvectors: Float64[Tensor, "d d"]
    mean: Float64[Tensor, " d"]
    average_covariance: Float64[Tensor, "d d"]
    images: int
    positions: int
    kernel_size: int
    channels: int
    stride: int
    centred: bool

    @property
    def dimension(self) -> int:
        """Length d = c k^2 of a patch."""
        return len(self.standard_deviations)

    @property
    def patches(self) -> int:
        """Number of patches seen."""
        return self.images * self.positions

    @property
    def components(self) -> Float64[Tensor, "d c k k"]:
        """The eigenvectors as filters, leading one first."""
        k = self.kernel_size
        return self.eigenvectors.T.reshape(-1, self.channels, k, k)

    @property
    def average_variances(self) -> Float64[Tensor, " d"]:
        """a_i = u_i^T A u_i; lambda_i^2 / J if the patches of an image were independent."""
        return torch.einsum("di,de,ei->i", self.eigenvectors, self.average_covariance, self.eigenvectors)


def patch_covariance(
    images: Images | ArrayLike,
    kernel_size: int,
    stride: int = 1,
    centred: bool = False,
    normalization: Normalization | None = None,
) -> PatchCovariance:
    """Patch covariance of a whole data set: every window inside every image, in one pass.

    Sigma = (1/N) sum_n p_n p_n^T, minus the outer product of the mean patch if ``centred``. Uncentred is
    the definition in the paper's text; its code centres. Sums are float64 and memory does not grow with
    the number of images. Windows are not unfolded (`covalign.kernels.windows`), and the products of uint8 pixels
    are exact, so that a normalization is applied to their sums.

    Args:
        images: an `Images` record or an array of shape ``[n, c, h, w]``.
        kernel_size: side k of the square window.
        stride: distance between neighbouring windows in pixels.
        centred: remove the mean patch.
        normalization: applied to the pixels first; None takes the numbers as they are, and standard deviations are in
            units of these.

    Raises:
        InputError: a kernel that does not fit, a stride below 1, or images that are empty or not finite.

    Example:
        One image of stripes, 1 and -1 in turn: a patch is (1, -1, 1, -1) or its negative, of length 2, whatever its
        place.

        >>> stripes = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0]).expand(1, 1, 5, 5)
        >>> found = patch_covariance(stripes, kernel_size=2)
        >>> found.standard_deviations.round(decimals=6).tolist(), found.positions
        ([2.0, 0.0, 0.0, 0.0], 16)
        >>> found.components[0].round(decimals=6).tolist()
        [[[0.5, -0.5], [0.5, -0.5]]]

    References:
        Chowers & Weiss, "What do CNNs learn in the first layer and why?", ICML 2023, sections 2.1 and 4.1.
    """
    seen, positions = 0, 0
    moment = mean = average_moment = torch.zeros((), dtype=torch.float64)
    batches, scale, shift = _batches(images, normalization)
    for batch in batches:
        positions = _positions(batch, kernel_size, stride)
        averages = window_means(batch, kernel_size, stride)
        moment = moment + window_moment(batch, kernel_size, stride)
        mean = mean + averages.sum(0)
        average_moment = average_moment + averages.T @ averages
        seen, channels = seen + len(batch), batch.shape[1]
    mean, moment, average_moment = mean / seen, moment / (seen * positions), average_moment / seen
    scale, shift = (each.to(mean).repeat_interleave(kernel_size**2) for each in (scale, shift))
    sizes, mixed = torch.outer(scale, scale), torch.outer(scale * mean, shift)
    average_covariance = sizes * (average_moment - torch.outer(mean, mean))
    mean = scale * mean + shift
    second_moment = sizes * moment + mixed + mixed.T + torch.outer(shift, shift)
    if centred:
        second_moment = second_moment - torch.outer(mean, mean)
    standard_deviations, eigenvectors = _principal_axes(second_moment)
    return PatchCovariance(
        standard_deviations=standard_deviations,
        eigenvectors=eigenvectors,
        mean=mean,
        average_covariance=average_covariance,
        images=seen,
        positions=positions,
        kernel_size=kernel_size,
        channels=channels,
        stride=stride,
        centred=centred,
    )


def average_patches(
    images: Images | ArrayLike,
    kernel_size: int,
    stride: int = 1,
    normalization: Normalization | None = None,
) -> Float64[Tensor, "n d"]:
    """Mean patch of each image, flattened (c, h, w), in rows; arguments as in `patch_covariance`."""
    found = []
    for batch in pixel_batches(images, normalization):
        _positions(batch, kernel_size, stride)
        found.append(window_means(batch, kernel_size, stride))
    return torch.cat(found)


def pixel_batches(
    images: Images | ArrayLike, normalization: Normalization | None = None
) -> Iterator[Float64[Tensor, "n c h w"]]:
    """Yield the images as float64 batches of at most 32 MB, normalized where asked."""
    pixels = _pixels(images)
    for batch in pixels.split(max(1, BATCH_BYTES // (8 * pixels[0].numel()))):
        yield as_float64(normalization(batch) if normalization else batch, "images", "n c h w")


def _batches(
    images: Images | ArrayLike, normalization: Normalization | None
) -> tuple[Iterator[Float[Tensor, "n c h w"]], Float64[Tensor, " c"], Float64[Tensor, " c"]]:
    """Return batches of numbers q, and what makes them pixels: scale q + shift by channel. Whole ones for uint8."""
    pixels = _pixels(images)
    channels, size = pixels.shape[1], 8 * pixels[0].numel()
    scale, shift = torch.ones(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
    if pixels.dtype != torch.uint8:
        return pixel_batches(pixels, normalization), scale, shift
    if normalization:
        scale, shift = normalization.affine(channels)
    parts = pixels.split(min(EXACT_IMAGES, max(1, BATCH_BYTES // size)))
    return (part.float() - MIDDLE for part in parts), scale, shift + MIDDLE * scale


def _pixels(images: Images | ArrayLike) -> Tensor:
    pixels = images.pixels if isinstance(images, Images) else images
    pixels = pixels if isinstance(pixels, Tensor) else torch.as_tensor(np.asarray(pixels))
    if pixels.ndim != 4 or pixels.numel() == 0:
        raise InputError(
            f"images: got shape {tuple(pixels.shape)}, expected [n, c, h, w] with at least one image"
        )
    return pixels


def _positions(batch: Tensor, kernel_size: int, stride: int) -> int:
    """Number of windows that fit into an image."""
    height, width = batch.shape[2:]
    if not 1 <= kernel_size <= min(height, width):
        raise InputError(
            f"kernel_size: got {kernel_size}, expected 1 to {min(height, width)} "
            f"for images of {height} x {width} pixels"
        )
    if stride < 1:
        raise InputError(f"stride: got {stride}, expected 1 or more")
    return ((height - kernel_size) // stride + 1) * ((width - kernel_size) // stride + 1)


def _principal_axes(
    second_moment: Tensor,
) -> tuple[Float64[Tensor, " d"], Float64[Tensor, "d d"]]:
    """Standard deviations, descending, and eigenvectors with their signs fixed."""
    variances, vectors = torch.linalg.eigh(second_moment)
    variances, vectors = variances.flip(0), vectors.flip(1)
    d = len(variances)
    rounding = d * torch.finfo(torch.float64).eps * variances[0]
    variances = torch.where(variances > rounding, variances, 0)
    lead = 1 / torch.arange(1, d + 1, dtype=torch.float64, device=vectors.device)
    signs = torch.where(lead @ vectors < 0, -1.0, 1.0).to(vectors)
    return variances.sqrt(), vectors * signs

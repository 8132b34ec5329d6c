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
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.errors import InputError

BATCH_BYTES = 2**25
STRIP_WINDOWS = 16


@dataclass(frozen=True, eq=False)
class PatchCovariance:
    """Eigendecomposition of the patch covariance of a data set.

    Attributes:
        standard_deviations: lambda, descending, in units of the (normalized) pixels; exactly 0 where the
            variance is below rounding (d eps lambda_1^2).
        eigenvectors: u_i in columns, flattened (c, h, w). Signs are fixed so that the inner product with
            (1, 1/2, 1/3, ...) is positive; rotations among equal standard deviations are not determined.
        mean: the mean patch.
        average_covariance: A, the covariance (mean removed) of the patch averages of single images.
        images: number of images.
        positions: number J of windows in an image.
        kernel_size: k.
        channels: c.
        stride: distance between neighbouring windows.
        centred: whether the mean patch was removed before the eigendecomposition.
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
    the number of images. Instead of unfolding k^2 copies of each image, products of image rows are summed
    over images first and over window positions afterwards.

    Args:
        images: an `Images` record or an array of shape ``[n, c, h, w]``.
        kernel_size: side k of the square window.
        stride: distance between neighbouring windows in pixels.
        centred: remove the mean patch.
        normalization: applied to the pixels first; None takes the numbers as they are.

    Raises:
        InputError: a kernel that does not fit, a stride below 1, or images that are empty or not finite.

    References:
        Chowers & Weiss, "What do CNNs Learn in the First Layer and Why?", ICML 2023, sections 2.1, 4.1.
    """
    images_seen, positions = 0, 0
    moment = mean = average_moment = torch.zeros((), dtype=torch.float64)
    for batch in pixel_batches(images, normalization):
        positions = _positions(batch, kernel_size, stride)
        averages = _average_patches(batch, kernel_size, stride)
        moment = moment + _patch_moment(batch, kernel_size, stride)
        mean = mean + averages.sum(0)
        average_moment = average_moment + averages.T @ averages
        images_seen += len(batch)
        channels = batch.shape[1]
    mean = mean / images_seen
    outer = torch.outer(mean, mean)
    second_moment = moment / (images_seen * positions) - (outer if centred else 0)
    standard_deviations, eigenvectors = _principal_axes(second_moment)
    return PatchCovariance(
        standard_deviations=standard_deviations,
        eigenvectors=eigenvectors,
        mean=mean,
        average_covariance=average_moment / images_seen - outer,
        images=images_seen,
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
    batches = pixel_batches(images, normalization)
    return torch.cat([_average_patches(batch, kernel_size, stride) for batch in batches])


def pixel_batches(
    images: Images | ArrayLike, normalization: Normalization | None = None
) -> Iterator[Float64[Tensor, "n c h w"]]:
    """Yield the images as float64 batches of at most 32 MB, normalized where asked."""
    pixels = images.pixels if isinstance(images, Images) else images
    pixels = pixels if isinstance(pixels, Tensor) else torch.as_tensor(np.asarray(pixels))
    if pixels.ndim != 4 or pixels.numel() == 0:
        raise InputError(
            f"images: got shape {tuple(pixels.shape)}, expected [n, c, h, w] with at least one image"
        )
    for batch in pixels.split(max(1, BATCH_BYTES // (8 * pixels[0].numel()))):
        yield as_float64(normalization(batch) if normalization else batch, "images", "n c h w")


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


def _average_patches(batch: Tensor, kernel_size: int, stride: int) -> Float64[Tensor, "n d"]:
    """Mean over windows: first over the rows of windows, then over the columns."""
    _positions(batch, kernel_size, stride)
    rows = batch.unfold(2, kernel_size, stride).mean(2)
    return rows.unfold(2, kernel_size, stride).mean(2).flatten(1)


def _patch_moment(batch: Tensor, kernel_size: int, stride: int) -> Float64[Tensor, "d d"]:
    """Sum of p p^T over all windows of a batch, strip by vertical strip."""
    columns = (batch.shape[3] - kernel_size) // stride + 1
    strips = [
        batch[..., stride * first : stride * (min(first + STRIP_WINDOWS, columns) - 1) + kernel_size]
        for first in range(0, columns, STRIP_WINDOWS)
    ]
    return torch.stack([_strip_moment(strip, kernel_size, stride) for strip in strips]).sum(0)


def _strip_moment(strip: Tensor, k: int, stride: int) -> Float64[Tensor, "d d"]:
    """Sum of p p^T over the windows of one strip, shape ``[n, c, h, w]``.

    The block of the moment that pairs patch rows t and t + o is the sum, over the windows' top rows y, of
    the products of image rows y + t and y + t + o; products are shared by all t with the same offset o.
    """
    n, c, h, w = strip.shape
    rows = strip.permute(2, 0, 1, 3).reshape(h, n, c * w)
    last = (h - k) // stride * stride
    moment = strip.new_zeros(c, k, k, c, k, k)
    for offset in range(k):
        products = rows[: h - offset].mT @ rows[offset:]
        for top in range(k - offset):
            paired = products[top : top + last + 1 : stride].sum(0).view(c, w, c, w)
            windows = paired.unfold(1, k, stride).unfold(3, k, stride)
            block = windows.diagonal(dim1=1, dim2=3).sum(-1).transpose(1, 2)
            moment[:, top, :, :, top + offset, :] = block
            moment[:, top + offset, :, :, top, :] = block.permute(2, 3, 0, 1)
    return moment.reshape(c * k * k, c * k * k)


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

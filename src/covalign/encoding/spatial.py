"""Which spatial patterns does a layer use?

The spatial covariance of kernels ``w_ij`` (one per pair of output and input channel) is their uncentred
second moment over both channel axes,

    C = 1 / (c_out c_in) * sum_ij w_ij w_ij^T,    shape [k^2, k^2]

(Guth & Menard 2024, section 2.2; after Trockman et al. 2023). Its leading eigenvectors, seen as k x k
pictures, are nearly the same in every layer and network: the universal spatial filters.

Kernels of up to `COMPLETE` taps have a complete basis. Of larger ones at most c_out c_in directions have variance;
they come from the smaller of the two second moments, of taps or of kernels, and the leading `KEPT` are kept.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.signs import canonical_signs
from covalign.errors import InputError
from covalign.showing import Shown

COMPLETE = 121
"""Taps up to which all eigenvectors are kept: 11x11, the largest kernel of most networks (our choice)."""

KEPT = 64
"""Eigenvectors that are kept of larger kernels (our choice)."""


@dataclass(frozen=True, eq=False, repr=False)
class SpatialCovariance(Shown):
    """Eigendecomposition of a spatial covariance.

    Attributes:
        eigenvalues: ``[values]``, descending, in units of the squared weights; all k_h k_w of kernels of up to
            `COMPLETE` taps, of larger ones those that can have variance, min(kernels, k_h k_w).
        eigenvectors: ``[k_h k_w, rank]``, in columns, with the sign of `canonical_signs`; one for every
            eigenvalue, of larger kernels at most the leading `KEPT`.
        kernel_size: (k_h, k_w).
        kernels: number of kernels averaged over.

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, section 2.2; after Trockman,
        Willmott & Kolter, "Understanding the covariance structure of convolutional filters", ICLR 2023.
    """

    PICTURES = "pictures"

    eigenvalues: Float64[Tensor, " values"]
    eigenvectors: Float64[Tensor, "area rank"]
    kernel_size: tuple[int, int]
    kernels: int

    @property
    def area(self) -> int:
        """Number of taps k_h k_w."""
        return len(self.eigenvectors)

    @property
    def patterns(self) -> int:
        """How many eigenvectors are those of the kernels, not just what completes the basis."""
        return min(self.eigenvectors.shape[1], self.kernels)

    @property
    def matrix(self) -> Float64[Tensor, "area area"]:
        """The covariance itself; of kernels larger than `COMPLETE`, as far as its eigenvectors are kept."""
        values = self.eigenvalues[: self.eigenvectors.shape[1]]
        return (self.eigenvectors * values) @ self.eigenvectors.T

    @property
    def pictures(self) -> Float64[Tensor, "rank k_h k_w"]:
        """Eigenvectors as k_h x k_w pictures, leading first."""
        return self.eigenvectors.T.reshape(-1, *self.kernel_size)


def spatial_covariance(weight: ArrayLike, centred: bool = False) -> SpatialCovariance:
    """Diagonalize the second moment of a layer's kernels.

    C = 1 / (c_out c_in) sum_ij w_ij w_ij^T over output channels i and input channels j, in units of squared weights.

    Args:
        weight: ``[c_out, c_in, k_h, k_w]``.
        centred: subtract the mean kernel first (the paper does not).

    Raises:
        InputError: not four axes, empty or non-finite.

    Example:
        A layer all of whose kernels are one edge detector, at some strength: one pattern has all of the variance.

        >>> edge = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        >>> found = spatial_covariance(torch.tensor([1.0, -2.0, 0.5]).view(3, 1, 1, 1) * edge)
        >>> (found.eigenvalues / found.eigenvalues.sum()).round(decimals=6).tolist()[:3]
        [1.0, 0.0, 0.0]
        >>> torch.allclose(found.pictures[0], (edge / edge.norm()).double())
        True

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, section 2.2; after Trockman,
        Willmott & Kolter, "Understanding the covariance structure of convolutional filters", ICLR 2023.
    """
    values = as_float64(weight, "weight", "c_out c_in k_h k_w")
    kernels = values.flatten(2).flatten(0, 1)
    if centred:
        kernels = kernels - kernels.mean(0)
    size = (values.shape[2], values.shape[3])
    if kernels.shape[1] <= max(COMPLETE, len(kernels)):
        return diagonalize(kernels.T @ kernels / len(kernels), size, len(kernels))
    return _of_few_kernels(kernels, size)


def _of_few_kernels(
    kernels: Float64[Tensor, "kernels area"], kernel_size: tuple[int, int]
) -> SpatialCovariance:
    """Diagonalize the kernels' own products: K K^T = V S V^T gives the eigenvectors K^T V S^(-1/2)."""
    values, mixtures = torch.linalg.eigh(kernels @ kernels.T / len(kernels))
    values, mixtures = values.flip(0).clamp(min=0), mixtures.flip(1)[:, :KEPT]
    vectors, _ = torch.linalg.qr(kernels.T @ mixtures)  # orthonormal also where there is no variance
    vectors = vectors * canonical_signs(vectors)
    return SpatialCovariance(values, vectors, kernel_size, len(kernels))


def subspace_overlap(a: SpatialCovariance, b: SpatialCovariance, rank: int = 5) -> float:
    """Return the shared fraction of two leading subspaces, ||U_r^T V_r||_F^2 / r.

    1 for equal subspaces, r / k^2 in expectation for independent ones; rank swaps inside do no harm.

    Raises:
        InputError: different kernel sizes, or a rank outside 1 ... k^2 (or the eigenvectors that are kept).
    """
    check_same_size(a, b)
    _check_rank(a, b, rank)
    return float((a.eigenvectors[:, :rank].T @ b.eigenvectors[:, :rank]).square().sum() / rank)


def matched_cosines(a: SpatialCovariance, b: SpatialCovariance, rank: int = 5) -> Float64[Tensor, " rank"]:
    """Return |cosines| of leading eigenvectors under their best one-to-one matching (Hungarian).

    Entry i belongs to eigenvector i of ``a``, whichever of the first ``rank`` of ``b`` it was matched to.

    Raises:
        InputError: different kernel sizes, or a rank outside 1 ... k^2 (or the eigenvectors that are kept).
    """
    from scipy.optimize import linear_sum_assignment

    check_same_size(a, b)
    _check_rank(a, b, rank)
    cosines = (a.eigenvectors[:, :rank].T @ b.eigenvectors[:, :rank]).abs()
    rows, columns = linear_sum_assignment(cosines.cpu().numpy(), maximize=True)
    return cosines[torch.as_tensor(rows), torch.as_tensor(columns)]


def diagonalize(
    moment: Float64[Tensor, "area area"], kernel_size: tuple[int, int], kernels: int
) -> SpatialCovariance:
    """Return a second moment as eigenvalues, descending, and eigenvectors with canonical signs."""
    values, vectors = torch.linalg.eigh(moment)
    kept = len(values) if len(values) <= COMPLETE else KEPT
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)[:, :kept]
    return SpatialCovariance(values, vectors * canonical_signs(vectors), kernel_size, kernels)


def _check_rank(a: SpatialCovariance, b: SpatialCovariance, rank: int) -> None:
    most = min(each.eigenvectors.shape[1] for each in (a, b))
    if not 1 <= rank <= most:
        what = "the kernel's area" if most == a.area else "the eigenvectors that are kept"
        raise InputError(f"rank: got {rank}, expected 1 to {most}, {what}")


def check_same_size(a: SpatialCovariance, b: SpatialCovariance) -> None:
    """Refuse to compare patterns of different kernel size."""
    if a.kernel_size != b.kernel_size:
        raise InputError(
            f"spatial covariances of {a.kernel_size} and {b.kernel_size} kernels cannot be compared; "
            "choose layers of equal kernel size"
        )

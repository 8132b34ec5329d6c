"""Which spatial patterns does a layer use?

The spatial covariance of kernels ``w_ij`` (one per pair of output and input channel) is their uncentred
second moment over both channel axes,

    C = 1 / (c_out c_in) * sum_ij w_ij w_ij^T,    shape [k^2, k^2]

(Guth & Menard 2024, section 2.2; after Trockman et al. 2023). Its leading eigenvectors, seen as k x k
pictures, are nearly the same in every layer and network: the universal spatial filters.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.signs import canonical_signs
from covalign.errors import InputError


@dataclass(frozen=True, eq=False)
class SpatialCovariance:
    """Eigendecomposition of a spatial covariance.

    Attributes:
        eigenvalues: shape ``[k_h k_w]``, descending, in units of the squared weights.
        eigenvectors: shape ``[k_h k_w, k_h k_w]``, in columns, with the sign of `canonical_signs`.
        kernel_size: (k_h, k_w).
        kernels: number of kernels averaged over.
    """

    eigenvalues: Float64[Tensor, " area"]
    eigenvectors: Float64[Tensor, "area area"]
    kernel_size: tuple[int, int]
    kernels: int

    @property
    def matrix(self) -> Float64[Tensor, "area area"]:
        """The covariance itself."""
        return (self.eigenvectors * self.eigenvalues) @ self.eigenvectors.T

    @property
    def pictures(self) -> Float64[Tensor, "area k_h k_w"]:
        """Eigenvectors as k_h x k_w pictures, leading first."""
        return self.eigenvectors.T.reshape(-1, *self.kernel_size)


def spatial_covariance(weight: ArrayLike, centred: bool = False) -> SpatialCovariance:
    """Diagonalize the second moment of a layer's kernels.

    Args:
        weight: ``[c_out, c_in, k_h, k_w]``.
        centred: subtract the mean kernel first (the paper does not).

    Raises:
        InputError: not four axes, empty or non-finite.
    """
    values = as_float64(weight, "weight", "c_out c_in k_h k_w")
    kernels = values.flatten(2).flatten(0, 1)
    if centred:
        kernels = kernels - kernels.mean(0)
    k_h, k_w = values.shape[2:]
    return diagonalize(kernels.T @ kernels / len(kernels), (k_h, k_w), len(kernels))


def subspace_overlap(a: SpatialCovariance, b: SpatialCovariance, rank: int = 5) -> float:
    """Return the shared fraction of two leading subspaces, ||U_r^T V_r||_F^2 / r.

    1 for equal subspaces, r / k^2 in expectation for independent ones; rank swaps inside do no harm.

    Raises:
        InputError: different kernel sizes, or a rank outside 1 ... k^2.
    """
    check_same_size(a, b)
    if not 1 <= rank <= len(a.eigenvalues):
        raise InputError(f"rank: got {rank}, expected 1 to {len(a.eigenvalues)}, the kernel's area")
    return float((a.eigenvectors[:, :rank].T @ b.eigenvectors[:, :rank]).square().sum() / rank)


def matched_cosines(a: SpatialCovariance, b: SpatialCovariance, rank: int = 5) -> Float64[Tensor, " rank"]:
    """Return |cosines| of leading eigenvectors under their best one-to-one matching (Hungarian).

    Entry i belongs to eigenvector i of ``a``, whichever of the first ``rank`` of ``b`` it was matched to.

    Raises:
        InputError: different kernel sizes, or a rank outside 1 ... k^2.
    """
    from scipy.optimize import linear_sum_assignment

    check_same_size(a, b)
    if not 1 <= rank <= len(a.eigenvalues):
        raise InputError(f"rank: got {rank}, expected 1 to {len(a.eigenvalues)}, the kernel's area")
    cosines = (a.eigenvectors[:, :rank].T @ b.eigenvectors[:, :rank]).abs()
    rows, columns = linear_sum_assignment(cosines.cpu().numpy(), maximize=True)
    return cosines[torch.as_tensor(rows), torch.as_tensor(columns)]


def diagonalize(
    moment: Float64[Tensor, "area area"], kernel_size: tuple[int, int], kernels: int
) -> SpatialCovariance:
    """Return a second moment as eigenvalues, descending, and eigenvectors with canonical signs."""
    values, vectors = torch.linalg.eigh(moment)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    return SpatialCovariance(values, vectors * canonical_signs(vectors), kernel_size, kernels)


def check_same_size(a: SpatialCovariance, b: SpatialCovariance) -> None:
    """Refuse to compare patterns of different kernel size."""
    if a.kernel_size != b.kernel_size:
        raise InputError(
            f"spatial covariances of {a.kernel_size} and {b.kernel_size} kernels cannot be compared; "
            "choose layers of equal kernel size"
        )

"""Will the labels change what the first layer of this data set learns?

Labels reach a linear CNN only through b_c = E[(x - E x)(y_c - E y_c)], with x the average patch of an image
and y_c the indicator of class c. If all classes have the same average patch, true and random labels give b
the same mean 0 and covariance A var(y) / n, and hence the same expected energy profile. In general

    rho_i^2 = sum_c var(y_c) r_{c,i}^2,      r_{c,i} = correlation of y_c with u_i^T x,

and the profile for given labels is about (1 - exp(-tau a_i)) / sqrt(a_i) times rho_i; random labels have
rho_i^2 = sum_c var(y_c) / n. The labels matter where rho departs *unevenly* from that value: a common factor
only rescales the profile. The scale to compare |r| with is 1 / sqrt(n), not 1.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.errors import InputError
from covalign.first_layer.energy import correlation
from covalign.first_layer.linear_cnn import one_hot
from covalign.first_layer.patches import PatchCovariance, average_patches
from covalign.first_layer.prediction import linear_cnn_energy

GROUPS, DRAWS, PERMUTATIONS = 200, 200, 199
"""Of the bootstrap, and of the permutation test of no signal at all; our choice."""


@dataclass(frozen=True, eq=False)
class LabelDependence:
    """How the labels of a data set correlate with its average patches.

    Attributes:
        correlations: r, one class against all others, over the patch components.
        p_values: of r = 0 (normal approximation, two-sided), corrected for all classes and components by
            Holm's method.
        signal: rho_i sqrt(n) / sqrt(sum_c var(y_c)); 1 is what random labels give.
        class_averages: mean patch of each class, less the mean patch of all.
        cross_covariance: b.
        images: number n of images.
        excess: q, the label signal of the population, without bias and so with values below 0; None where an
            earlier version did not measure it.
        redrawn: the same of images drawn again.
        p_value: of the largest entry of rho against permuted labels.
    """

    correlations: Float64[Tensor, "classes d"]
    p_values: Float64[Tensor, "classes d"]
    signal: Float64[Tensor, " d"]
    class_averages: Float64[Tensor, "classes d"]
    cross_covariance: Float64[Tensor, "d classes"]
    images: int
    excess: Float64[Tensor, " d"] | None = None
    redrawn: Float64[Tensor, "draws d"] | None = None
    p_value: float = math.nan

    @property
    def chance(self) -> float:
        """Standard deviation 1 / sqrt(n) of a correlation under random labels."""
        return 1 / math.sqrt(self.images)

    @property
    def significant(self) -> float:
        """Share of class-component pairs that correlate at a corrected level of 0.05."""
        return float((self.p_values < 0.05).double().mean())


def label_dependence(
    images: Images,
    patch_covariance: PatchCovariance,
    normalization: Normalization | None = None,
    seed: int = 0,
) -> LabelDependence:
    """Test the assumption that all classes have the same average patch.

    Args:
        images: with the labels in question.
        patch_covariance: gives components, kernel size and stride; usually of the same images.
        normalization: as for the patch covariance.
        seed: of the images drawn again and of the permuted labels.

    Raises:
        InputError: fewer than two classes present.
    """
    counts = torch.bincount(images.labels, minlength=len(images.classes)).double()
    present = counts > 0
    if int(present.sum()) < 2:
        raise InputError(
            f"labels: got {int(present.sum())} class in {len(images)} images, expected at least two; "
            "load images of several classes"
        )
    averages = average_patches(images, patch_covariance.kernel_size, patch_covariance.stride, normalization)
    targets = one_hot(images.labels, len(counts))[:, present]
    averages = averages - averages.mean(0)
    cross = averages.T @ targets / len(averages)
    coefficients = averages @ patch_covariance.eigenvectors
    correlations = _correlations(coefficients, targets)
    shares = counts[present] / len(images)
    label_variances = shares * (1 - shares)
    rho = (label_variances @ correlations.square()).sqrt()
    redrawn = _redrawn_signal(coefficients, targets, seed)
    return LabelDependence(
        correlations=correlations,
        p_values=holm(torch.erfc(correlations.abs() * math.sqrt(len(images) / 2))),
        signal=rho * math.sqrt(len(images)) / label_variances.sum().sqrt(),
        class_averages=cross.T / shares[:, None],
        cross_covariance=cross,
        images=len(images),
        excess=rho.square() / label_variances.sum() - 1 / len(images),
        redrawn=redrawn,
        p_value=_permutation_p_value(coefficients, images.labels, rho.square().max(), seed),
    )


def predicted_agreement(
    dependence: LabelDependence,
    patch_covariance: PatchCovariance,
    tau: float | int,
    draws: int = 100,
    seed: int = 0,
) -> tuple[float, Float64[Tensor, " draws"]]:
    """Correlation of the true-label and random-label profiles of the linear CNN at training time tau.

    Returns:
        The correlation with the expected random-label profile, and those with single realizations of
        random labels: b normal with covariance A times that of the permuted labels.
    """
    true = linear_cnn_energy(patch_covariance, tau, dependence.cross_covariance).energy
    expected = linear_cnn_energy(patch_covariance, tau).energy
    variances, modes = torch.linalg.eigh(patch_covariance.average_covariance)
    root = modes * variances.clamp(min=0).sqrt()
    outputs = dependence.cross_covariance.shape[1]
    generator = torch.Generator().manual_seed(seed)
    realized = []
    for _ in range(draws):
        noise = torch.randn(len(root), outputs, generator=generator, dtype=torch.float64)
        realized.append(correlation(true, linear_cnn_energy(patch_covariance, tau, root @ noise).energy))
    return correlation(true, expected), torch.tensor(realized, dtype=torch.float64)


def holm(p_values: Tensor) -> Float64[Tensor, "..."]:
    """P-values corrected by Holm's step-down method over all entries (Holm 1979)."""
    flat, order = p_values.flatten().sort()
    factors = torch.arange(len(flat), 0, -1, dtype=torch.float64)
    stepped = (flat * factors).cummax(0).values.clamp(max=1)
    return torch.empty_like(flat).scatter(0, order, stepped).view_as(p_values)


def _correlations(values: Tensor, targets: Tensor) -> Float64[Tensor, "classes d"]:
    """Pearson correlations of all columns of targets with all columns of values, both centred."""
    norms = torch.outer(targets.norm(dim=0), values.norm(dim=0))
    return torch.where(norms > 0, targets.T @ values / norms.clamp(min=1e-300), 0.0)


def _redrawn_signal(
    coefficients: Float64[Tensor, "n d"], targets: Float64[Tensor, "n classes"], seed: int
) -> Float64[Tensor, "draws d"]:
    """Return q of images drawn again, `GROUPS` groups of them at a time.

    The draws' means vary about those of the sample as these do about the population's, so that 2 / n is their bias.
    """
    n, generator = len(coefficients), torch.Generator().manual_seed(seed)
    groups = min(n, GROUPS)
    order = torch.randperm(n, generator=generator)
    sums = torch.stack(
        [coefficients[part].T @ targets[part] / n for part in order.tensor_split(groups)]
    ).flatten(1)
    drawn = torch.randint(groups, (DRAWS, groups), generator=generator)
    counts = torch.zeros(DRAWS, groups, dtype=torch.float64)
    counts.scatter_add_(1, drawn, torch.ones_like(counts))
    power = (counts @ sums).view(DRAWS, coefficients.shape[1], -1).square().sum(2)
    scale = coefficients.square().mean(0) * targets.square().mean(0).sum()
    return torch.where(scale > 0, power / scale.clamp(min=1e-300), 0.0) - 2 / n


def _permutation_p_value(
    coefficients: Float64[Tensor, "n d"], labels: Tensor, largest: Tensor, seed: int
) -> float:
    """Return the p-value of the largest rho^2 over components against permuted labels (exact)."""
    n, generator = len(labels), torch.Generator().manual_seed(seed)
    variances = coefficients.square().mean(0)
    kept = variances > 0
    sums = torch.zeros(int(labels.max()) + 1, int(kept.sum()), dtype=torch.float64)
    exceeding = 0
    for _ in range(PERMUTATIONS):
        shuffled = labels[torch.randperm(n, generator=generator)]
        cross = sums.zero_().index_add_(0, shuffled, coefficients[:, kept]) / n
        exceeding += bool((cross.square().sum(0) / variances[kept]).max() >= largest - 1e-12)
    return (1 + exceeding) / (1 + PERMUTATIONS)

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

AGREEMENT = 0.85
"""Predicted agreement of true-label and random-label profiles above which the labels count as not changing
the first layer (our choice: the level that trained networks reach on CIFAR-10)."""


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
    """

    correlations: Float64[Tensor, "classes d"]
    p_values: Float64[Tensor, "classes d"]
    signal: Float64[Tensor, " d"]
    class_averages: Float64[Tensor, "classes d"]
    cross_covariance: Float64[Tensor, "d classes"]
    images: int

    @property
    def chance(self) -> float:
        """Standard deviation 1 / sqrt(n) of a correlation under random labels."""
        return 1 / math.sqrt(self.images)

    @property
    def significant(self) -> float:
        """Share of class-component pairs that correlate at a corrected level of 0.05."""
        return float((self.p_values < 0.05).double().mean())


@dataclass(frozen=True)
class Verdict:
    """Whether labels will change the first layer, with the evidence.

    Attributes:
        changes: the labels will change the profile.
        agreement: predicted correlation of true-label and random-label profiles, with the random labels in
            expectation.
        low: 5 % quantile of that correlation over single realizations of random labels.
        high: 95 % quantile.
        significant: share of class-component correlations that random labels do not explain.
        largest: largest |r|.
        chance: 1 / sqrt(n).
        sentence: all this in words.
    """

    changes: bool
    agreement: float
    low: float
    high: float
    significant: float
    largest: float
    chance: float
    sentence: str


def label_dependence(
    images: Images, patch_covariance: PatchCovariance, normalization: Normalization | None = None
) -> LabelDependence:
    """Test the assumption that all classes have the same average patch.

    Args:
        images: with the labels in question.
        patch_covariance: gives components, kernel size and stride; usually of the same images.
        normalization: as for the patch covariance.

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
    correlations = _correlations(averages @ patch_covariance.eigenvectors, targets)
    shares = counts[present] / len(images)
    label_variances = shares * (1 - shares)
    rho = (label_variances @ correlations.square()).sqrt()
    return LabelDependence(
        correlations=correlations,
        p_values=holm(torch.erfc(correlations.abs() * math.sqrt(len(images) / 2))),
        signal=rho * math.sqrt(len(images)) / label_variances.sum().sqrt(),
        class_averages=cross.T / shares[:, None],
        cross_covariance=cross,
        images=len(images),
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


def verdict(dependence: LabelDependence, patch_covariance: PatchCovariance, tau: float | int) -> Verdict:
    """Say whether the labels will change the first layer of this data set.

    They will not if no class-average patch differs significantly, whatever tau; otherwise if the predicted
    agreement of the profiles stays at `AGREEMENT` or above.
    """
    agreement, realized = predicted_agreement(dependence, patch_covariance, tau)
    low, high = (float(q) for q in realized.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64)))
    largest = float(dependence.correlations.abs().max())
    changes = dependence.significant > 0 and agreement < AGREEMENT
    reason = (
        f"{dependence.significant:.0%} of the class-component correlations are beyond chance "
        f"(largest |r| {largest:.3f}, chance {dependence.chance:.4f}); "
        f"predicted agreement of true-label and random-label profiles {agreement:.2f}"
    )
    sentence = f"labels {'will' if changes else 'will not'} change the first layer of this data set: {reason}"
    return Verdict(
        changes, agreement, low, high, dependence.significant, largest, dependence.chance, sentence
    )


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

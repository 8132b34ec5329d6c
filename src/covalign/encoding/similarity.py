"""How much of what one layer learned did another one learn too?

The normalized similarity of Guth & Menard (2024, eq. 6) places the Bures-Wasserstein cosine of two shrunk
weight covariances between a chance level and a ceiling,

    S = (cosine(C_1, C_2) - chance) / (ceiling - chance),

where chance = cosine(C_1, O C_1 O^T) with O Haar-random, and ceiling = cosine(C_1, C_1') with C_1' estimated
and shrunk from as many neurons drawn from N(0, C_1 + I). Only C_1 normalizes, so S depends on the order. For
identical populations S stays below 1, because C_2 is noisy too: the calibrated similarity corrects that.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.bures import bures_wasserstein_cosine
from covalign.encoding.calibration.estimate import calibrated_similarity
from covalign.encoding.covariance import WeightCovariance
from covalign.encoding.haar import haar_block, noise_factor, normal
from covalign.encoding.reasons import Reason, Remark, Remarks, in_words
from covalign.encoding.shrinkage import shrink_eigenvalues
from covalign.errors import InputError
from covalign.kernels.thin import leading_factors
from covalign.showing import Shown


@dataclass(frozen=True)
class ReferenceLevels:
    """What the cosine of a covariance with itself is by chance, and at best (eq. 6, z and u)."""

    chance: float
    ceiling: float


@dataclass(frozen=True, repr=False)
class Similarity(Shown):
    """The similarity of two aligned weight covariances, with what is needed to read it.

    Attributes:
        value: S, eq. 6 as published: 0 at chance, 1 at the ceiling, no unit; NaN where undefined.
        cosine: Bures-Wasserstein cosine of the shrunk covariances.
        chance: mean cosine after Haar rotation.
        ceiling: mean cosine of c1 with a resampled self.
        remarks: why ``value`` is NaN; empty otherwise.
        calibrated: model-based estimate of the populations' similarity, unbiased inside the family of spiked
            populations only; NaN where withheld.
        low: lower end of its 95 % interval.
        high: upper end.
        p_value: probability of so large a cosine by chance.
        calibrated_remarks: why ``calibrated`` is withheld, or what it means (same weights).

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, equation 6.
    """

    INTERVAL = ("calibrated", "low", "high")

    value: float
    cosine: float = math.nan
    chance: float = math.nan
    ceiling: float = math.nan
    remarks: Remarks = ()
    calibrated: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan
    calibrated_remarks: Remarks = ()

    @property
    def reason(self) -> str:
        """Why ``value`` is NaN, in words; empty otherwise."""
        return in_words(self.remarks)

    @property
    def calibrated_reason(self) -> str:
        """What is to be said of ``calibrated``, in words."""
        return in_words(self.calibrated_remarks)


def normalized_similarity(
    c1: WeightCovariance,
    c2: WeightCovariance,
    draws: int = 10,
    seed: int = 0,
    *,
    levels: ReferenceLevels | None = None,
    calibrate: bool = True,
) -> Similarity:
    """Compare two weight covariances exactly as published (equation 6), and by the calibrated similarity.

        S = (cosine(C_1, C_2) - chance) / (ceiling - chance)

    of shrunk covariances, with chance the mean of cosine(C_1, O C_1 O^T) over random rotations O, and ceiling that of
    cosine(C_1, C_1') with C_1' estimated from as many neurons drawn from N(0, C_1 + I).

    Args:
        c1, c2: covariances in the same coordinates, ``[d, d]`` as factors; ``c1`` is the reference of eq. 6. What is
            not yet shrunk is shrunk by eq. 3.
        draws: random draws over which chance and ceiling are averaged.
        seed: of all draws.
        levels: chance and ceiling of ``c1`` where they are known already; they do not depend on ``c2``.
        calibrate: also estimate the calibrated similarity, which needs covariances that are not yet shrunk.

    Raises:
        InputError: different dimensions, or no draws.

    Returns:
        `Similarity`; S has no unit, 0 is chance and 1 a network beside a noisy copy of itself.

    Example:
        Two layers of 64 neurons that learned the same six directions of 128, beside two that learned others:

        >>> from covalign.encoding.covariance import weight_covariance
        >>> generator = torch.Generator().manual_seed(0)
        >>> def layer(directions):
        ...     noise = torch.randn(64, 128, generator=generator)
        ...     return weight_covariance(noise + 4 * torch.randn(64, 6, generator=generator) @ directions)
        >>> one, other = (torch.linalg.qr(torch.randn(128, 6, generator=generator)).Q.T for _ in range(2))
        >>> same = normalized_similarity(layer(one), layer(one), calibrate=False)
        >>> different = normalized_similarity(layer(one), layer(other), calibrate=False)
        >>> round(same.value, 1), abs(different.value) < 0.05
        (0.9, True)

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, equation 6; the calibrated
        similarity: docs/results/calibration.
    """
    if c1.dimension != c2.dimension:
        raise InputError(
            f"covariances of dimensions {c1.dimension} and {c2.dimension} cannot be compared; "
            "align the narrower network to the wider"
        )
    published = _published(c1.shrunken, c2.shrunken, draws, seed, levels)
    if not calibrate:
        return published
    if c1.shrunk or c2.shrunk:
        return replace(published, calibrated_remarks=(Remark(Reason.ALREADY_SHRUNK),))
    calibration = calibrated_similarity(c1, c2, seed=seed)
    return replace(
        published,
        calibrated=calibration.value,
        low=calibration.low,
        high=calibration.high,
        p_value=calibration.p_value,
        calibrated_remarks=calibration.remarks,
    )


def _published(
    c1: WeightCovariance, c2: WeightCovariance, draws: int, seed: int, levels: ReferenceLevels | None
) -> Similarity:
    if min(c1.kept, c2.kept) <= 1:
        return Similarity(math.nan, remarks=(Remark(Reason.NOTHING_LEARNED, (c1.kept, c2.kept)),))
    cosine = bures_wasserstein_cosine(c1, c2)
    levels = levels or reference_levels(c1, draws=draws, seed=seed)
    chance, ceiling = levels.chance, levels.ceiling
    if not ceiling > chance:
        return Similarity(math.nan, cosine, chance, ceiling, remarks=(Remark(Reason.NO_CEILING),))
    return Similarity((cosine - chance) / (ceiling - chance), cosine, chance, ceiling)


def reference_levels(c: WeightCovariance, *, draws: int = 10, seed: int = 0) -> ReferenceLevels:
    """Return chance and ceiling of a covariance as the reference of eq. 6; NaN where nothing was learned.

    Raises:
        InputError: no draws.
    """
    if draws < 1:
        raise InputError(f"draws: got {draws}, expected at least 1")
    spectrum = c.shrunken.eigenvalues
    spectrum = spectrum[spectrum > 0].cpu()
    if len(spectrum) == 0:
        return ReferenceLevels(math.nan, math.nan)
    return ReferenceLevels(
        haar_level(spectrum, spectrum, c.dimension, draws=draws, seed=seed),
        _ceiling(spectrum, c.neurons, c.noise_dimension, draws, seed),
    )


def haar_level(
    spectrum_1: Float64[Tensor, " r1"],
    spectrum_2: Float64[Tensor, " r2"],
    dimension: int,
    *,
    draws: int = 10,
    seed: int = 0,
) -> float:
    """Return the mean of cosine(C_1, O C_2 O^T) over Haar-random rotations O.

    Only the overlaps of eigenvectors with rotated ones matter: an r1 x r2 corner of a random rotation.

    Args:
        spectrum_1, spectrum_2: non-zero eigenvalues.
        dimension: of the covariances.
        draws: how many rotations.
        seed: of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(draws):
        (overlaps,) = haar_block(1, dimension, len(spectrum_1), len(spectrum_2), generator)
        total += _cosine_of_overlaps(spectrum_1, overlaps, spectrum_2)
    return total / draws


def _ceiling(spectrum: Float64[Tensor, " r"], neurons: int, dimension: int, draws: int, seed: int) -> float:
    """Mean of cosine(C, C') with C' from ``neurons`` drawn from N(0, C + I), shrunk (eq. 6, u).

    In the eigenbasis of C a neuron has r coordinates of variance 1 + lambda and d - r of pure noise. The
    noise enters only through its n x n Gram matrix, which is drawn as L L^T with the L of `noise_factor`.
    A draw that keeps no eigenvalue counts as cosine 0.
    """
    generator = torch.Generator().manual_seed(seed)
    scale = (1 + spectrum).sqrt()
    total = 0.0
    for _ in range(draws):
        signal = normal(neurons, len(spectrum), generator=generator) * scale
        noise = noise_factor(neurons, dimension - len(spectrum), generator)
        sample = torch.cat([signal, noise], 1)
        values, left = leading_factors(sample.T)
        shrunk = shrink_eigenvalues(values / neurons, dimension / neurons)
        kept = shrunk > 0
        if bool(kept.any()):
            overlaps = signal.T @ left[:, kept] / values[kept].sqrt()
            total += _cosine_of_overlaps(spectrum, overlaps, shrunk[kept])
    return total / draws


def eigenvector_cosines(c1: WeightCovariance, c2: WeightCovariance, ranks: int) -> Float64[Tensor, "r1 r2"]:
    """Return the absolute cosines c_rs = ``|<u_r, v_s>|`` of leading eigenvectors in the same coordinates.

    Independent directions give about sqrt(2 / (pi d)). Two noisy estimates of one population give less than
    1 on the diagonal: about c^2, the overlap of a sample with its population eigenvector.

    Args:
        c1, c2: aligned covariances.
        ranks: how many of each; fewer where there are fewer.

    Returns:
        ``[r1, r2]``, a row per eigenvector of ``c1``, in [0, 1].

    Raises:
        InputError: different dimensions, or no ranks.

    Example:
        Neurons along the axes, whose two strongest change places:

        >>> from covalign.encoding.covariance import weight_covariance
        >>> one = weight_covariance([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]])
        >>> other = weight_covariance([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]])
        >>> eigenvector_cosines(one, other, ranks=3).round(decimals=6).tolist()
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    References:
        Guth & Ménard, "On the universality of neural encodings in CNNs", 2024, figure 3.
    """
    if ranks < 1:
        raise InputError(f"ranks: got {ranks}, expected at least 1")
    if c1.dimension != c2.dimension:
        raise InputError(f"covariances of dimensions {c1.dimension} and {c2.dimension} cannot be compared")
    return (c1.eigenvectors[:, :ranks].T @ c2.eigenvectors[:, :ranks]).abs()


def _cosine_of_overlaps(
    spectrum_1: Float64[Tensor, " r1"], overlaps: Float64[Tensor, "r1 r2"], spectrum_2: Float64[Tensor, " r2"]
) -> float:
    weighted = spectrum_1.sqrt()[:, None] * overlaps * spectrum_2.sqrt()
    norm = float(torch.linalg.svdvals(weighted).sum())
    return norm / math.sqrt(float(spectrum_1.sum()) * float(spectrum_2.sum()))

"""Will the labels change what the first layer of this data set learns, and do the images suffice to tell?

Few images show few correlations, whatever the labels do, so that a verdict must not rest on what was seen alone. It
speaks of a training set of N images of this kind: with the label signal q_i = rho_i^2 / sum_c var(y_c) of the
population, the profiles of true and of random labels would be f_i sqrt(1 + N q_i) and f_i = (1 - exp(-tau a_i)) /
sqrt(a_i), and their correlation is the *agreement*. q is estimated without bias (the square of a sample mean less
its variance, 1 / n), and its uncertainty by drawing the images again (bootstrap over groups of images). The interval
of the agreement is the wider one, on each side, of the percentile and the reflected interval: noise in q lowers the
agreement, in the estimate once and in its draws twice. Over eight labelings of CIFAR-10, drawn 30 times at 20 to
10,000 images, it held the value of all 50,000 images in 90 % of draws and more at every size (labels with no signal
apart, whose agreement of .99 lies at its edge), and no verdict was wrong.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.errors import InputError
from covalign.first_layer.dependence import LabelDependence
from covalign.first_layer.energy import correlation
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import linear_cnn_energy

AGREEMENT = 0.6
"""Predicted agreement below which labels count as changing the first layer. Of eight labelings
(docs/results/first-layer) trained networks agreed by .945 to .985 in the four whose interval lies above, by .87 to
.92 in the three whose interval lies below, and by .957 where it holds the bound; two seeds of the same labels agree
by .97. The bound was chosen after these were seen."""

VERDICT_TIME = 2.5
"""tau lambda_1^2 of the verdict: that of the networks from which `AGREEMENT` comes, five epochs of 10,000 images."""

TRAINING_IMAGES = 50_000
"""N where fewer images are given: the size of CIFAR-10 (our choice; the agreement depends on it weakly)."""

FEWEST = 20
"""Images from which the interval was checked; of fewer the verdict says nothing."""

LEVEL = 0.01
"""Of the permutation test without which no labels are said to change anything (our choice)."""


@dataclass(frozen=True)
class Verdict:
    """Whether labels will change the first layer, with the evidence.

    Attributes:
        changes: the labels will change the profile; None where there are too few images to tell.
        agreement: predicted correlation of true-label and random-label profiles.
        low: lower end of its 95 % interval.
        high: upper end.
        significant: share of class-component correlations that random labels do not explain.
        largest: largest |r|.
        chance: 1 / sqrt(n).
        sentence: all this in words.
        training_images: number N of images in the training set that the verdict speaks of.
        p_value: of no label signal at all, against permuted labels.
    """

    changes: bool | None
    agreement: float
    low: float
    high: float
    significant: float
    largest: float
    chance: float
    sentence: str
    training_images: int = 0
    p_value: float = math.nan


def signal_agreement(
    excess: Float64[Tensor, " d"], form: Float64[Tensor, " d"], training_images: int
) -> float:
    """Correlation of f_i sqrt(1 + N q_i) with f_i, q cut off at 0.

    Args:
        excess: q.
        form: f, the profile of random labels (`linear_cnn_energy` with its diagonal approximation).
        training_images: N.
    """
    return correlation(form * (1 + training_images * excess.clamp(min=0)).sqrt(), form)


def verdict(
    dependence: LabelDependence, patch_covariance: PatchCovariance, training_images: int | None = None
) -> Verdict:
    """Say whether the labels will change the first layer of a training set of images of this kind.

    They will where the predicted agreement lies below `AGREEMENT` with its whole interval and permuted labels show no
    such signal; they will not where it lies above with its whole interval; else there are too few images to tell.

    Args:
        dependence: of the images at hand.
        patch_covariance: of the same.
        training_images: N; None takes `TRAINING_IMAGES`, or as many as are at hand if these are more.

    Raises:
        InputError: a dependence that an earlier version measured.
    """
    if dependence.excess is None or dependence.redrawn is None:
        raise InputError(
            "verdict: this dependence has no label signal with its uncertainty; measure it again"
        )
    count = training_images or max(TRAINING_IMAGES, dependence.images)
    tau = patch_covariance.positions * VERDICT_TIME / float(patch_covariance.standard_deviations[0]) ** 2
    form = linear_cnn_energy(patch_covariance, tau, diagonal=True).energy
    agreement, *redrawn = (
        signal_agreement(excess, form, count) for excess in (dependence.excess, *dependence.redrawn)
    )
    ends = torch.tensor(redrawn, dtype=torch.float64).quantile(
        torch.tensor([0.025, 0.975], dtype=torch.float64)
    )
    enough = dependence.images >= FEWEST
    low, high = (float(end) for end in ends) if enough else (-1.0, 1.0)
    low, high = max(-1.0, min(low, 2 * agreement - high)), min(1.0, max(high, 2 * agreement - low))
    above = low >= AGREEMENT
    changes = False if above else True if high < AGREEMENT and dependence.p_value <= LEVEL else None
    largest = float(dependence.correlations.abs().max())
    said = {
        True: "labels will change the first layer of this data set",
        False: f"labels will not change the first layer of this data set beyond an agreement of {low:.2f}",
        None: "too few images to tell whether labels change the first layer of this data set",
    }[changes]
    evidence = (
        f"trained on {count:,} such images, true and random labels are predicted to give profiles that agree by "
        f"{agreement:.2f} (95 % interval {low:.2f} to {high:.2f} from {dependence.images:,} images, bound "
        f"{AGREEMENT}); {dependence.significant:.0%} of the class-component correlations are beyond chance "
        f"(largest |r| {largest:.3f}, chance {dependence.chance:.4f}, p = {dependence.p_value:.2g})"
    )
    too_few = f"got {dependence.images:,}, expected at least {FEWEST}"
    sentence = f"{said}: {evidence if enough else too_few}"
    return Verdict(
        changes,
        agreement,
        low,
        high,
        dependence.significant,
        largest,
        dependence.chance,
        sentence,
        count,
        dependence.p_value,
    )

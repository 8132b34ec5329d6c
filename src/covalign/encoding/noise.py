"""Do the unlearned directions of a layer still look like its initial noise?

In the spiked model k eigenvalues stand above the bulk edge, and the rest are those of pure noise in what is left,
n - k neurons in d - k dimensions: times n / (n - k) they follow Marchenko & Pastur (1967) with aspect ratio
(d - k) / (n - k). `noise_level` finds the unit in which that holds for the median, and `bulk_check` whether it holds
for low, middle and high quantiles in a given unit. Networks trained with weight decay fail it (their noise shrinks
away), and so do networks so strongly trained that nothing unlearned is left.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.reasons import Reason, Remark, Remarks, in_words
from covalign.encoding.spiked import bulk_edges, bulk_median, bulk_quantile
from covalign.errors import InputError

QUANTILES = (0.25, 0.5, 0.9)
TOLERANCE = 1.4
"""Largest factor between a quantile of the bulk and that of pure noise; our choice."""

LOWEST = 0.6
"""Smallest eigenvalue that still counts as noise, as a share of the lower bulk edge; our choice. In 64 neurons of
pure noise it reaches 0.63 (d = 32) and 0.9 (d = 320); weight decay leaves 0 to 0.7 in published CIFAR ResNets."""

SMALLEST_BULK = 8
"""Fewest eigenvalues in which a bulk can be recognized; our choice."""


@dataclass(frozen=True)
class BulkCheck:
    """Whether the bulk of a spectrum looks like noise.

    Attributes:
        ok: it does.
        remarks: why not; empty where it does.
        spikes: number of eigenvalues above the bulk edge.
        ratios: the bulk's quantiles (0.25, 0.5, 0.9) divided by those of pure noise; empty where too few are left.
    """

    ok: bool
    remarks: Remarks
    spikes: int
    ratios: tuple[float, ...] = ()

    @property
    def reason(self) -> str:
        """Why the bulk does not look like noise, in words; empty where it does."""
        return in_words(self.remarks)


def bulk_check(eigenvalues: ArrayLike, neurons: int, dimension: int) -> BulkCheck:
    """Compare the eigenvalues below the bulk edge with Marchenko and Pastur's law.

    Args:
        eigenvalues: ``[min(n, d)]``, in units of the noise variance, not shrunk.
        neurons: n.
        dimension: d.
    """
    values = _spectrum(eigenvalues, neurons, dimension)
    spikes = int((values > bulk_edges(dimension / neurons)[1]).sum())
    left = len(values) - spikes
    if left < max(SMALLEST_BULK, len(values) // 4):
        remark = Remark(Reason.BULK_LEFT, (spikes, len(values)))
        if spikes == 0:
            remark = Remark(Reason.BULK_TOO_SMALL, (left, SMALLEST_BULK))
        return BulkCheck(False, (remark,), spikes)
    bulk, gamma = _left_over(values, spikes, neurons, dimension)
    ratios = np.quantile(bulk.cpu().numpy(), QUANTILES) / bulk_quantile(QUANTILES, gamma).numpy()
    found = tuple(float(ratio) for ratio in ratios)
    for quantile, ratio in zip(QUANTILES, found, strict=True):
        if not 1 / TOLERANCE <= ratio <= TOLERANCE:
            remark = Remark(Reason.BULK_MISSHAPEN, (quantile, ratio, 1 / TOLERANCE, TOLERANCE))
            return BulkCheck(False, (remark,), spikes, found)
    lower = bulk_edges(gamma)[0]
    if float(bulk[-1]) < LOWEST * lower:
        remark = Remark(Reason.BULK_TOO_LOW, (float(bulk[-1]) / lower, LOWEST))
        return BulkCheck(False, (remark,), spikes, found)
    return BulkCheck(True, (), spikes, found)


def noise_level(eigenvalues: ArrayLike, neurons: int, dimension: int) -> float:
    """Estimate the noise variance from the median of the bulk (after Gavish & Donoho 2014, section III.E).

    The number of spikes and the level are found in turn until neither changes.

    Args:
        eigenvalues: ``[min(n, d)]``, of the uncentred covariance W^T W / n.
        neurons: n.
        dimension: d.

    Returns:
        The level, in the units of the eigenvalues.

    Raises:
        InputError: more than half of the eigenvalues are zero.
    """
    values = _spectrum(eigenvalues, neurons, dimension).tolist()
    edge = bulk_edges(dimension / neurons)[1]
    spikes, seen = 0, set[int]()
    level = 0.0
    while spikes not in seen:
        seen.add(spikes)
        middle = values[spikes + (len(values) - spikes) // 2] * neurons / (neurons - spikes)
        level = middle / bulk_median((dimension - spikes) / (neurons - spikes))
        if not level > 1e-12 * values[0]:
            raise InputError(str(Remark(Reason.NO_NOISE)))
        spikes = min(sum(value > edge * level for value in values), len(values) // 2)
    return level


def _left_over(
    values: Float64[Tensor, " r"], spikes: int, neurons: int, dimension: int
) -> tuple[Float64[Tensor, " b"], float]:
    """Return the eigenvalues without spikes, as those of noise in what is left, and its aspect ratio."""
    n, d = neurons - spikes, dimension - spikes
    return values[spikes:] * neurons / n, d / n


def _spectrum(eigenvalues: ArrayLike, neurons: int, dimension: int) -> Float64[Tensor, " r"]:
    values = as_float64(eigenvalues, "eigenvalues", "r")
    if len(values) != min(neurons, dimension):
        raise InputError(
            f"eigenvalues: got {len(values)} for {neurons} neurons in {dimension} dimensions, expected "
            f"{min(neurons, dimension)}, the unshrunk spectrum"
        )
    return values.sort(descending=True).values

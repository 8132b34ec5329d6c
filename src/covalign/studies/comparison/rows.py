"""How alike are two layers that were paired?"""

import math
from typing import Any

import torch

from covalign.encoding.alignment import Alignment
from covalign.encoding.bures import bures_wasserstein_cosine
from covalign.encoding.covariance import WeightCovariance
from covalign.encoding.similarity import ReferenceLevels, Similarity, haar_level, normalized_similarity
from covalign.studies.comparison.layers import LayerEncoding
from covalign.studies.streaming import Fit

MAP_RANKS = 64
"""Largest side of the eigenvector-cosine maps that a comparison keeps."""


SAME_WEIGHTS = "same weights up to a rotation, and so no independent sample"


DESCRIPTIVE = "descriptive: cosine and chance are of the unshrunk covariances"


def carried(
    a: WeightCovariance, b: WeightCovariance, alignment: Alignment
) -> tuple[WeightCovariance, WeightCovariance]:
    """Bring the narrower covariance into the coordinates of the wider one."""
    return (a, b.rotate(alignment)) if a.dimension > b.dimension else (a.rotate(alignment), b)


def map_ranks(a: LayerEncoding, b: LayerEncoding) -> int:
    """Ranks to show: twice the larger effective rank, at least 8 and at most `MAP_RANKS`."""
    ranks = [e.covariance.effective_rank for e in (a, b)]
    shown = max([8, *(math.ceil(2 * rank) for rank in ranks if math.isfinite(rank))])
    return min(MAP_RANKS, shown)


def obstacle(a: LayerEncoding, b: LayerEncoding, fit: Fit | None) -> str:
    """Why two layers cannot be compared; empty where they can."""
    if a.layer.groups > 1 or b.layer.groups > 1:
        return "grouped convolution: its neurons see different channels, so that no rotation aligns them"
    if a.layer.weight.shape[2:] != b.layer.weight.shape[2:]:
        return "kernels of different size"
    if a.covariance.trace == 0 or b.covariance.trace == 0:
        return "all weights are zero"
    if fit is None:
        return "not aligned: a bare weight file has no forward pass, or no images were given"
    return ""


def same_weights(left: WeightCovariance, right: WeightCovariance) -> bool:
    """Whether two aligned covariances are one, up to the rounding of a fitted alignment.

    Their spectra, which no rotation changes, agree to 1e-5, and the cosine of the unshrunk covariances exceeds
    0.999. Weights that were only trained alike differ in every eigenvalue.
    """
    if len(left.eigenvalues) != len(right.eigenvalues):
        return False
    one, other = (c.eigenvalues * c.init_variance for c in (left, right))
    alike = torch.allclose(one, other, rtol=1e-5, atol=1e-7 * float(one[0]))
    return alike and bures_wasserstein_cosine(left, right) > 0.999


def pair_row(
    a: LayerEncoding,
    b: LayerEncoding,
    fit: Fit | None,
    draws: int,
    seed: int,
    calibrate: bool,
) -> dict[str, Any]:
    """Return one row of the table, without the names of the networks."""
    reasons = [obstacle(a, b, fit)]
    measured: dict[str, float] = dict.fromkeys(MEASURED, math.nan)
    if not reasons[0] and fit is not None:
        describe = a.describable_only or b.describable_only
        statistic = _descriptive if describe else _calibrated
        row, row_reasons = statistic(a, b, fit, draws, seed, calibrate)
        measured |= row
        if same_weights(*carried(a.covariance, b.covariance, fit.alignment)):
            measured |= {"calibrated": 1.0, "low": math.nan, "high": math.nan, "p_value": math.nan}
            row_reasons = [SAME_WEIGHTS]
        reasons += [*row_reasons, fit.alignment.reason]
    return {
        "layer_a": a.layer.name,
        "layer_b": b.layer.name,
        "depth": a.depth,
        "form": a.layer.form,
        "d": max(a.covariance.dimension, b.covariance.dimension),
        "neurons_a": a.covariance.neurons,
        "neurons_b": b.covariance.neurons,
        "kept_a": a.covariance.kept,
        "kept_b": b.covariance.kept,
        "effective_rank_a": a.covariance.effective_rank,
        "effective_rank_b": b.covariance.effective_rank,
        "bulk_ok": a.check.ok and b.check.ok,
        "alignment_correlation": fit.alignment.correlation if fit else math.nan,
        **measured,
        "reason": "; ".join(dict.fromkeys(reason for reason in reasons if reason)),
    }


MEASURED = (
    "cosine",
    "chance",
    "ceiling",
    "similarity",
    "similarity_reversed",
    "calibrated",
    "low",
    "high",
    "p_value",
    "unaligned",
    "shuffled",
)


def _calibrated(
    a: LayerEncoding,
    b: LayerEncoding,
    fit: Fit,
    draws: int,
    seed: int,
    calibrate: bool,
) -> tuple[dict[str, float], list[str]]:
    """Eq. 6 in both orders, the calibrated similarity, and eq. 6 under the controls."""

    def both(left: WeightCovariance, right: WeightCovariance, calibrate: bool) -> tuple[Similarity, float]:
        one, two = _levels(a, left), _levels(b, right)
        forward = normalized_similarity(left, right, draws, seed, levels=one, calibrate=calibrate)
        backward = normalized_similarity(right, left, draws, seed, levels=two, calibrate=False)
        return forward, backward.value

    forward, reversed_value = both(*carried(a.covariance, b.covariance, fit.alignment), calibrate)
    row = {
        "cosine": forward.cosine,
        "chance": forward.chance,
        "ceiling": forward.ceiling,
        "similarity": forward.value,
        "similarity_reversed": reversed_value,
        "calibrated": forward.calibrated,
        "low": forward.low,
        "high": forward.high,
        "p_value": forward.p_value,
    }
    for name, pair in _controls(a, b, fit).items():
        one, other = both(*pair, False)
        row[name] = (one.value + other) / 2
    return row, [forward.reason, forward.calibrated_reason]


def _levels(entry: LayerEncoding, carried: WeightCovariance) -> ReferenceLevels | None:
    """Chance and ceiling, unless they have to be drawn anew in a wider network's coordinates."""
    return entry.levels if carried.dimension == entry.covariance.dimension else None


def _descriptive(
    a: LayerEncoding,
    b: LayerEncoding,
    fit: Fit,
    draws: int,
    seed: int,
    calibrate: bool,
) -> tuple[dict[str, float], list[str]]:
    """Cosine of the unshrunk covariances, its Haar level, and its value under the controls."""
    left, right = carried(a.covariance, b.covariance, fit.alignment)
    spectra = [c.eigenvalues[c.eigenvalues > 0].cpu() for c in (left, right)]
    row = {
        "cosine": bures_wasserstein_cosine(left, right),
        "chance": haar_level(spectra[0], spectra[1], left.dimension, draws, seed),
    }
    for name, pair in _controls(a, b, fit).items():
        row[name] = bures_wasserstein_cosine(*pair)
    return row, [DESCRIPTIVE, *(e.check.reason for e in (a, b) if not e.check.ok)]


def _controls(
    a: LayerEncoding, b: LayerEncoding, fit: Fit
) -> dict[str, tuple[WeightCovariance, WeightCovariance]]:
    """Pairs of covariances that share no fitted alignment; the imposed identity has no shuffled control."""
    pairs = {}
    if a.covariance.dimension == b.covariance.dimension:
        pairs["unaligned"] = (a.covariance, b.covariance)
    if fit.shuffled is not None:
        pairs["shuffled"] = carried(a.covariance, b.covariance, fit.shuffled)
    return pairs

"""How alike are two layers that were paired?"""

import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.alignment import Alignment
from covalign.encoding.bures import bures_wasserstein_cosine, same_weights
from covalign.encoding.covariance import WeightCovariance
from covalign.encoding.debiased.shared_variance import SharedVariance
from covalign.encoding.reasons import Reason, Remark, Remarks, codes, in_words
from covalign.encoding.similarity import (
    ReferenceLevels,
    Similarity,
    eigenvector_cosines,
    haar_level,
    normalized_similarity,
)
from covalign.studies.comparison.columns import PairRow
from covalign.studies.comparison.debiased import Agreement, agreement
from covalign.studies.comparison.layers import LayerEncoding
from covalign.studies.comparison.settings import Settings
from covalign.studies.pairing import Match
from covalign.studies.streaming import Fit

MAP_RANKS = 64
"""Largest side of the eigenvector-cosine maps that a comparison keeps."""

Measured = tuple[dict[str, Any], Remarks]
"""Numbers by the column that holds them, and what is to be said of them."""

ROUNDING = 1e-3
"""By how much a fitted alignment may leave the cosine of one layer with itself short of 1."""


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


def obstacle(a: LayerEncoding, b: LayerEncoding, fit: Fit | None) -> Remarks:
    """Why two layers cannot be compared; empty where they can."""
    if a.layer.groups > 1 or b.layer.groups > 1:
        return (Remark(Reason.GROUPED),)
    if a.layer.weight.shape[2:] != b.layer.weight.shape[2:]:
        return (Remark(Reason.OTHER_KERNEL),)
    if a.covariance.trace == 0 or b.covariance.trace == 0:
        return (Remark(Reason.ZERO_WEIGHTS),)
    return () if fit is not None else (Remark(Reason.NOT_ALIGNED),)


@dataclass(frozen=True, eq=False)
class LayerPair:
    """What was measured of two layers that correspond.

    Attributes:
        row: of the table.
        curve: shared variance; None where there are too few neurons.
        cosines: of aligned eigenvectors, ``[ranks of a, ranks of b]``; None where nothing was compared.
    """

    row: PairRow
    curve: SharedVariance | None
    cosines: Float64[Tensor, "r1 r2"] | None


def layer_pair(
    names: tuple[str, str],
    a: LayerEncoding,
    b: LayerEncoding,
    match: Match,
    fit: Fit | None,
    settings: Settings,
) -> LayerPair:
    """Measure what can be measured of two layers that were matched and aligned."""
    measured, remarks = _measured(a, b, fit, settings)
    hindered = fit is None or obstacle(a, b, fit)
    debiased = Agreement({}) if fit is None or hindered else agreement(a, b, fit, settings.curves)
    if Reason.SAME_WEIGHTS in [remark.reason for remark in remarks]:
        debiased = debiased.of_one
    cosines = (
        None
        if fit is None or hindered
        else eigenvector_cosines(*carried(a.covariance, b.covariance, fit.alignment), map_ranks(a, b))
    )
    row = PairRow(
        a=names[0],
        b=names[1],
        layer_a=a.layer.name,
        layer_b=b.layer.name,
        depth=a.depth,
        form=a.layer.form,
        d=max(a.covariance.dimension, b.covariance.dimension),
        neurons_a=a.covariance.neurons,
        neurons_b=b.covariance.neurons,
        kept_a=a.covariance.kept,
        kept_b=b.covariance.kept,
        effective_rank_a=a.covariance.effective_rank,
        effective_rank_b=b.covariance.effective_rank,
        bulk_ok=a.check.ok and b.check.ok,
        alignment_correlation=fit.alignment.correlation if fit else math.nan,
        reason=in_words(remarks),
        reason_codes=codes(remarks),
        matched_by=match.how.value,
        matched_sure=1 / match.candidates,
        **debiased.columns,
        **measured,
    )
    return LayerPair(row, debiased.curve, cosines)


def _measured(a: LayerEncoding, b: LayerEncoding, fit: Fit | None, settings: Settings) -> Measured:
    """Measure what can be measured of a pair, and say what cannot."""
    hindered = obstacle(a, b, fit)
    if hindered or fit is None:
        return {}, hindered
    known = (*fit.remarks, *fit.alignment.remarks)
    if a.describable_only or b.describable_only:
        numbers, remarks = _descriptive(a, b, fit, settings)
    else:
        numbers, remarks = _published_and_calibrated(a, b, fit, settings)
    if same_weights(*carried(a.covariance, b.covariance, fit.alignment), ROUNDING):
        one = {"calibrated": 1.0, "low": math.nan, "high": math.nan, "p_value": math.nan}
        return numbers | one, (Remark(Reason.SAME_WEIGHTS), *known)
    return numbers, (*remarks, *known)


def _published_and_calibrated(a: LayerEncoding, b: LayerEncoding, fit: Fit, settings: Settings) -> Measured:
    """Eq. 6 in both orders, the calibrated similarity, and eq. 6 under the controls."""

    def both(left: WeightCovariance, right: WeightCovariance, calibrate: bool) -> tuple[Similarity, float]:
        one, two = _levels(a, left), _levels(b, right)
        forward = normalized_similarity(
            left, right, settings.draws, settings.seed, levels=one, calibrate=calibrate
        )
        backward = normalized_similarity(
            right, left, settings.draws, settings.seed, levels=two, calibrate=False
        )
        return forward, backward.value

    forward, reversed_value = both(*carried(a.covariance, b.covariance, fit.alignment), settings.calibrate)
    numbers = {
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
        numbers[name] = (one.value + other) / 2
    return numbers, (*forward.remarks, *forward.calibrated_remarks)


def _levels(entry: LayerEncoding, covariance: WeightCovariance) -> ReferenceLevels | None:
    """Chance and ceiling, unless they have to be drawn anew in a wider network's coordinates."""
    return entry.levels if covariance.dimension == entry.covariance.dimension else None


def _descriptive(a: LayerEncoding, b: LayerEncoding, fit: Fit, settings: Settings) -> Measured:
    """Cosine of the unshrunk covariances, its Haar level, and its value under the controls."""
    left, right = carried(a.covariance, b.covariance, fit.alignment)
    spectra = [c.eigenvalues[c.eigenvalues > 0].cpu() for c in (left, right)]
    numbers = {
        "cosine": bures_wasserstein_cosine(left, right),
        "chance": haar_level(
            spectra[0], spectra[1], left.dimension, draws=settings.draws, seed=settings.seed
        ),
    }
    for name, pair in _controls(a, b, fit).items():
        numbers[name] = bures_wasserstein_cosine(*pair)
    failed = tuple(remark for entry in (a, b) if not entry.check.ok for remark in entry.check.remarks)
    return numbers, (Remark(Reason.DESCRIPTIVE), *failed)


def _controls(
    a: LayerEncoding, b: LayerEncoding, fit: Fit
) -> dict[str, tuple[WeightCovariance, WeightCovariance]]:
    """Pairs of covariances that share no fitted alignment; an alignment that is known has no shuffled control."""
    pairs = {}
    if a.covariance.dimension == b.covariance.dimension:
        pairs["unaligned"] = (a.covariance, b.covariance)
    if fit.shuffled is not None:
        pairs["shuffled"] = carried(a.covariance, b.covariance, fit.shuffled)
    return pairs

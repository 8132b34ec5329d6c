"""What does a first layer show, in plain words?"""

import math
from collections.abc import Mapping

from covalign.first_layer.energy import EnergyProfile, profile_correlation, sampling_limit
from covalign.first_layer.prediction import EnergyFit
from covalign.first_layer.verdict import Verdict
from covalign.first_layer.whitening import Autocorrelation
from covalign.report.words import number

MEASURED, BEFORE, FITTED = "measured", "before training", "formula, fitted"
"""Names of profiles that are no predictions from the images alone."""

LINEAR_ONLY = (
    "The predicted agreement is that of a linear network, which sees class-average patches alone: labels that depend "
    "on how much there is of a pattern, and not on its sign, escape it. Nonlinear networks that we trained on eight "
    "labelings agreed more than predicted in each case, in about the predicted order."
)

CLOSE = 0.9
"""Correlation from which a profile is said to follow its prediction (our choice)."""


def findings(
    network: str,
    profiles: Mapping[str, EnergyProfile],
    fit: EnergyFit | None,
    scaled_time: float | None,
    linear_cnn_time: float | None,
    autocorrelations: Mapping[str, Autocorrelation],
    verdict: Verdict | None,
) -> tuple[str, ...]:
    """Return what a first layer and its prediction show, in plain words.

    Args:
        network: what it is called; empty without one.
        profiles: by name; `MEASURED`, `BEFORE` and `FITTED` apart, predictions.
        fit, scaled_time, linear_cnn_time, autocorrelations, verdict: as in `FirstLayerSummary`.
    """
    sentences = (
        fit_sentence(network, profiles.get(MEASURED), fit),
        peak_sentence(profiles),
        time_sentence(scaled_time, linear_cnn_time, fit is not None),
        exact_sentence(profiles),
        hidden_sentence(profiles.get(MEASURED)),
        white_sentence(autocorrelations),
        label_sentence(verdict),
    )
    return tuple(sentence for sentence in sentences if sentence)


def answers(network: str, fit: EnergyFit | None, verdict: Verdict | None) -> tuple[tuple[str, str], ...]:
    """Return what a reader wants to know first, with the answer in one sentence.

    Args:
        network: what it is called; empty without one.
        fit, verdict: as in `FirstLayerSummary`.
    """
    labels = (
        "Will the labels change it?",
        label_sentence(verdict) or "Not judged: the images have no labels.",
    )
    if fit is None:
        foreseen = (
            "The filters will respond most to the strong, coarse components of the image patches and least to the "
            "fine ones, as drawn below; this is computed from the images alone."
        )
        return ("What will a first layer learn from these images?", foreseen), labels
    word = (
        "Yes"
        if fit.correlation >= CLOSE and fit.p_value < SURE
        else "In part"
        if fit.p_value < SURE
        else "Not shown"
    )
    foreseen = (
        f"{word}: how strongly its filters respond to each component of the images agrees with the prediction from "
        f"the images alone by r = {number(fit.correlation)}, where random filters reach {number(fit.baseline.mean)} "
        f"(p = {fit.p_value:.2g})."
    )
    return ("Could what the first layer learned be foreseen?", foreseen), labels


SURE = 0.05


def fit_sentence(network: str, measured: EnergyProfile | None, fit: EnergyFit | None) -> str:
    """Say how well the published formula fits, against random weights."""
    if fit is None:
        return (
            "" if network else "This is a prediction, from the images alone: no network was trained or read."
        )
    baseline = fit.baseline
    verb = "follows" if fit.correlation >= CLOSE else "partly follows"
    limit = sampling_limit(measured, fit.predicted) if measured else math.nan
    return (
        f"What the first layer learned {verb if fit.p_value < 0.05 else 'cannot be told from chance by'} the formula "
        "computed from the images alone: the fitted prediction "
        f"correlates {number(fit.correlation)} with the measured profile, where random weights reach "
        f"{number(baseline.mean)} ± {number(baseline.spread)} (p = {fit.p_value:.2g}). Sampling alone limits "
        f"{measured and measured.filters} filters to about {number(limit)}."
    )


def peak_sentence(profiles: Mapping[str, EnergyProfile]) -> str:
    """Say where the profile peaks, and what an unknown initialization does to it."""
    if MEASURED not in profiles:
        return ""
    energy = profiles[MEASURED].energy
    caution = (
        ""
        if BEFORE in profiles
        else " The initial weights are not known: their noise is still in the profile and lifts its tail."
    )
    return f"The filters respond most strongly to component {int(energy.argmax()) + 1} of {len(energy)}.{caution}"


def exact_sentence(profiles: Mapping[str, EnergyProfile]) -> str:
    """Say how the predictions that were not fitted agree with the measurement."""
    others = {name: profile for name, profile in profiles.items() if name not in (MEASURED, BEFORE, FITTED)}
    if MEASURED not in profiles or not others:
        return ""
    agreements = [
        f"{name} {number(profile_correlation(profiles[MEASURED], other))}" for name, other in others.items()
    ]
    return f"Other predictions correlate with the measured profile as follows: {', '.join(agreements)}."


def time_sentence(scaled_time: float | None, linear_cnn_time: float | None, fitted: bool) -> str:
    """Say at what training time predictions are made, and what the training would imply."""
    if scaled_time is None:
        return ""
    implied = (
        ""
        if linear_cnn_time is None
        else f"; rate, width and steps of this training would imply {linear_cnn_time:.3g} for a linear network"
    )
    source = "fitted" if fitted else "where the formula fits published networks"
    return f"Training time τλ₁² of all predictions: {scaled_time:.3g} ({source}){implied}."


def hidden_sentence(measured: EnergyProfile | None) -> str:
    """Say how much of the filters' covariance a profile does not show."""
    if measured is None or measured.off_diagonal is None:
        return ""
    return (
        f"A profile shows the diagonal only: {measured.off_diagonal:.0%} of the squared filter covariance lies "
        "between different components."
    )


def white_sentence(curves: Mapping[str, Autocorrelation]) -> str:
    """Say how far each bank is from whitening."""
    if not curves:
        return ""
    parts = [f"{name} {number(curve.off_peak)}" for name, curve in curves.items()]
    return f"Remaining autocorrelation between neighbouring positions (root mean square): {', '.join(parts)}."


def label_sentence(verdict: Verdict | None) -> str:
    """Say whether labels will change the profile."""
    if verdict is None:
        return ""
    sentence = verdict.sentence
    return f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}."

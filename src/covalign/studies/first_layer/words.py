"""What does a first layer show, in plain words?"""

import math

from covalign.report.words import number
from covalign.studies.first_layer.record import FirstLayerSummary

LINEAR_ONLY = (
    "The predicted agreement is that of a linear network. Nonlinear networks that we trained on eight labelings "
    "agreed more than predicted in each case."
)


CLOSE = 0.9
"""Correlation from which a profile is said to follow its prediction (our choice)."""


def findings(study: FirstLayerSummary) -> tuple[str, ...]:
    """Return what a study shows, in plain words."""
    sentences = (
        fit_sentence(study),
        peak_sentence(study),
        time_sentence(study),
        exact_sentence(study),
        hidden_sentence(study),
        white_sentence(study),
    )
    return tuple(sentence for sentence in (*sentences, label_sentence(study)) if sentence)


def fit_sentence(study: FirstLayerSummary) -> str:
    """Say how well the published formula fits, against random weights."""
    if study.fit is None:
        return (
            ""
            if study.network
            else "This is a prediction, from the images alone: no network was trained or read."
        )
    fit, baseline = study.fit, study.fit.baseline
    verb = "follows" if fit.correlation >= CLOSE else "partly follows"
    return (
        f"What the first layer learned {verb if fit.p_value < 0.05 else 'cannot be told from chance by'} the formula "
        "computed from the images alone: the fitted prediction "
        f"correlates {number(fit.correlation)} with the measured profile, where random weights reach "
        f"{number(baseline.mean)} ± {number(baseline.spread)} (p = {fit.p_value:.2g}). Sampling alone limits "
        f"{study.profile and study.profile.filters} filters to about {number(study.sampling_limit or math.nan)}."
    )


def peak_sentence(study: FirstLayerSummary) -> str:
    """Say where the profile peaks, and what an unknown initialization does to it."""
    if study.profile is None:
        return ""
    peak = int(study.profile.energy.argmax()) + 1
    caution = (
        ""
        if study.before is not None
        else " The initial weights are not known: their noise is still in the profile and lifts its tail."
    )
    return f"The filters respond most strongly to component {peak} of {study.patches.dimension}.{caution}"


def exact_sentence(study: FirstLayerSummary) -> str:
    """Say how the other predictions agree with the measurement."""
    measured = study.profile
    if measured is None or not study.predictions:
        return ""
    agreements = [f"{name} {number(study.agreements[name])}" for name in study.predictions]
    return f"Other predictions correlate with the measured profile as follows: {', '.join(agreements)}."


def time_sentence(study: FirstLayerSummary) -> str:
    """Say at what training time predictions are made, and what the training would imply."""
    if study.scaled_time is None:
        return ""
    implied = (
        ""
        if study.linear_cnn_time is None
        else f"; rate, width and steps of this training would imply {study.linear_cnn_time:.3g} for a linear network"
    )
    source = "fitted" if study.fit else "where the formula fits published networks"
    return f"Training time τλ₁² of all predictions: {study.scaled_time:.3g} ({source}){implied}."


def hidden_sentence(study: FirstLayerSummary) -> str:
    """Say how much of the filters' covariance a profile does not show."""
    if study.profile is None or study.profile.off_diagonal is None:
        return ""
    return (
        f"A profile shows the diagonal only: {study.profile.off_diagonal:.0%} of the squared filter covariance lies "
        "between different components."
    )


def white_sentence(study: FirstLayerSummary) -> str:
    """Say how far each bank is from whitening."""
    if not study.autocorrelations:
        return ""
    parts = [f"{name} {number(curve.off_peak)}" for name, curve in study.autocorrelations.items()]
    return f"Remaining autocorrelation between neighbouring positions (root mean square): {', '.join(parts)}."


def label_sentence(study: FirstLayerSummary) -> str:
    """Say whether labels will change the profile."""
    if study.verdict is None:
        return ""
    sentence = study.verdict.sentence
    return f"{sentence[:1].upper()}{sentence[1:].rstrip('.')}."

"""What do the numbers of a comparison mean, in plain words?

Every sentence is computed from `Comparison.table`, and says as plainly what could not be told as what could.
The words for a level of similarity are our choice: "largely the same" from 0.7, "much" from 0.4, "part"
from 0.1.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from covalign.encoding.reasons import Reason
from covalign.report.words import count, number
from covalign.studies.comparison.agreement_words import agreement_findings
from covalign.studies.comparison.orders import beyond_first, has_reason, mean_of_orders, unaligned

LEVELS = (
    (0.7, "learned largely the same encoding"),
    (0.4, "share much of what they learned"),
    (0.1, "share part of what they learned"),
)
FALSE_DISCOVERY_RATE = 0.05
MARGIN = 0.1
"""Difference of similarities that is worth a sentence (our choice)."""


def findings(table: pd.DataFrame, conditions: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return what the comparison shows, a paragraph each.

    Args:
        table: `Comparison.table`.
        conditions: `Comparison.conditions`.
    """
    rows = table.assign(value=mean_of_orders(table))
    same = has_reason(rows, Reason.SAME_WEIGHTS).groupby([rows["a"], rows["b"]]).transform("all")
    others = rows[~same]
    leading = agreement_findings(others, conditions or {})
    sentences = [copies(rows[same]), *leading]
    if leading:
        by_r = others.assign(value=others["debiased"])
        sentences += [extremes(by_r), depth_trend(by_r), published(others), common_start(others)]
    elif not others.empty:
        parts = (verdict, extremes, depth_trend, control, common_start, evidence)
        sentences += [part(others) for part in parts]
    if not others.empty:
        sentences += [withheld(others), described(others)]
    return tuple(sentence for sentence in sentences if sentence)


def copies(rows: pd.DataFrame) -> str:
    """Name the pairs that are one network."""
    pairs = dict.fromkeys(f"{a} and {b}" for a, b in zip(rows["a"], rows["b"], strict=True))
    if not pairs:
        return ""
    return f"{'; '.join(pairs)}: the same network. Every compared layer holds the same weights, up to a rotation."


def verdict(rows: pd.DataFrame) -> str:
    """Say how alike the networks are, over all pairs and layers beyond the first."""
    chosen = beyond_first(rows, "value")
    if chosen.empty:
        return "No similarity could be given for any layer; the reasons are listed below."
    mean = chosen["value"].mean()
    words = next(
        (words for bound, words in LEVELS if mean >= bound), "share nothing that stands out from chance"
    )
    where = "beyond the first layer" if (rows["depth"] > 1).any() else "at the only layer compared"
    return (
        f"These networks {words}: {where}, their similarity averages {number(mean)} over all "
        "pairs, where 0 is chance and 1 is a network beside a noisy copy of itself."
    )


def published(rows: pd.DataFrame) -> str:
    """Give the published measure beside R."""
    chosen = beyond_first(rows, "value")
    if chosen.empty:
        return ""
    control = unaligned(chosen).mean()
    beside = "" if np.isnan(control) else f" ({number(control)} without alignment)"
    return (
        f"The published measure (Guth and Ménard 2024, eq. 6) averages {number(chosen['value'].mean())}{beside}, "
        "where 0 is chance and 1 a network beside a noisy copy of itself; it depends on how strong the noise is."
    )


def extremes(rows: pd.DataFrame) -> str:
    """Name the most and the least similar pair."""
    means = beyond_first(rows, "value").groupby(["a", "b"], sort=False)["value"].mean()
    if len(means) < 2:
        return ""
    most, least = means.idxmax(), means.idxmin()
    return (
        f"Most alike are {most[0]} and {most[1]} ({number(means.max())}), "
        f"least alike {least[0]} and {least[1]} ({number(means.min())})."
    )


def depth_trend(rows: pd.DataFrame) -> str:
    """Say where in depth the networks agree most and least."""
    levels = beyond_first(rows, "value").groupby("depth")["value"].mean()
    if len(levels) < 2 or levels.min() == levels.max():
        return ""
    return (
        f"Agreement is strongest at layer {levels.idxmax()} ({number(levels.max())}) and weakest at layer "
        f"{levels.idxmin()} ({number(levels.min())}), averaged over pairs. The first layer sees pixels and "
        "is compared as it stands; in so few dimensions it says little."
    )


def control(rows: pd.DataFrame) -> str:
    """Say what alignment reveals, where the unaligned control was measured."""
    means = alignment_gain(rows)
    fresh = means[means["without"] - means["with"] <= MARGIN]
    if fresh.empty:
        return ""
    with_it, without = fresh["with"].mean(), fresh["without"].mean()
    if with_it - without < MARGIN:
        return f"Alignment changes little: {number(without)} without it, {number(with_it)} with it."
    return (
        f"Without alignment the same weights score {number(without)}: what the networks share shows only after "
        "their channels are rotated into each other."
    )


def common_start(rows: pd.DataFrame) -> str:
    """Name the pairs that agree better as they stand than aligned: they share initial weights."""
    means = alignment_gain(rows)
    kin = means[means["without"] - means["with"] > MARGIN]
    if kin.empty:
        return ""
    names = "; ".join(f"{a} and {b}" for a, b in kin.index[:3]) + (" …" if len(kin) > 3 else "")
    return (
        f"{count(len(kin), 'pair agrees', 'pairs agree')} better without alignment "
        f"({number(kin['without'].mean())}) than with it ({number(kin['with'].mean())}), which tells of common "
        f"initial weights: {names}. Their noise is common too, and their similarity does not measure what they "
        "learned independently."
    )


def alignment_gain(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean similarity with and without alignment, by pair, where both are known."""
    chosen = beyond_first(rows, "value")
    both = chosen[unaligned(chosen).notna()]
    means = both.groupby(["a", "b"], sort=False)[["value", "unaligned"]].mean()
    return means.set_axis(["with", "without"], axis=1)


def evidence(rows: pd.DataFrame) -> str:
    """Say how many layers stand above chance, with the false-discovery rate controlled at 5 %."""
    tested = rows["p_value"].dropna()
    if tested.empty:
        return ""
    above = int((false_discovery_control(tested) <= FALSE_DISCOVERY_RATE).sum())
    return (
        f"{above:,} of {count(len(tested), 'tested layer comparison')} stand above chance "
        "(false-discovery rate 5 %, Benjamini and Hochberg 1995)."
    )


def withheld(rows: pd.DataFrame) -> str:
    """Say where no similarity could be given, and where the noise model fails."""
    total = count(len(rows), "layer comparison")
    undefined = int(rows["value"].isna().sum())
    noisy = int((~rows["bulk_ok"].astype(bool)).sum())
    missing = f"{undefined:,} of {total} could be given no similarity. " if undefined else ""
    failing = (
        f"In {noisy:,} of {total} the unlearned part of the weights does not look like noise, and no calibrated "
        "value is given."
    )
    return (missing + (failing if noisy else "")).strip()


def described(rows: pd.DataFrame) -> str:
    """Give the mean raw cosine where only a description was possible, beside chance and control."""
    chosen = rows[rows["value"].isna() & rows["cosine"].notna()]
    if chosen.empty:
        return ""
    shuffled = chosen["shuffled"].mean()
    beside = (
        f" and {number(shuffled)} for an alignment fitted to shuffled images" if shuffled == shuffled else ""
    )
    return (
        f"Where only a description is possible, the cosine of the raw weight covariances averages "
        f"{number(chosen['cosine'].mean())}, beside {number(chosen['chance'].mean())} for random rotations{beside}. "
        "Raw covariances are alike by their noise alone: read it against those two, not by its size."
    )

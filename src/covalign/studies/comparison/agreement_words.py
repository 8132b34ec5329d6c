"""What does R say of a set of networks, in plain words?

Coverage first: how many layers could be compared at all. Then how alike they are, what of it stands above chance, and
what remains beyond an alignment that never saw the same image twice. The words for a level are our choice: "largely
the same" from 0.7, "much" from 0.4, "part" from 0.1.
"""

from collections.abc import Mapping

import pandas as pd
from scipy.stats import false_discovery_control

from covalign.encoding.debiased.reasons import Reason
from covalign.report.words import count, number
from covalign.studies.comparison.orders import beyond_first

LEVELS = (
    (0.7, "learned largely the same thing"),
    (0.4, "share much of what they learned"),
    (0.1, "share part of what they learned"),
)
FALSE_DISCOVERY_RATE = 0.05


def agreement_findings(rows: pd.DataFrame, conditions: Mapping[str, str]) -> tuple[str, ...]:
    """Return what R shows, a paragraph each; nothing where it was not measured.

    Args:
        rows: of `Comparison.table`, without pairs that are one network.
        conditions: by network; empty where networks were not grouped.
    """
    if rows.empty or rows[["debiased", "debiased_z"]].isna().all(axis=None):
        return ()
    parts = (verdict, coverage, beyond_chance, beyond_controls, read_with_care)
    sentences = [part(rows) for part in parts]
    sentences.insert(1, across_conditions(rows, conditions))
    return tuple(sentence for sentence in sentences if sentence)


def verdict(rows: pd.DataFrame) -> str:
    """Say how alike the networks are."""
    chosen = beyond_first(rows, "debiased")
    if chosen.empty:
        return "Too little was learned to say how much these networks share; what can be said stands below."
    mean = chosen["debiased"].mean()
    words = next((words for bound, words in LEVELS if mean >= bound), "share nothing that stands out")
    where = "beyond the first layer" if (rows["depth"] > 1).any() else "at the only layer compared"
    return (
        f"These networks {words}: {where} their agreement averages {number(mean)}, on a scale where 0 is what "
        "unrelated networks have in common and 1 is the same learned weights."
    )


def across_conditions(rows: pd.DataFrame, conditions: Mapping[str, str]) -> str:
    """Set pairs of networks of one condition beside pairs of different ones."""
    chosen = beyond_first(rows, "debiased")
    same = chosen["a"].map(conditions) == chosen["b"].map(conditions)
    if not conditions or chosen.empty or same.all() or not same.any():
        return ""
    names = ", ".join(dict.fromkeys(conditions.values()))
    inside, across = (chosen.loc[which, "debiased"].mean() for which in (same, ~same))
    return (
        f"Networks of one condition ({names}) agree by {number(inside)}, networks of different conditions by "
        f"{number(across)}."
    )


def coverage(rows: pd.DataFrame) -> str:
    """Say how many comparisons have a number, and why others have none."""
    total, given = len(rows), int(rows["debiased"].notna().sum())
    networks = len(set(rows["a"]) | set(rows["b"]))
    said = f"{given:,} of {count(total, 'layer comparison')} of {count(networks, 'network')} could be given a number"
    missing = rows.loc[rows["debiased"].isna(), "debiased_reason"].value_counts()
    whys = [f"{amount:,}: {Reason(code).sentence}" for code, amount in missing.items() if code]
    return f"{said} ({'; '.join(whys)})." if whys else f"{said}."


def beyond_chance(rows: pd.DataFrame) -> str:
    """Say how many layers stand above chance, with the false-discovery rate controlled at 5 %."""
    tested = rows["debiased_p"].dropna()
    if tested.empty:
        return ""
    above = int((false_discovery_control(tested.to_numpy()) <= FALSE_DISCOVERY_RATE).sum())
    return (
        f"{above:,} of {count(len(tested), 'tested layer comparison')} stand above what random rotations give "
        "(false-discovery rate 5 %, Benjamini and Hochberg 1995)."
    )


def beyond_controls(rows: pd.DataFrame) -> str:
    """Say what the controls give, and what remains beyond the strongest of them."""
    names = {
        "debiased_unaligned": "without any alignment",
        "debiased_shuffled": "with an alignment fitted to different images",
        "debiased_slots": "from the use of filters alone",
    }
    chosen = beyond_first(rows, "debiased")
    known = {said: chosen[name].mean() for name, said in names.items() if chosen[name].notna().any()}
    if not known:
        return ""
    strongest = chosen[list(names)].max(axis=1)
    remains = (chosen["debiased"] - strongest).mean()
    listed = ", ".join(f"{number(mean)} {said}" for said, mean in known.items())
    return (
        f"Of the agreement, {listed}. Beyond the strongest of these controls {number(remains)} remains on "
        "average: that much shows only when both networks look at the same images."
    )


def read_with_care(rows: pd.DataFrame) -> str:
    """Count the comparisons whose number has to be read in a special way."""
    codes = rows.loc[rows["debiased"].notna(), "debiased_reason"].value_counts()
    said = [f"{amount:,}: {Reason(code).sentence}" for code, amount in codes.items() if code]
    return f"To be read with care: {'; '.join(said)}." if said else ""

"""What does a reader of a comparison want to know first: the same or not, and how sure is that?

One sentence each, computed from `Comparison.table`. Coverage is part of the second: what is missing is counted with
its reason, never averaged away.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy.stats import false_discovery_control

from covalign.encoding.debiased.reasons import Reason as OfR
from covalign.encoding.reasons import Reason
from covalign.report.words import count, number
from covalign.studies.comparison.agreement_words import FALSE_DISCOVERY_RATE
from covalign.studies.comparison.orders import beyond_first, has_reason, mean_of_orders

SAME = "Did these networks learn the same thing?"
SURE = "How sure is that, and over how many layers?"
LEVELS = ((0.7, "Largely"), (0.4, "To a good part"), (0.1, "In part"))
"""Words for a level of agreement (our choice)."""


def answers(
    table: pd.DataFrame, conditions: Mapping[str, str], provenance: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Return both questions with their answers.

    Args:
        table: `Comparison.table`.
        conditions: `Comparison.conditions`.
        provenance: `Comparison.provenance`, which knows how many layers the networks have.
    """
    same = has_reason(table, Reason.SAME_WEIGHTS).groupby([table["a"], table["b"]]).transform("all")
    others = table[~same]
    if others.empty:
        said = "They are one network: every compared layer holds the same weights, up to a rotation."
        return (SAME, said), (SURE, f"{_compared(table, provenance)}.")
    return (SAME, _alike(others, conditions)), (SURE, _sure(others, provenance))


def _alike(rows: pd.DataFrame, conditions: Mapping[str, str]) -> str:
    chosen = beyond_first(rows, "debiased")
    if chosen.empty:
        return _unmeasured(rows)
    mean = float(chosen["debiased"].mean())
    word = next((word for bound, word in LEVELS if mean >= bound), "No")
    where = "beyond the first layer" if (rows["depth"] > 1).any() else "at the only layer compared"
    scale = "where 0 is unrelated and 1 the same learned weights"
    same = chosen["a"].map(conditions) == chosen["b"].map(conditions)
    if conditions and same.any() and not same.all():
        within, across = (float(chosen["debiased"][part].mean()) for part in (same, ~same))
        return (
            f"{word}: {where} networks of one condition agree by R = {number(within)}, of different conditions by "
            f"{number(across)}, {scale}."
        )
    return f"{word}: {where} their agreement R averages {number(mean)}, {scale}{_controlled(chosen)}."


def _controlled(chosen: pd.DataFrame) -> str:
    """Say what remains beyond the strongest control, where one was measured."""
    names = ["debiased_unaligned", "debiased_shuffled", "debiased_slots"]
    strongest = chosen[names].max(axis=1)
    if strongest.isna().all():
        return ""
    remains = float((chosen["debiased"] - strongest).mean())
    return f"; {number(remains)} of it shows only when both look at the same images"


def _unmeasured(rows: pd.DataFrame) -> str:
    """Say why there is no agreement at all."""
    codes = rows["debiased_reason"]
    nothing = int((codes == OfR.TOO_LITTLE_LEARNED).sum())
    if nothing and 2 * nothing >= len(rows):
        return (
            f"They learned next to nothing that could be shared: in {nothing:,} of "
            f"{count(len(rows), 'layer comparison')} the neurons of a layer have too little in common."
        )
    published = beyond_first(rows.assign(value=mean_of_orders(rows)), "value")
    if not published.empty:
        return (
            f"The published similarity averages {number(float(published['value'].mean()))}, where 0 is chance and "
            "1 a network beside a noisy copy of itself; the agreement R could not be measured."
        )
    if not (rows["alignment_correlation"].notna()).any():
        return (
            "Not known: no hidden layers were aligned, which takes images and networks that can run "
            "(--images, --architecture); spectra, spatial patterns and first layers are compared below."
        )
    return "Not known: no layer could be given a number; the reasons stand below."


def _sure(rows: pd.DataFrame, provenance: Mapping[str, Any]) -> str:
    given = rows[rows["debiased"].notna()]
    parts = [
        f"{_compared(rows, provenance)}; {len(given):,} of {count(len(rows), 'comparison')} have a number"
    ]
    missing = rows.loc[rows["debiased"].isna(), "debiased_reason"].value_counts()
    whys = [f"{amount:,}: {OfR(code).sentence}" for code, amount in missing.items() if code]
    parts[0] += f" ({'; '.join(whys)})" if whys else ""
    tested = rows["debiased_p"].dropna()
    if len(tested):
        above = int((false_discovery_control(tested.to_numpy()) <= FALSE_DISCOVERY_RATE).sum())
        parts.append(f"{above:,} of {len(tested):,} stand above chance")
    widths = (given["debiased_high"] - given["debiased_low"]).dropna()
    if len(widths):
        parts.append(f"the 95 % interval of a layer is typically {number(float(widths.median()))} wide")
    return f"{', '.join(parts)}."


def _compared(rows: pd.DataFrame, provenance: Mapping[str, Any]) -> str:
    """Say how many layers were compared, of how many that the network with the fewest has."""
    compared = rows["depth"].nunique()
    networks = provenance.get("networks")
    known = networks.values() if isinstance(networks, Mapping) else ()
    counts = [
        each["layers"] for each in known if isinstance(each, Mapping) and isinstance(each.get("layers"), int)
    ]
    if not counts:
        return f"Compared {count(compared, 'layer')}"
    return f"Compared {compared:,} of {count(max(min(counts), compared), 'layer')}"

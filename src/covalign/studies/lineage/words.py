"""What does a lineage say, in plain words, and what can it not exclude?"""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from covalign.encoding.lineage.change import Kind
from covalign.encoding.lineage.trace import Relation
from covalign.report.words import count, number
from covalign.studies.lineage.columns import MISSING
from covalign.studies.lineage.doubts import Doubt
from covalign.studies.lineage.third import APART, Place
from covalign.studies.lineage.verdict import RELATED, Findings, Verdict

SAID = {
    Verdict.SAME_FILE: "{a} and {b} are the same file, byte for byte.",
    Verdict.SAME_WEIGHTS: (
        "{a} and {b} have the same weights in every layer, up to the order, sign and scale of neurons and the "
        "precision they are stored in."
    ),
    Verdict.DERIVED: "{a} and {b} are relatives: their neurons are the same ones, one by one.",
    Verdict.COMMON_ANCESTOR: "{a} and {b} come from a common ancestor, not directly from each other.",
    Verdict.INDEPENDENT: "{a} and {b} were trained independently: no layer shows that they share neurons.",
    Verdict.UNRELATED: "{a} and {b} are unrelated: neither their neurons nor what these learned together agrees.",
    Verdict.UNDECIDED: "How {a} and {b} are related cannot be decided from what was given.",
}


def doubts(
    a: str,
    b: str,
    found: Findings,
    said: Verdict,
    places: Sequence[tuple[Place, str]],
    alike: bool | None,
) -> tuple[str, ...]:
    """Return what a verdict cannot exclude, a sentence each."""
    where = {entry for entry, _ in places}
    middle = next((name for entry, name in places if entry is Place.THIRD_BETWEEN), "")
    reach = found.detectable
    remaining: list[Doubt] = []
    match said:
        case Verdict.SAME_FILE:
            pass
        case Verdict.SAME_WEIGHTS:
            remaining = [Doubt.B_FROM_A, Doubt.A_FROM_B, Doubt.COMMON_ANCESTOR, Doubt.OUTSIDE_LAYERS]
        case Verdict.DERIVED:
            known = where - {Place.A_BETWEEN, Place.B_BETWEEN, Place.THIRD_MERGED, *APART}
            remaining = [] if known else [Doubt.B_FROM_A, Doubt.A_FROM_B, Doubt.COMMON_ANCESTOR]
            remaining += [] if known or _traces_of_training(found) else [Doubt.SAME_START]
        case Verdict.COMMON_ANCESTOR:
            remaining = [Doubt.THROUGH_MIDDLE] if Place.START_OF_BOTH not in where else []
        case Verdict.INDEPENDENT | Verdict.UNRELATED:
            remaining = [Doubt.WEAK_TRACE] if math.isfinite(reach) else []
            remaining += [Doubt.OTHER_COORDINATES, Doubt.DISTILLED]
            remaining += [Doubt.UNRELATED] if alike is None else []
        case Verdict.UNDECIDED:
            meant = any(layer.trace.relation is Relation.MEANINGS for layer in found.layers)
            remaining = [Doubt.FIXED_FILTERS] if found.only_filters else []
            remaining += [Doubt.SAME_TASK] if meant else []
            remaining += [
                Doubt.B_FROM_A,
                Doubt.A_FROM_B,
                Doubt.COMMON_ANCESTOR,
                Doubt.INDEPENDENT,
                Doubt.UNRELATED,
            ]
    return tuple(doubt.of(a, b, middle, reach) for doubt in remaining)


def _traces_of_training(found: Findings) -> bool:
    """Whether some telling layer is that of a trained network but for a change that keeps it recognizable."""
    plain = (Kind.TRAINED, Kind.PRUNED_TRAINED)
    return any(layer.telling and layer.change and layer.change.kind not in plain for layer in found.layers)


def findings(pairs: pd.DataFrame, layers: pd.DataFrame, doubts: Sequence[str]) -> tuple[str, ...]:
    """Return what the first pair shows, then how the verdicts on all pairs are distributed.

    Args:
        pairs: as in `Lineage.pairs`.
        layers: as in `Lineage.layers`.
        doubts: on the first pair.
    """
    first = pairs.iloc[0]
    own = layers[(layers["a"] == first["a"]) & (layers["b"] == first["b"])]
    third = f"Beside them: {first['evidence']}." if first["evidence"] else ""
    open_still = f"Not excluded: {'; '.join(doubts)}." if doubts else ""
    said = (said_of(first), test(first, own), change(own), third, open_still, family(pairs))
    return tuple(sentence for sentence in said if sentence)


def family(pairs: pd.DataFrame) -> str:
    """Count the verdicts on all pairs, where there are several."""
    if len(pairs) < 2:
        return ""
    kinds = [
        f"{amount} {verdict.replace('_', ' ')}" for verdict, amount in pairs["verdict"].value_counts().items()
    ]
    return f"Of all {count(len(pairs), 'pair')}: {', '.join(kinds)}."


def said_of(row: Any) -> str:
    """Say what two networks are to each other."""
    text = SAID[Verdict(row["verdict"])].format(a=row["a"], b=row["b"])
    return f"{text} The older one is {row['ancestor']}." if row["ancestor"] else text


def test(row: Any, layers: pd.DataFrame) -> str:
    """Say how many layers were tested, and how sure the verdict is."""
    if not row["tested"]:
        return (
            f"No layer could be tested: {count(int(row['layers']), 'layer')} of equal shape, none of them with "
            "neurons enough in an order that means nothing."
        )
    found = layers[layers["p_value"].notna()]
    p = row["p_value"]
    sure = f"the smallest p-value, over orders of neurons and corrected over layers, is {p:.2g}"
    text = f"{int(row['related'])} of {count(len(found), 'tested layer')} share their neurons; {sure}"
    if row["related"]:
        return f"{text}. Where they do, cosines average {number(_related(layers)['cosine'].mean())}."
    reach = found.loc[found["telling"], "detectable"].min()
    return f"{text}. A mean cosine of {number(reach)} would have shown." if pd.notna(reach) else text


def change(layers: pd.DataFrame) -> str:
    """Say how layers became each other."""
    shown = layers[layers["change"].astype(bool)]
    if shown.empty:
        return ""
    kinds = [
        f"{count(amount, 'layer')} {Kind[code.upper()].value}"
        for code, amount in shown["change"].value_counts().items()
    ]
    moved = shown[shown["size"] > 0]
    by = f" Those that changed did so by {moved['size'].median():.1%} in the median." if len(moved) else ""
    new = int((layers["relation"] == MISSING).sum())
    rest = (
        f" {count(new, 'layer')} of either network {'has' if new == 1 else 'have'} no counterpart."
        if new
        else ""
    )
    return f"How: {', '.join(kinds)}.{by}{rest}"


def _related(layers: pd.DataFrame) -> pd.DataFrame:
    return layers[layers["relation"].isin([relation.name.lower() for relation in RELATED])]

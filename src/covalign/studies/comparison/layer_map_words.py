"""What does a map of all layers against all show, in plain words?"""

from collections.abc import Collection, Sequence
from itertools import pairwise

import pandas as pd

from covalign.report.words import count, number
from covalign.studies.comparison.layer_map import LayerMap

SCOPE = (
    "This compares what layers receive (activations), not what they learned (weights): it shows which layers "
    "correspond; whether they learned the same is what R says."
)


def correspondence(maps: Sequence[LayerMap], every: int) -> tuple[str, ...]:
    """Say whether the layers that were compared are those that receive what is most alike.

    Args:
        maps: of pairs of networks, and of networks with themselves.
        every: how many pairs of networks were compared.
    """
    between = [each for each in maps if each.a != each.b]
    found = pd.concat([each.partners for each in between]) if between else pd.DataFrame()
    if found.empty:
        return ("Not known: no two layers whose weights were compared tell these images apart.", SCOPE)
    (first, *others), total, hits = between, len(found), int((found["steps"] == 0).sum())
    of = f"of the first network of {len(between):,} of {count(every, 'pair')}" if others else f"of {first.a}"
    there = "in the second" if others else f"in {first.b}"
    said = (
        f"In {hits:,} of {count(total, 'layer')} {of}, what a layer receives is most like what its counterpart "
        f"{there} receives, the layer that its weights are compared with; "
        f"{float((1 / found['columns']).sum()):.2g} would be by chance."
    )
    parts = (said, _others(found), _neighbours(maps))
    return (" ".join(part for part in parts if part), SCOPE)


def _others(found: pd.DataFrame) -> str:
    """Say how far the nearest layer is where it is not the one whose weights were compared."""
    off = found[found["steps"] > 0]
    if off.empty:
        return ""
    ahead, steps = number(float((off["nearest_value"] - off["value"]).mean())), float(off["steps"].mean())
    if len(off) == 1:
        return f"In the other one a layer {count(round(steps), 'place')} away is more alike, by {ahead}."
    return (
        f"In the {len(off):,} others another layer is more alike, by {ahead} and {steps:.1f} places away "
        "on average."
    )


def _neighbours(maps: Collection[LayerMap]) -> str:
    """Say how alike neighbouring layers of one network are, against which all this has to be read."""
    values = [
        float(each.values[place, after])
        for each in maps
        if each.a == each.b
        for place, after in pairwise(range(len(each.layers_a)))
    ]
    known = [value for value in values if value == value]
    if not known:
        return ""
    return f"Neighbouring layers of one network are alike by {number(sum(known) / len(known))} on average."

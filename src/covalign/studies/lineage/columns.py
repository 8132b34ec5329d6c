"""What is a row of a lineage's tables?"""

import math
from dataclasses import dataclass

from covalign.report.columns import column, documented

MISSING = "missing"
"""The relation of a layer without a counterpart."""


@documented
@dataclass(frozen=True)
class TraceRow:
    """What one layer of two networks has in common, neuron by neuron."""

    a: str = column("first network", title="network a")
    b: str = column("second network", title="network b")
    layer_a: str = column("")
    layer_b: str = column("empty where b has no layer of that shape")
    depth: int = column("of layer a, from 1", digits=0)
    neurons: int = column("", digits=0)
    d: int = column("length of a neuron", digits=0)
    role: str = column(
        "first, hidden, last, grouped or meanings: what the order of its neurons may mean", default=""
    )
    relation: str = column(
        "same_order, other_order, follows (the order of the layers before), none, fixed (a pattern that its maker "
        "gave it), untested (too few neurons), meanings (neurons and inputs have meanings) or missing (no layer of "
        "this shape)",
        default="",
    )
    pattern: str = column("of a fixed layer", default="")
    telling: bool = column("whether a relation here counts by itself", default=False)
    cosine: float = column(
        "mean over corresponding neurons, whatever their scale", digits=3, default=math.nan
    )
    detectable: float = column("cosine from which a relation would have shown", digits=3, default=math.nan)
    p_order: float = column("neurons in the files' order", title="p order", digits=4, default=math.nan)
    p_matched: float = column("neurons matched to each other", title="p matched", digits=4, default=math.nan)
    p_value: float = column(
        "of both, corrected over layers (Holm 1979)", title="p", digits=4, default=math.nan
    )
    change: str = column(
        "how one became the other: same, rounded, rescaled, pruned, pruned_trained, quantized, low_rank or trained",
        default="",
    )
    size: float = column("change relative to the layer, up to scales", digits=4, default=math.nan)
    zeros_a: float = column("share of zero weights in a", title="zeros a", digits=2, default=math.nan)
    zeros_b: float = column("share of zero weights in b", title="zeros b", digits=2, default=math.nan)
    rank: float = column("of the change, where it is low", digits=0, default=math.nan)


@documented
@dataclass(frozen=True)
class KinRow:
    """What two networks are to each other."""

    a: str = column("first network", title="network a")
    b: str = column("second network", title="network b")
    verdict: str = column("")
    p_value: float = column("smallest of all layers, corrected", title="p", digits=4)
    layers: int = column("layers of equal shape", digits=0)
    tested: int = column("of these, with neurons enough", digits=0)
    related: int = column("of these, related", digits=0)
    left_out: int = column("layers of either that have no counterpart", title="left out", digits=0)
    how: str = column("kinds of change, and how many layers of each")
    ancestor: str = column("which one is older, where something beyond the two files tells", default="")
    evidence: str = column("what tells", default="")

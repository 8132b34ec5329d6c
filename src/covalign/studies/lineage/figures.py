"""Where, in depth, does a relation hold?"""

from collections.abc import Sequence
from enum import Enum
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from covalign.encoding.lineage.change import Kind
from covalign.encoding.lineage.trace import Relation
from covalign.figures.style import GREY, PALETTE, plain
from covalign.studies.lineage.columns import MISSING
from covalign.studies.lineage.verdict import EQUAL, RELATED

BLUE, ORANGE, GREEN, _, AMBER, SKY = PALETTE
LIGHT = "#c9c9c9"


class State(Enum):
    """What a strip shows of a layer: words and colour."""

    EQUAL = ("equal", BLUE)
    COMPRESSED = ("pruned, quantized or low-rank update", SKY)
    TRAINED = ("trained on", GREEN)
    NONE = ("no trace of a relation", ORANGE)
    UNKNOWN = ("not tested", LIGHT)
    MISSING = ("no counterpart", GREY)

    @property
    def words(self) -> str:
        """As legends say it."""
        return self.value[0]

    @property
    def color(self) -> str:
        """As it is drawn."""
        return self.value[1]


def state_of(row: Any) -> State:
    """Return what a strip shows of a row of `Lineage.layers`."""
    if row["relation"] == MISSING:
        return State.MISSING
    kind = Kind[row["change"].upper()] if row["change"] else None
    if kind in EQUAL:
        return State.EQUAL
    if Relation[row["relation"].upper()] in (*RELATED, Relation.FOLLOWS):
        return State.TRAINED if kind in (Kind.TRAINED, Kind.PRUNED_TRAINED) else State.COMPRESSED
    return State.NONE if row["relation"] == Relation.NONE.name.lower() else State.UNKNOWN


def strip(table: pd.DataFrame, pairs: Sequence[tuple[str, str]], ax: Axes) -> Axes:
    """Draw a row of cells a pair, a cell a layer.

    Args:
        table: as `Lineage.layers`.
        pairs: which, from top to bottom.
        ax: where to draw.
    """
    used: dict[State, None] = {}
    for place, (a, b) in enumerate(pairs):
        rows = table[(table["a"] == a) & (table["b"] == b) & table["layer_a"].astype(bool)]
        for _, row in rows.iterrows():
            state = state_of(row)
            used[state] = None
            ax.barh(place, 0.94, left=row["depth"] - 0.47, height=0.8, color=state.color)
    deepest = int(table["depth"].max()) if len(table) else 1
    ax.set(xlabel="layer", xlim=(0.4, deepest + 0.6), ylim=(len(pairs) - 0.5, -0.5))
    ax.set_yticks(range(len(pairs)), [f"{plain(a)} – {plain(b)}" for a, b in pairs])
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    handles = [Patch(color=state.color, label=state.words) for state in State if state in used]
    ax.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return ax

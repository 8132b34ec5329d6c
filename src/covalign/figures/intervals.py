"""How are reference levels and intervals drawn?"""

import pandas as pd
from matplotlib.axes import Axes

from covalign.figures.style import GREY


def level_lines(ax: Axes, *levels: float) -> Axes:
    """Draw thin grey lines behind everything else: what 0 and 1 mean is said by the axis."""
    for level in levels:
        ax.axhline(level, color=GREY, linewidth=0.6, zorder=0)
    return ax


def arms(value: pd.Series, low: pd.Series, high: pd.Series) -> list[pd.Series]:
    """Return the arms of `Axes.errorbar` below and above values; of no length where there is no interval."""
    return [(value - low).clip(lower=0).fillna(0), (high - value).clip(lower=0).fillna(0)]

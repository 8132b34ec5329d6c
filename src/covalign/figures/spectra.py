"""Which directions of a weight covariance stand out of the noise?

Eigenvalues are drawn unshrunk, in units of the initialization variance. Weights of pure noise have theirs
between (1 - √γ)² and (1 + √γ)², γ = d / neurons (Marchenko and Pastur 1967): the shaded bulk.
"""

import math

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from covalign.arrays import ArrayLike, as_float64
from covalign.figures.style import GREY, PALETTE


def spectrum(eigenvalues: ArrayLike, ax: Axes, edges: tuple[float, float] = (math.nan, math.nan)) -> Axes:
    """Draw eigenvalues by rank on logarithmic axes over the shaded bulk; zeros are left out.

    Args:
        eigenvalues: shape ``[r]``, in units of the initialization variance.
        ax: where to draw.
        edges: lower and upper bulk edge; NaN shades nothing.
    """
    values = as_float64(eigenvalues, "eigenvalues", "r").sort(descending=True).values
    positive = values[values > 0]
    lower, upper = edges
    if math.isfinite(upper):
        ax.axhspan(max(lower, float(positive.min()) / 10), upper, color=GREY, alpha=0.2, linewidth=0)
        ax.axhline(upper, color=GREY, linewidth=0.6)
    ax.plot(range(1, len(positive) + 1), positive.numpy(), ".", markersize=2.5, color=PALETTE[0])
    ax.set(xscale="log", yscale="log", xlabel="rank", ylabel="eigenvalue")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=4))
    ax.yaxis.set_major_formatter("{x:g}")
    return ax

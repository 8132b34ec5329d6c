"""Do the eigenvectors of two weight covariances correspond, rank by rank?

Entry (r, s) of a map is |<A u_r, u'_s>|. The grey scale is the paper's: 1/√d, the typical cosine of random
directions, is white; 5/√d is black (Guth and Ménard 2024, fig. 3). Arrows stand at the effective ranks
(eq. 4).
"""

import math

from jaxtyping import Float64
from matplotlib.axes import Axes
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.figures.style import PALETTE


def darkness(cosines: ArrayLike, dimension: int) -> Float64[Tensor, "ranks_a ranks_b"]:
    """Return the paper's grey level, 0 (white) at 1/√d to 1 (black) at 5/√d, clipped.

    Args:
        cosines: absolute cosines, shape ``[ranks_a, ranks_b]``.
        dimension: d, the length of the eigenvectors.
    """
    scaled = as_float64(cosines, "cosines", "ranks_a ranks_b") * math.sqrt(dimension)
    return ((scaled - 1) / 4).clamp(0, 1)


def cosine_map(
    cosines: ArrayLike, ax: Axes, dimension: int, effective_ranks: tuple[float, float] | None = None
) -> Axes:
    """Draw the map of absolute cosines, rank 1 at the upper left.

    Args:
        cosines: shape ``[ranks_a, ranks_b]``.
        ax: where to draw.
        dimension: d, which sets the grey scale.
        effective_ranks: of both covariances, marked by arrows on the two axes; NaN draws none.
    """
    grey = darkness(cosines, dimension)
    rows, columns = grey.shape
    ax.imshow(
        grey.numpy(),
        cmap="Greys",
        vmin=0,
        vmax=1,
        extent=(0.5, columns + 0.5, rows + 0.5, 0.5),
        interpolation="nearest",
    )
    arrow = {"arrowstyle": "-|>", "color": PALETTE[1], "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
    rank_a, rank_b = effective_ranks or (math.nan, math.nan)
    if rank_a <= rows:
        ax.annotate(
            "", (0.5, rank_a), (0.5 - 0.09 * columns, rank_a), arrowprops=arrow, annotation_clip=False
        )
    if rank_b <= columns:
        ax.annotate("", (rank_b, 0.5), (rank_b, 0.5 - 0.09 * rows), arrowprops=arrow, annotation_clip=False)
    ax.set(xticks=[1, columns], yticks=[1, rows])
    ax.tick_params(length=2)
    ax.spines[["top", "right"]].set_visible(True)
    return ax

"""What do spatial filters look like?

Each kernel is drawn on a scale symmetric about zero, so that grey is zero in every picture.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.spatial import SpatialCovariance


def greys(kernel: ArrayLike) -> UInt8[np.ndarray, "k_h k_w"]:
    """Return a kernel as grey levels: 128 is zero, 1 and 255 are minus and plus its largest absolute value.

    Args:
        kernel: shape ``[k_h, k_w]``; one of zeros alone is all 128.
    """
    values = as_float64(kernel, "kernel", "k_h k_w")
    reach = float(values.abs().max()) or 1.0
    return (128 + 127 * values / reach).round().cpu().numpy().astype(np.uint8)


def kernel_image(kernel: ArrayLike, ax: Axes) -> Axes:
    """Draw one kernel in `greys`.

    Args:
        kernel: shape ``[k_h, k_w]``.
        ax: where to draw.
    """
    ax.imshow(greys(kernel), cmap="gray", vmin=1, vmax=255, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def spatial_eigenvectors(covariance: SpatialCovariance, axes: Sequence[Axes]) -> Sequence[Axes]:
    """Draw the leading eigenvectors of a spatial covariance, one an axes, with their share of the variance.

    Args:
        covariance: of kernels of any shape.
        axes: as many as there are eigenvectors to draw; axes beyond the last eigenvector stay empty.
    """
    shares = covariance.eigenvalues / covariance.eigenvalues.sum()
    for ax, share, picture in zip(axes, shares.tolist(), covariance.pictures, strict=False):
        kernel_image(picture, ax).set_title(f"{share:.0%}", pad=2)
    for ax in axes[len(shares) :]:
        ax.set_axis_off()
    return axes

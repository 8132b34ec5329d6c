"""What do first-layer filters and patch components look like?

Each picture has a scale of its own that is symmetric about zero, so that mid-grey is zero in every one.
"""

import math

import numpy as np
from jaxtyping import UInt8

from covalign.arrays import ArrayLike, as_float64


def mosaic(weight: ArrayLike, columns: int) -> UInt8[np.ndarray, "h w rgb"]:
    """Return filters as one picture with white gaps, each scaled to its largest absolute weight.

    Three channels show in colour; of any other number the mean in grey.

    Args:
        weight: ``[K, c, k, k]``.
        columns: pictures in a row.
    """
    filters = as_float64(weight, "weight", "K c k k").cpu()
    count, channels, height, width = filters.shape
    if channels != 3:
        filters = filters.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    reach = filters.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-300)
    pictures = (127.5 + 127.5 * filters / reach).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        sheet[top : top + height, left : left + width] = picture
    return sheet

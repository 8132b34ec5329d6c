"""How alike are the readouts of two networks, class by class?

Rows of the last layer are the classes: they are no exchangeable draws, row i of one network belongs to row i of the
other, and adding one vector to all rows changes no prediction (the softmax is invariant). Centring them, which
removes this gauge, makes them repel each other and biases U_aa. So there is no R; what can be compared are the
matched rows

    cosine_i = <A (w_i - mean w), v_i - mean v> / (|.| |.|).
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.debiased.coordinates import checked_rotation
from covalign.encoding.debiased.estimate import DebiasedSimilarity, without_value
from covalign.encoding.debiased.measurement import Counts
from covalign.encoding.debiased.reasons import Reason
from covalign.errors import InputError


def matched_class_cosines(
    rows_1: ArrayLike, rows_2: ArrayLike, rotation: ArrayLike | None = None
) -> Float64[Tensor, " classes"]:
    """Return the cosine of every class's weights in two networks, shifts removed; NaN where one is zero.

    Args:
        rows_1: ``[classes, d1]``.
        rows_2: ``[classes, d2]``, classes in the same order.
        rotation: A ``[d2, d1]``; None for shared inputs.

    Raises:
        InputError: different numbers of classes, or shapes that do not fit.
    """
    first, second = as_float64(rows_1, "rows_1", "n d"), as_float64(rows_2, "rows_2", "n d")
    if len(first) != len(second):
        raise InputError(
            f"classes: got {len(first)} and {len(second)}, expected the same classes in the same order; select them"
        )
    turn = checked_rotation(rotation, second.shape[1], first.shape[1])
    first, second = first - first.mean(0), second - second.mean(0)
    carried = first if turn is None else first @ turn.to(first).T
    lengths = first.norm(dim=1) * second.norm(dim=1)
    return torch.where(lengths > 0, (carried * second).sum(1) / lengths, torch.nan)


def last_layer(rows_1: ArrayLike, rows_2: ArrayLike) -> DebiasedSimilarity:
    """Return the result without a value that stands for a last layer in tables of R.

    Raises:
        InputError: unusable rows.
    """
    first, second = as_float64(rows_1, "rows_1", "n d"), as_float64(rows_2, "rows_2", "n d")
    counts = Counts(len(first), len(second), min(first.shape[1], second.shape[1]), 0)
    return without_value(Reason.LAST_LAYER, counts)

"""Which neurons are compared, in which coordinates, and by which kernel?

A pair of layers is read, folded, brought to unit length and aligned; its leading directions may then be removed. What
comes after depends on nothing but the pair.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike
from covalign.encoding.debiased.coordinates import (
    Layer,
    carried,
    checked_rotation,
    layer,
    on_range,
    slot_rotations,
)
from covalign.encoding.debiased.gauge import channel_axes, gauge_folded
from covalign.encoding.debiased.kernels import Features, channel_features, slot_features
from covalign.encoding.debiased.leading import without_leading
from covalign.encoding.debiased.products import Products
from covalign.errors import InputError

Scales = tuple[ArrayLike, ArrayLike]
"""Root-mean-square of the input channels of both networks."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two layers in common coordinates, ready to be compared.

    Attributes:
        first: neurons of network 1.
        second: neurons of network 2.
        wide: blocks of the wider network in its own coordinates; None for equal widths.
        covered: what the alignment leaves of them, not brought to unit length.
        axes: channel axes of both networks along which noise may differ; None where scales are no gauge.
        slots: whether places are slots that the alignment keeps.
        unit_length: whether directions of neurons are compared.
    """

    first: Layer
    second: Layer
    wide: Float64[Tensor, "n wide s"] | None = None
    covered: Float64[Tensor, "n narrow s"] | None = None
    axes: Float64[Tensor, "f narrow"] | None = None
    slots: bool = False
    unit_length: bool = True

    def features(self, blocks: Float64[Tensor, "n c s"]) -> Features:
        """Features of neurons by the kernel of this pair."""
        return slot_features(blocks) if self.slots else channel_features(blocks, self.axes)

    def plain_features(self, blocks: Float64[Tensor, "n c s"]) -> Features:
        """Features of neurons by the kernel without channel axes."""
        return replace(self, axes=None).features(blocks)


def aligned_pair(
    rows_1: ArrayLike,
    rows_2: ArrayLike,
    rotation: ArrayLike | None = None,
    *,
    unit_length: bool = True,
    spatial: int = 1,
    slots: int = 1,
    input_scales: Scales | None = None,
) -> Pair:
    """Bring two layers into common coordinates; arguments as in `covalign.encoding.debiased.estimate`."""
    _check_kind(spatial, slots, input_scales)
    places = max(spatial, slots)
    first, second = (
        layer(rows, name, places, unit_length=unit_length)
        for rows, name in zip(
            _folded(rows_1, rows_2, input_scales, places), ("rows_1", "rows_2"), strict=True
        )
    )
    turn = _turn(rotation, slots, first, second)
    pair = _carried(first, second, turn, unit_length)
    axes = None if input_scales is None else channel_axes(pair.first.blocks.shape[1], turn)
    return replace(pair, axes=axes, slots=slots > 1, unit_length=unit_length)


def without_top(pair: Pair, count: int, products: Products | None = None) -> tuple[Pair, Products | None]:
    """Free two layers of their ``count`` leading common directions, with their inner products where these are known.

    Raises:
        InputError: a negative count, or no two channels would be left.
    """
    first, second, axes, products = without_leading(
        pair.first, pair.second, pair.axes, count, products, unit_length=pair.unit_length
    )
    return replace(pair, first=first, second=second, axes=axes), products


def _check_kind(spatial: int, slots: int, scales: Scales | None) -> None:
    if min(spatial, slots) < 1:
        raise InputError(f"spatial={spatial}, slots={slots}: expected 1 or more; spatial is k^2, slots is K")
    if slots > 1 and (spatial > 1 or scales is not None):
        raise InputError(
            f"slots: got {slots} slots with spatial={spatial} or input_scales, expected slots alone; scale columns "
            "by gauge_folded first, or leave slots out"
        )


def _folded(rows_1: ArrayLike, rows_2: ArrayLike, scales: Scales | None, places: int) -> Scales:
    if scales is None:
        return rows_1, rows_2
    return gauge_folded(rows_1, scales[0], places), gauge_folded(rows_2, scales[1], places)


def _turn(rotation: ArrayLike | None, slots: int, first: Layer, second: Layer) -> Tensor | None:
    narrow, wide = first.blocks.shape[1], second.blocks.shape[1]
    found = (
        slot_rotations(rotation, slots, wide, narrow)
        if slots > 1
        else checked_rotation(rotation, wide, narrow)
    )
    return found if found is None else found.to(second.blocks)


def _carried(first: Layer, second: Layer, turn: Tensor | None, unit_length: bool) -> Pair:
    """Carry the wider network into the coordinates of the narrower one, and keep what it was."""
    if turn is None:
        return Pair(first, second)
    if turn.shape[-2] < turn.shape[-1]:
        turned = _carried(second, first, turn.mT, unit_length)
        return replace(turned, first=turned.second, second=turned.first)
    inside = carried(second, turn, unit_length=unit_length)
    if turn.shape[-2] == turn.shape[-1]:
        return Pair(first, inside)
    return Pair(first, inside, second.blocks, on_range(turn, second.blocks))

"""What is the same in two layers, without a model of the noise?

R and its controls for one pair of layers (`covalign.encoding.debiased`), and the curve of shared variance. Each
control answers one question: is the agreement there without any alignment, with an alignment fitted to other images,
with one that does not see the mean features of a position, or from the use of filter slots alone? What kernels of
whole convolutions have in common in space, which R of channels does not count, stands beside it.

No control need be 0. An alignment fitted to pairs of different images carries the strong feature directions of one
network into the strong ones of the other, whichever they are, even where the mean features of each position are taken
off (R of .1 to .7 on the layers of the demo); weights that use these directions then agree. What an alignment adds
beyond that is what the same images add.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.alignment import Alignment
from covalign.encoding.debiased.estimate import DebiasedSimilarity, debiased_similarity
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.shared_variance import SharedVariance, shared_variance
from covalign.encoding.debiased.space import space_similarity
from covalign.encoding.debiased.statistics import NEURONS
from covalign.studies.comparison.layers import LayerEncoding
from covalign.studies.streaming import Fit

LEADING = (1, 5)
"""Leading common directions that are removed to see whether the agreement rests on them alone."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """What was measured of a pair of layers: columns of the table, and the curve where neurons suffice."""

    columns: dict[str, Any]
    curve: SharedVariance | None = None


def agreement(a: LayerEncoding, b: LayerEncoding, fit: Fit) -> Agreement:
    """Measure R, its controls and the curve of shared variance of two aligned layers."""
    if _is_readout(a) or _is_readout(b):
        return Agreement({"debiased_reason": Reason.LAST_LAYER.value})
    found = _similarity(a, b, fit.alignment)
    controls = {
        "unaligned": None,
        "shuffled": fit.shuffled,
        "centred": fit.centred,
    }
    values = {
        f"debiased_{name}": _control(a, b, alignment, name == "unaligned")
        for name, alignment in controls.items()
    }
    without_one, without_five = (_without(a, b, fit.alignment, count) for count in LEADING)
    columns = {
        "debiased": found.value,
        "debiased_low": found.low,
        "debiased_high": found.high,
        "debiased_z": found.z,
        "debiased_p": found.p_value,
        **values,
        "debiased_slots": _slots(a, b, fit, found),
        "debiased_space": _space(a, b),
        "debiased_without_top": without_one,
        "debiased_without_5": without_five,
        "debiased_plug_in": found.plug_in,
        "debiased_cross": found.cross,
        "debiased_within_a": found.within_1,
        "debiased_within_b": found.within_2,
        "coverage": found.coverage,
        "same_start": _same_start(a, b),
        "debiased_reason": found.reason.value,
    }
    curve = _curve(a, b, fit.alignment)
    if curve is not None:
        found_in = (curve.reproducible_1, curve.reproducible_2)
        columns |= dict(zip(("reproducible_a", "reproducible_b"), map(float, found_in), strict=True))
    return Agreement(columns, curve)


def _is_readout(entry: LayerEncoding) -> bool:
    return entry.layer.kind == "linear" and entry.layer.name == entry.network.layers[-1].name


def _similarity(
    a: LayerEncoding, b: LayerEncoding, alignment: Alignment | None, *, remove_top: int = 0
) -> DebiasedSimilarity:
    """Return R; an alignment maps the narrower layer into the wider, and the order of the two is kept."""
    return debiased_similarity(
        a.layer.matrix,
        b.layer.matrix,
        None if alignment is None else _a_into_b(a, b, alignment),
        spatial=_places(a),
        remove_top=remove_top,
    )


def _places(entry: LayerEncoding) -> int:
    """Number of taps k^2 of each kernel."""
    return entry.layer.weight[0, 0].numel()


def _without(a: LayerEncoding, b: LayerEncoding, alignment: Alignment, count: int) -> float:
    """Return R without leading common directions; NaN where no two channels are left."""
    if min(a.layer.channels, b.layer.channels) < count + 2:
        return math.nan
    return _similarity(a, b, alignment, remove_top=count).value


def _a_into_b(a: LayerEncoding, b: LayerEncoding, alignment: Alignment) -> Float64[Tensor, "d_b d_a"]:
    turned = a.layer.channels > b.layer.channels
    return alignment.rotation.T if turned else alignment.rotation


def _control(a: LayerEncoding, b: LayerEncoding, alignment: Alignment | None, unaligned: bool) -> float:
    if alignment is None and not (unaligned and a.layer.dimension == b.layer.dimension):
        return math.nan
    return _similarity(a, b, alignment).value


def _slots(a: LayerEncoding, b: LayerEncoding, fit: Fit, found: DebiasedSimilarity) -> float:
    """Return the part of R that channels turned at random, slots kept, would leave (expected, not drawn).

    Turning channels at random leaves of mean (w . v)^2 just mean <W^T W, V^T V> / c, which the kernel of joint
    convolutions subtracts: with slots in the place of space, the two kernels differ by what slots alone share.
    """
    if not a.layer.factorized or a.network.filters is None or a.layer.dimension != b.layer.dimension:
        return math.nan
    if math.isnan(found.value):
        return math.nan
    slots = len(a.network.filters.signed)
    rows = a.layer.matrix @ fit.alignment.rotation.T
    free = debiased_similarity(rows, b.layer.matrix, spatial=slots)
    return (found.cross - free.cross) / math.sqrt(found.within_1 * found.within_2)


def _space(a: LayerEncoding, b: LayerEncoding) -> float:
    """Return R of the spatial patterns of two convolutions; NaN where kernels differ or have one tap."""
    places = _places(a)
    if places == 1 or _places(b) != places:
        return math.nan
    return space_similarity(a.layer.matrix, b.layer.matrix, places).value


def _curve(a: LayerEncoding, b: LayerEncoding, alignment: Alignment) -> SharedVariance | None:
    rows = (a.layer.matrix, b.layer.matrix)
    if min(int((each.abs().sum(1) > 0).sum()) for each in rows) < NEURONS:
        return None
    return shared_variance(*rows, _a_into_b(a, b, alignment), spatial=_places(a))


def _same_start(a: LayerEncoding, b: LayerEncoding) -> bool:
    one, other = a.layer.initial, b.layer.initial
    return (
        one is not None and other is not None and one.shape == other.shape and bool(torch.equal(one, other))
    )

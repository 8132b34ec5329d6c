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
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.alignment import Alignment
from covalign.encoding.debiased.estimate import DebiasedSimilarity, compared
from covalign.encoding.debiased.pairing import Pair, aligned_pair, without_top
from covalign.encoding.debiased.products import Products
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.shared_variance import SharedVariance, curve_of
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

    @property
    def of_one(self) -> "Agreement":
        """What is said of layers of equal second moments: 1, whatever there is to tell it by.

        Neurons that write into a residual stream are its coordinates, and rotate with it: a copy's have no
        counterparts one by one, and averages over pairs of neurons, which leave out each with itself, see two draws.
        """
        reason = self.columns.get("debiased_reason")
        if reason in (None, Reason.LAST_LAYER.value):
            return self
        if reason == Reason.RELATED.value:
            missing = {} if math.isfinite(self.columns["debiased"]) else {"debiased": 1.0}
            return replace(self, columns=self.columns | missing)
        nothing = {"debiased_low": math.nan, "debiased_high": math.nan}
        said = {"debiased": 1.0, "debiased_reason": Reason.SAME_MOMENT.value}
        return replace(self, columns=self.columns | nothing | said)


def agreement(a: LayerEncoding, b: LayerEncoding, fit: Fit, curves: bool = True) -> Agreement:
    """Measure R and its controls of two aligned layers, and direction by direction with ``curves``."""
    if _is_readout(a) or _is_readout(b):
        return Agreement({"debiased_reason": Reason.LAST_LAYER.value})
    pair = _pair(a, b, fit.alignment)
    products = Products.of(pair.first, pair.second)
    found = compared(pair, products)
    controls = {
        "unaligned": None,
        "shuffled": fit.shuffled,
        "centred": fit.centred,
    }
    values = {
        f"debiased_{name}": _control(a, b, alignment, name == "unaligned", products)
        for name, alignment in controls.items()
    }
    without_one, without_five = (
        (_without(pair, products, count) for count in LEADING) if curves else (math.nan, math.nan)
    )
    columns = {
        "debiased": found.value,
        "debiased_low": found.low,
        "debiased_high": found.high,
        "debiased_z": found.z,
        "debiased_p": found.p_value,
        **values,
        "debiased_slots": _slots(a, b, fit, found, products),
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
    enough = curves and min(found.neurons_1, found.neurons_2) >= NEURONS
    curve = curve_of(pair, products) if enough else None
    if curve is not None:
        found_in = (curve.reproducible_1, curve.reproducible_2)
        columns |= dict(zip(("reproducible_a", "reproducible_b"), map(float, found_in), strict=True))
    return Agreement(columns, curve)


def _is_readout(entry: LayerEncoding) -> bool:
    return entry.layer.kind == "linear" and entry.layer.name == entry.network.layers[-1].name


def _pair(a: LayerEncoding, b: LayerEncoding, alignment: Alignment | None) -> Pair:
    """Align two layers; an alignment maps the narrower into the wider, and the order of the two is kept."""
    turn = None if alignment is None else _a_into_b(a, b, alignment)
    return aligned_pair(a.layer.matrix, b.layer.matrix, turn, spatial=_places(a))


def _places(entry: LayerEncoding) -> int:
    """Number of taps k^2 of each kernel."""
    return entry.layer.weight[0, 0].numel()


def _without(pair: Pair, products: Products | None, count: int) -> float:
    """Return R without leading common directions; NaN where no two channels are left."""
    if pair.first.blocks.shape[1] < count + 2:
        return math.nan
    return compared(*without_top(pair, count, products)).value


def _a_into_b(a: LayerEncoding, b: LayerEncoding, alignment: Alignment) -> Float64[Tensor, "d_b d_a"]:
    turned = a.layer.channels > b.layer.channels
    return alignment.rotation.T if turned else alignment.rotation


def _control(
    a: LayerEncoding,
    b: LayerEncoding,
    alignment: Alignment | None,
    unaligned: bool,
    products: Products | None,
) -> float:
    """Return R after another alignment, which leaves neurons of the narrower network as they are."""
    if alignment is None and not (unaligned and a.layer.dimension == b.layer.dimension):
        return math.nan
    pair = _pair(a, b, alignment)
    same = products is not None and a.layer.channels <= b.layer.channels
    own = products.first if products and same else None
    return compared(pair, Products.of(pair.first, pair.second, own), test=False).value


def _slots(
    a: LayerEncoding, b: LayerEncoding, fit: Fit, found: DebiasedSimilarity, products: Products | None
) -> float:
    """Return the part of R that channels turned at random, slots kept, would leave (expected, not drawn).

    Turning channels at random leaves of mean (w . v)^2 just mean <W^T W, V^T V> / c, which the kernel of joint
    convolutions subtracts: with slots in the place of space, the two kernels differ by what slots alone share.
    """
    if not a.layer.factorized or a.network.filters is None or a.layer.dimension != b.layer.dimension:
        return math.nan
    if math.isnan(found.value):
        return math.nan
    rows = a.layer.matrix @ fit.alignment.rotation.T
    pair = aligned_pair(rows, b.layer.matrix, spatial=len(a.network.filters.signed))
    free = compared(pair, products, test=False)  # the rotation is square: inner products are the same
    return (found.cross - free.cross) / math.sqrt(found.within_1 * found.within_2)


def _space(a: LayerEncoding, b: LayerEncoding) -> float:
    """Return R of the spatial patterns of two convolutions; NaN where kernels differ or have one tap."""
    places = _places(a)
    if places == 1 or _places(b) != places:
        return math.nan
    return space_similarity(a.layer.matrix, b.layer.matrix, places).value


def _same_start(a: LayerEncoding, b: LayerEncoding) -> bool:
    one, other = a.layer.initial, b.layer.initial
    return (
        one is not None and other is not None and one.shape == other.shape and bool(torch.equal(one, other))
    )

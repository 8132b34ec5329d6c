"""Where do the layers of two networks agree neuron by neuron, from the images' side to the other?

Layers come in pairs of equal shape, in order of depth. Each is tested in the order that the files have
(`covalign.encoding.lineage.order`). Where that does not decide, its neurons are matched
(`covalign.encoding.lineage.matching`) with its input channels in the file's order and in every order that was
found for an earlier layer with as many neurons. Layers whose neurons cannot be matched on their own (classes, and
filters of single channels) follow the order of the layers before. Of a layer from pixels to classes no order is
arbitrary, and none is tested: networks of one task agree in it without a common origin.

A layer's p-value is `TESTS` times the smallest one of its tests: the files' order with signs as they are, with
neurons turned over, and the order that was found. Over layers they are corrected by Holm (1979), which needs no
independence between them. So many orders are drawn that the smallest p-value there is survives both.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import torch
from jaxtyping import Float, Float64, Int64
from scipy.special import ndtri
from torch import Tensor

from covalign.encoding.lineage.balance import balanced
from covalign.encoding.lineage.fixed import fixed_pattern
from covalign.encoding.lineage.matching import match_neurons
from covalign.encoding.lineage.order import DRAWS, OrderTest, same_order, turned_order

LEVEL = 0.01
"""Probability that any layer of independent networks is called related."""
TESTS = 3
"""Of a layer."""
CANDIDATES = 2
"""Orders of input channels that are tried, the latest first (our choice)."""


class Role(Enum):
    """What the order of a layer's neurons and input channels may mean."""

    FIRST = "reads the images"
    HIDDEN = "hidden"
    LAST = "its neurons have meanings of their own"
    GROUPED = "filters of single channels, or of groups of them"
    MEANINGS = "neurons and inputs have meanings of their own"


class Relation(Enum):
    """What a pair of layers has in common, neuron by neuron."""

    SAME_ORDER = "same neurons, same order"
    OTHER_ORDER = "same neurons, other order"
    FOLLOWS = "follows the order of the layers before"
    NONE = "no trace of a relation"
    FIXED = "a pattern that its maker gave it"
    UNTESTED = "too few neurons to tell"
    MEANINGS = "neurons and inputs have meanings of their own: no order to test"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two layers of equal shape ``[n, c, s]``, as they are."""

    a: Float[Tensor, "n c s"]
    b: Float[Tensor, "n c s"]
    role: Role


@dataclass(frozen=True, eq=False)
class Trace:
    """What one pair of layers shows.

    Attributes:
        relation: of the neurons.
        cosine: mean over corresponding neurons, in balanced form.
        spread: its standard deviation over orders; NaN where none was tested.
        p_order: of the file's order, the smaller one of both signs.
        p_matched: of the order that was found; 1 where none was looked for.
        p_value: of both, corrected over layers.
        pattern: of a fixed layer.
        neurons, channels: orders of b that correspond to a; None for the file's.
        signs: by which the neurons of b, in that order, are multiplied; None for none.
    """

    relation: Relation
    cosine: float
    spread: float = math.nan
    p_order: float = 1.0
    p_matched: float = 1.0
    p_value: float = 1.0
    pattern: str = ""
    neurons: Int64[Tensor, " n"] | None = None
    channels: Int64[Tensor, " c"] | None = None
    signs: Float64[Tensor, " n"] | None = None

    def detectable(self, tests: int) -> float:
        """Return the mean cosine from which this layer would have been called related, by the normal distribution."""
        return float(-ndtri(LEVEL / (TESTS * tests)) * self.spread)


def trace_layers(pairs: Sequence[Pair], *, draws: int = DRAWS, seed: int = 0) -> list[Trace]:
    """Return what each pair of layers shows, in the given order.

    Args:
        pairs: layers of equal shape, from the images' side on.
        draws: most orders that are drawn for a p-value, where no more are needed for so many layers.
        seed: of the orders.
    """
    draws = max(draws, math.ceil(TESTS * len(pairs) / LEVEL))
    forms = [(balanced(pair.a), balanced(pair.b)) for pair in pairs]
    traces = [_in_order(*form, pair.role, draws, seed) for pair, form in zip(pairs, forms, strict=True)]
    if any(trace.relation is Relation.NONE for trace in _judged(traces)):
        traces = list(_matched(pairs, forms, traces, draws, seed))
    return _judged(traces)


def _in_order(
    a: Float64[Tensor, "n c s"], b: Float64[Tensor, "n c s"], role: Role, draws: int, seed: int
) -> Trace:
    cosine = float((a * b).sum()) / max(1, int(a.any(2).any(1).sum()))
    if role is Role.MEANINGS:
        return Trace(Relation.MEANINGS, cosine)
    if role is not Role.GROUPED and (pattern := fixed_pattern(a) or fixed_pattern(b)):
        return Trace(Relation.FIXED, cosine, pattern=pattern)
    hidden_inputs = role in (Role.HIDDEN, Role.LAST)
    neurons = role is not Role.LAST
    test: OrderTest = same_order(a, b, neurons=neurons, channels=hidden_inputs, draws=draws, seed=seed)
    if math.isnan(test.cosine):
        return Trace(Relation.UNTESTED, cosine)
    trace = Trace(Relation.NONE, cosine, test.spread, test.p_value)
    if role is Role.LAST or test.p_value <= 1 / (1 + draws):
        return trace
    turned = turned_order(a, b, channels=hidden_inputs, draws=draws, seed=seed)
    trace = replace(trace, p_order=min(turned, test.p_value))
    if turned > min(LEVEL / TESTS, test.p_value):
        return trace
    products = (a * b).sum((1, 2))
    signs = torch.where(products < 0, -1.0, 1.0).to(a)
    return replace(trace, cosine=float(products.abs().sum()) / len(a), signs=signs)


def _judged(traces: Sequence[Trace]) -> list[Trace]:
    """Correct p-values over layers, and call related what remains significant."""
    tested = [index for index, trace in enumerate(traces) if not math.isnan(trace.spread)]
    found = list(traces)
    corrected = 0.0
    for rank, index in enumerate(sorted(tested, key=lambda index: _both(traces[index]))):
        trace = traces[index]
        corrected = max(corrected, min(1.0, (len(tested) - rank) * _both(trace)))
        relation = trace.relation
        if corrected <= LEVEL:
            in_order = trace.p_order <= trace.p_matched
            relation = Relation.SAME_ORDER if in_order else Relation.OTHER_ORDER
        found[index] = replace(trace, relation=relation, p_value=corrected)
    return found


def _both(trace: Trace) -> float:
    return min(1.0, TESTS * min(trace.p_order, trace.p_matched))


def _matched(
    pairs: Sequence[Pair],
    forms: Sequence[tuple[Tensor, Tensor]],
    traces: Sequence[Trace],
    draws: int,
    seed: int,
) -> Iterator[Trace]:
    """Look for other orders, layer by layer."""
    likely: list[Tensor] = []
    sure: list[Tensor] = []
    for pair, (a, b), trace, judged in zip(pairs, forms, traces, _judged(traces), strict=True):
        if judged.relation is Relation.SAME_ORDER:
            likely.insert(0, torch.arange(len(a)))
            yield trace
        elif pair.role is Role.MEANINGS:
            yield trace
        elif pair.role in (Role.GROUPED, Role.LAST):
            yield _following(pair, a, b, trace, sure)
        else:
            tried = [None] if pair.role is Role.FIRST else [None, *_fitting(likely, a.shape[1])]
            reordered = [b if order is None else b[:, order] for order in tried]
            found = match_neurons(a, reordered, draws=draws, seed=seed)
            if found is not None:
                likely.insert(0, found.order)
                sure[:0] = [found.order] if found.p_value <= LEVEL / len(pairs) else []
            if found is not None and found.p_value < trace.p_order:
                moved = reordered[found.inputs][found.order] * found.signs[:, None, None]
                trace = replace(
                    trace,
                    cosine=float((a * moved).sum()) / len(a),
                    p_matched=found.p_value,
                    neurons=found.order,
                    signs=found.signs,
                    channels=tried[found.inputs],
                )
            yield trace


def _following(
    pair: Pair,
    a: Float64[Tensor, "n c s"],
    b: Float64[Tensor, "n c s"],
    trace: Trace,
    orders: Sequence[Tensor],
) -> Trace:
    """Put a layer that cannot be matched on its own into the order of a layer before, where it then agrees.

    The orders come from related layers; what is asked is only whether this layer follows.
    """
    rows = pair.role is Role.GROUPED
    fitting = _fitting(orders, len(a) if rows else a.shape[1])
    best, least = trace, LEVEL / max(1, len(fitting))
    for order in fitting:
        moved = b[order] if rows else b[:, order]
        test = same_order(a, moved, neurons=rows, channels=not rows)
        if test.p_value <= least and not test.cosine <= best.cosine:
            neurons, channels = (order, None) if rows else (None, order)
            best = replace(
                trace, relation=Relation.FOLLOWS, cosine=test.cosine, neurons=neurons, channels=channels
            )
    return best


def _fitting(orders: Sequence[Tensor], length: int) -> list[Tensor]:
    """The latest different orders of that length, without the file's own."""
    found: list[Tensor] = []
    for order in orders:
        known = any(torch.equal(order, other) for other in (torch.arange(len(order)), *found))
        if len(order) == length and not known and len(found) < CANDIDATES:
            found.append(order)
    return found


def corresponding(pair: Pair, trace: Trace) -> tuple[Float64[Tensor, "n c s"], Float64[Tensor, "n c s"]]:
    """Return both layers as they are, the second in the order of the first."""
    a, b = pair.a.double(), pair.b.double()
    b = b if trace.neurons is None else b[trace.neurons]
    b = b if trace.signs is None else b * trace.signs[:, None, None]
    return a, b if trace.channels is None else b[:, trace.channels]

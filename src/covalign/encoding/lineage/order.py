"""Does neuron i of one network belong to neuron i of the other?

The order of hidden neurons means nothing: initial weights are exchangeable, training treats neurons alike, and so
the weights of a network B that is independent of A are as likely in any other order, whatever was learned,
however neurons of one network depend on each other, and whatever data both share. Therefore the mean cosine of
neurons in the same order,

    t = 1/n sum_i cos(a_i, b_i),

has given A and the unordered B the distribution of t over all orders P of B's neurons,

    t(P) = 1/n sum_i cos(a_i, b_P(i)),

and the share of orders with t(P) >= t is an exact p-value (Fisher 1935; mean and variance: Hoeffding 1951). Input
channels are the neurons of the layer before, so that the same holds for their order. Where both can be reordered,
the larger of the two p-values is taken, which is valid if either is: neurons of fixed roles (queries and keys,
gates, sub-pixels) make one of them invalid. Image channels and classes have a meaning of their own and are never
reordered.

A batch norm of negative scale that was folded into one of the files turns neurons over. Their signs are chosen on
one half of the input channels (the even ones) and tested on the other: `turned_order`. Given the first half, the
channels of the other are exchangeable as before; and for neurons any function of a_i and b_j may be summed.

Orders are drawn until `ENOUGH` of them exceed t, at most `DRAWS`: the p-value h / l at the l-th draw, or (1 + g)
/ (1 + draws) where only g < h exceed, is valid in both cases (Besag & Clifford 1991).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

DRAWS = 9_999
"""So that p-values of 1e-4 exist (our choice); `covalign.encoding.lineage.trace` draws more for many layers."""
ENOUGH = 20
FEWEST = 6
"""Neurons or channels below which too few orders exist."""
BATCHES = (99, 900, 10**9)
HELD = 2**22


@dataclass(frozen=True)
class OrderTest:
    """Whether two layers agree in the same order.

    Attributes:
        cosine: mean cosine of corresponding neurons; NaN where nothing could be compared.
        spread: its standard deviation over orders, the larger one of neurons and channels.
        p_value: 1 where nothing could be reordered.
    """

    cosine: float
    spread: float
    p_value: float


def same_order(
    a: Float64[Tensor, "n c s"],
    b: Float64[Tensor, "n c s"],
    *,
    neurons: bool = True,
    channels: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> OrderTest:
    """Test whether two layers, in balanced form, agree in the same order.

    Args:
        a, b: what `covalign.encoding.lineage.balance.balanced` gave; zero neurons have cosine 0.
        neurons, channels: which order means nothing.
        draws: most orders that are drawn.
        seed: of the orders.
    """
    sides = [torch.einsum("ics,jcs->ij", a, b)] if neurons else []
    sides += [torch.einsum("ncs,nds->cd", a, b)] if channels else []
    sides = [products for products in sides if len(products) >= FEWEST]
    if not sides or not a.any() or not b.any():
        return OrderTest(math.nan, math.nan, 1.0)
    total = float((a * b).sum())
    spread = max(order_spread(products) for products in sides)
    p_value = max(order_p_value(products, draws, seed) for products in sides)
    return OrderTest(total / len(a), spread / len(a), p_value)


def turned_order(
    a: Float64[Tensor, "n c s"],
    b: Float64[Tensor, "n c s"],
    *,
    channels: bool = True,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """Return the p-value of two layers, in balanced form, that agree in the same order but for neurons' signs.

    Args:
        a, b, channels, draws, seed: as of `same_order`; a layer that reads few channels is not halved, and
            its neurons are compared by absolute values.
    """
    few = a.shape[1] < 2 * FEWEST
    if not a.any() or not b.any() or (few and channels) or len(a) < FEWEST:
        return 1.0
    chosen_on, tested_on = (slice(0, None), slice(0, None)) if few else (slice(0, None, 2), slice(1, None, 2))
    signs = torch.einsum("ics,jcs->ij", a[:, chosen_on], b[:, chosen_on]).sign()
    one, two = a[:, tested_on], b[:, tested_on]
    sides = [signs * torch.einsum("ics,jcs->ij", one, two)]
    sides += [torch.einsum("ncs,nds->cd", one * signs.diagonal()[:, None, None], two)] if channels else []
    return max(order_p_value(products, draws, seed) for products in sides)


def order_spread(products: Float64[Tensor, "n n"]) -> float:
    """Return the standard deviation of sum_i M_iP(i) over orders P: sqrt(sum r_ij^2 / (n - 1)), r doubly centred."""
    centred = products - products.mean(0) - products.mean(1, keepdim=True) + products.mean()
    return math.sqrt(float(centred.square().sum()) / (len(products) - 1))


def order_p_value(products: Float64[Tensor, "n n"], draws: int = DRAWS, seed: int = 0) -> float:
    """Return the p-value of sum_i M_ii among sum_i M_iP(i), P drawn at random; ties count against.

    Args:
        products: M, whose columns are exchangeable under the hypothesis.
        draws: most orders that are drawn.
        seed: of the orders.
    """
    least = float(products.diagonal().sum())
    least -= 1e-9 * float(products.diagonal().abs().sum())  # what differs by rounding is a tie
    exceeding = done = 0
    rows = torch.arange(len(products), device=products.device)
    for orders in _orders(len(products), draws, seed):
        above = (products[rows, orders.to(products.device)].sum(1) >= least).nonzero()[:, 0]
        if exceeding + len(above) >= ENOUGH:
            return ENOUGH / (done + int(above[ENOUGH - exceeding - 1]) + 1)
        exceeding += len(above)
        done += len(orders)
    return (1 + exceeding) / (1 + done)


def _orders(n: int, draws: int, seed: int) -> Iterator[Int64[Tensor, "some n"]]:
    """Random orders, in batches of bounded size that grow."""
    generator = torch.Generator().manual_seed(seed)
    most, left = max(1, HELD // n), draws
    for batch in BATCHES:
        batch = min(batch, left)
        left -= batch
        while batch:
            some = min(batch, most)
            yield torch.rand(some, n, generator=generator).argsort(1)
            batch -= some

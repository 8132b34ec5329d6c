"""Does each neuron of one network have its own counterpart in the other, in whatever order?

A copy with permuted neurons agrees with nobody in the same order. Matching each neuron to the one that it is most
like cannot be a test by itself: the best of n! orders agrees by chance, and independent networks learn like things.
What is tested is whether an order that was found on one half of the inputs holds on the other half.

Let rows a_i, b_j be unit vectors in common coordinates, less the mean of their own network, taken to the principal
axes of all of them together and divided by sqrt(eigenvalue + `RIDGE` mean eigenvalues), so that no few directions
rule. Axes are dealt alternately into halves X, Y. The order pi maximizes sum_i |cos(a_i^X, b_pi(i)^X)| (Kuhn
1955), since batch norms of negative scale, folded in, turn neurons over. Then

    t = 1/n sum_i s_i cos(a_i^Y, b_pi(i)^Y),    s_i = sign cos(a_i^X, b_pi(i)^X),

is compared with t over other orders (`covalign.encoding.lineage.order`), and the same with the halves exchanged;
the p-value is twice the smaller one.

**When it holds.** The comparison is exact where, given the X halves, the directions of the b_j^Y are exchangeable:
where neurons are independent draws of an elliptical law (Gaussian or heavy-tailed; the model of Guth & Menard 2024)
whose halves are uncorrelated. In principal axes of all rows together sum_i a_i^X a_i^Y' + sum_j b_j^X b_j^Y' = 0:
if the halves of one network have the cross-moment +K, those of the other have -K. What X predicts of a^Y and of its
match b^Y then has opposite signs, whether K comes from different covariances or from the sample. So t falls below
chance, and false relations are rarer than the level says. Without the means taken away they were not: uncorrelated
is then not independent. Where neurons come in kinds (filters that every network learns) halves are dependent too,
and the test finds the kinds: this is why a first layer counts for nothing by itself. How often that deceives in
trained networks is measured in ``docs/results/lineage``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from covalign.encoding.lineage.order import DRAWS, FEWEST, order_p_value

RIDGE = 10.0
"""Mean eigenvalues; relatives of cosine .5 are found more rarely with 1, or with no division at all (measured)."""
LARGEST = 2048
"""Neurons beyond which matching takes minutes; such layers are not matched (our choice)."""


@dataclass(frozen=True, eq=False)
class Matching:
    """The best order of a layer's neurons, and whether it is more than chance.

    Attributes:
        order: ``b[order]`` corresponds to ``a``.
        inputs: which of the candidates it was found with.
        signs: by which ``b[order]`` is multiplied.
        p_value: of the order found on one half, on the other.
    """

    order: Int64[Tensor, " n"]
    inputs: int
    signs: Float64[Tensor, " n"]
    p_value: float


def match_neurons(
    a: Float64[Tensor, "n c s"],
    candidates: Sequence[Float64[Tensor, "n c s"]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Matching | None:
    """Match the neurons of two layers; None where there are too few, too many, or only zeros.

    Args:
        a: a layer in balanced form.
        candidates: the other layer in balanced form, with its input channels in each order that may be right. Which
            one is taken is decided on the half that the order is found on.
        draws: most orders that are drawn.
        seed: of the orders.
    """
    n = len(a)
    if not FEWEST <= n <= LARGEST or a[0].numel() < FEWEST or not a.any() or not candidates[0].any():
        return None
    cosines = [_cosines(a.flatten(1), b.flatten(1)) for b in candidates]
    p_values = []
    for found_on, tested_on in ((0, 1), (1, 0)):
        best = max(cosines, key=lambda each: _nearest(each[found_on]))
        order, signs = _best(best[found_on])
        p_values.append(order_p_value(signs[:, None] * best[tested_on][:, order], draws, seed))
    wholes = [first + second for first, second in cosines]
    inputs = max(range(len(wholes)), key=lambda index: _nearest(wholes[index]))
    order, signs = _best(wholes[inputs])
    return Matching(order, inputs, signs, min(1.0, 2 * min(p_values)))


def _cosines(
    a: Float64[Tensor, "n d"], b: Float64[Tensor, "n d"]
) -> tuple[Float64[Tensor, "n n"], Float64[Tensor, "n n"]]:
    """Cosines of all pairs of neurons in each half of the axes."""
    own = [rows - rows.mean(0) for rows in (a, b)]
    rows = _principal(torch.cat(own))
    variance = rows.square().sum(0)
    rows = rows[:, variance > 1e-12 * variance.max()]
    variance = rows.square().sum(0)
    rows = rows / (variance + RIDGE * variance.sum() / a.shape[1]).sqrt()
    halves = [torch.nn.functional.normalize(rows[:, half::2], dim=1) for half in (0, 1)]
    first, second = (half[: len(a)] @ half[len(a) :].T for half in halves)
    return first, second


def _best(cosines: Float64[Tensor, "n n"]) -> tuple[Int64[Tensor, " n"], Float64[Tensor, " n"]]:
    """Order and signs of the neurons that fit best."""
    from scipy.optimize import linear_sum_assignment

    order = torch.as_tensor(linear_sum_assignment(cosines.abs().cpu().numpy(), maximize=True)[1])
    return order, cosines.gather(1, order.to(cosines.device)[:, None])[:, 0].sign()


def _principal(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, "n r"]:
    """Return rows in their principal axes, the leading one first, from the smaller Gram matrix."""
    few = len(rows) <= rows.shape[1]
    values, vectors = torch.linalg.eigh(rows @ rows.T if few else rows.T @ rows)
    axes: Tensor = vectors * values.clamp(min=0).sqrt() if few else rows @ vectors
    return axes.flip(1)


def _nearest(cosines: Float64[Tensor, "n n"]) -> float:
    """Mean cosine to the nearest: which order of the inputs is likelier, at little cost."""
    return float(cosines.abs().max(1).values.mean())

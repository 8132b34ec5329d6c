"""Has a layer an order that its maker gave it, visible in one network alone?

Weights that start from, or stay at, a fixed pattern are alike in all networks built that way, related or not. Two
patterns show in a single network and take away a layer's evidence:

- **identity**: neuron i reads channel i (Dirac and identity initializations, near-identity layers beside a skip
  connection). The diagonal of the channel energies, or of the summed kernels, stands out among reordered ones.
- **repeated**: neurons are copies of few patterns (a filter bank applied to every channel).

A layer is left out where either network shows one. Leaving out can only lower the rate of false relations.
"""

from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.lineage.order import FEWEST, order_p_value

LEVEL = 0.001
"""p-value below which the diagonal stands out (our choice)."""
DISTINCT = 0.9
"""Share of distinct neurons below which they count as copies of a pattern (our choice)."""


def fixed_pattern(layer: Float64[Tensor, "n c s"]) -> str:
    """Return "identity", "repeated", or "" for a layer, in balanced form, without such a pattern."""
    neurons, channels, _ = layer.shape
    m = min(neurons, channels)
    if m >= FEWEST:
        block = layer[:m, :m]
        sums = block.sum(2)
        if min(order_p_value(each) for each in (block.square().sum(2), sums, -sums)) <= LEVEL:
            return "identity"
    rows = layer.flatten(1)
    rows = rows[rows.any(1)]
    if len(rows) < FEWEST:
        return ""
    lead = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    distinct = (rows * lead.sign()).mul(1e5).round().unique(dim=0)
    return "repeated" if len(distinct) < DISTINCT * len(rows) else ""

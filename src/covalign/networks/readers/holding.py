"""Which of a module's parts hold several layers, and how are these wired?

A part is what has a forward pass of its own, as PyTorch's modules have; a product of queries, keys and values is one
part and three layers, attention as PyTorch computes it is one part and four (`covalign.networks.readers.attention`).
"""

from torch import nn

from covalign.networks.readers.attention import BLOCKS, QKV, UNKNOWN_ORDER, is_named, sizes
from covalign.networks.readers.tracing import Readable, is_turned
from covalign.networks.readers.trials import Look, right_cut


def cuts(
    module: nn.Module, found: dict[str, Readable], look: Look
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Return of each product that is cut how many rows are queries, keys and values, and what was inferred.

    All are tried together, and one by one where that fails. Where nothing can be tried, names decide.
    """
    shapes = {name: shape for name, part in found.items() if (shape := _shape(part)) is not None}
    widths = {name: shape[1] for name, shape in shapes.items()}
    counts = {name: each for name, shape in shapes.items() if (each := sizes(name, shape, widths))}
    asked = {name: each for name, each in counts.items() if len(each) == len(QKV)}
    verdicts: dict[str, bool | None] = dict.fromkeys(counts)
    if asked and look.example is not None:
        verdicts |= dict.fromkeys(asked, right_cut(module, look.example, asked))
        if not all(verdicts[name] for name in asked) and len(asked) > 1:
            verdicts |= {n: right_cut(module, look.example, {n: each}) for n, each in asked.items()}
    inferred = {}
    tensors = {name for name, _ in module.named_parameters()}
    for name, verdict in verdicts.items():
        if verdict or (verdict is None and is_named(name, tensors)):
            inferred[name] = f"{BLOCKS}, {'by the law of attention' if verdict else 'by its name'}"
        else:
            counts[name], inferred[name] = (), UNKNOWN_ORDER
    return counts, inferred


def wired(
    wires: dict[str, tuple[str, ...]], held: dict[str, tuple[str, ...]], found: dict[str, Readable]
) -> dict[str, tuple[str, ...]]:
    """Return the wiring of layers from that of the parts that hold them.

    Of PyTorch's attention the output projection reads the other three, and alone is read.
    """
    whole = {name: isinstance(found.get(name), nn.MultiheadAttention) for name in held}
    gives = {name: own[-1:] if whole[name] else own for name, own in held.items()}
    found_wires: dict[str, tuple[str, ...]] = {}
    for name, makers in wires.items():
        read = tuple(each for maker in makers for each in gives.get(maker, (maker,)))
        takers = held[name][:-1] if whole[name] else held[name]
        found_wires |= dict.fromkeys(takers, read)
        if whole[name]:
            found_wires[held[name][-1]] = takers
    return found_wires


def _shape(part: nn.Module) -> tuple[int, int] | None:
    """Return numbers of neurons and of inputs of a linear layer."""
    if is_turned(part):
        received, given = part.get_parameter("weight").shape
        return given, received
    return (part.out_features, part.in_features) if isinstance(part, nn.Linear) else None

"""Which stored numbers of an ONNX graph are no layers of it, and what uses them?

What stands in the bodies of other nodes (If, Loop, Scan), which the graph does not run in order, and what operators
use that are no layers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from covalign.networks.network import Skipped
from covalign.networks.readers.onnx_constants import PASSED_ON, Constants, options_of

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def users_of(graph: Any, constants: Constants) -> dict[str, set[str]]:
    """Return the operators that use each tensor, by way of other constants too."""
    users: dict[str, set[str]] = {}
    for node in reversed(graph.node):
        made = [name for name in node.output if name in constants]
        kinds = set[str]().union(*(users.get(name, {NOWHERE}) for name in made)) if made else {node.op_type}
        for name in node.input:
            users.setdefault(name, set()).update(kinds)
    return users


def in_branches(node: Any, constants: set[str], where: str = "") -> Iterator[Skipped]:
    """List the layers inside the bodies of a node (If, Loop, Scan), which the main graph does not run in order."""
    for option in node.attribute:
        for body in (option.g, *option.graphs) if option.HasField("g") or option.graphs else ():
            place = f"{where}{option.name} of {node.op_type} {node.name or ', '.join(node.output)}".strip()
            fixed = constants | {tensor.name for tensor in body.initializer}
            large = {tensor.name for tensor in body.initializer if len(tensor.dims) > 1}
            large |= {inner.output[0] for inner in body.node if _holds_matrix(inner)}
            for inner in body.node:
                if inner.op_type == "Constant" or (inner.op_type in PASSED_ON and inner.input[0] in fixed):
                    fixed |= set(inner.output)
                if inner.op_type in LAYERS and (inner.op_type.startswith("Conv") or inner.input[1] in fixed):
                    name = inner.name or (inner.input[1] if len(inner.input) > 1 else inner.op_type)
                    yield Skipped(name, f"{inner.op_type} in the {place}, expected in the main graph")
                elif inner.op_type not in PASSED_ON:
                    for weight in large.intersection(inner.input):
                        yield Skipped(
                            weight, f"used by {inner.op_type} in the {place}: {_not_read(inner.op_type)}"
                        )
                yield from in_branches(inner, fixed, f"{option.name} of {node.op_type}, ")


def other_weights(onnx: Any, graph: Any, users: Mapping[str, set[str]]) -> Iterator[Skipped]:
    """List stored tensors of two or more axes that no layer's node uses, not even by way of other constants.

    Args:
        onnx: the library.
        graph: whose tensors are listed.
        users: as `users_of` returns them.
    """
    stored = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        value = options_of(onnx, node).get("value") if node.op_type == "Constant" else None
        if value is not None:
            stored[node.output[0]] = len(value.dims)
    for name, axes in stored.items():
        kinds = users.get(name, {NOWHERE})
        if axes > 1 and not kinds.intersection(LAYERS):
            yield Skipped(name, f"used by {', '.join(sorted(kinds))}: {_not_read(*sorted(kinds))}")


def _not_read(*kinds: str) -> str:
    """Say what operators are that use a stored tensor of two or more axes, and are not read."""
    said = dict.fromkeys(_KINDS.get(kind, "no convolution or linear layer") for kind in kinds)
    return "; ".join(said)


def _holds_matrix(node: Any) -> bool:
    """Whether a node is a constant of two or more axes."""
    return node.op_type == "Constant" and any(len(option.t.dims) > 1 for option in node.attribute)


NOWHERE = "no node of the main graph"
_KINDS = {
    NOWHERE: "perhaps by the body of another node",
    **dict.fromkeys(
        (
            "QLinearConv",
            "QLinearMatMul",
            "ConvInteger",
            "MatMulInteger",
            "QGemm",
            "QAttention",
            "MatMulNBits",
        ),
        "a quantized layer, expected real numbers",
    ),
    "DequantizeLinear": "stored as integers (quantized), expected real numbers",
    "QuantizeLinear": "quantized while the graph runs, expected real numbers",
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "weights of a recurrent layer"),
    "Gather": "an embedding (a table of vectors by index), not a layer",
    "DeformConv": "a deformable convolution, whose inputs have no fixed places",
    "Einsum": "a product written as a sum over indices (Einsum), which may be a linear layer",
    **dict.fromkeys(
        (
            "FusedConv",
            "FusedGemm",
            "FusedMatMul",
            "Attention",
            "MultiHeadAttention",
            "NhwcConv",
            "SkipLayerNormalization",
        ),
        "a layer that an optimizer has fused with others: export the network again without that",
    ),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div", "Pow"), "a constant in arithmetic, not a layer"),
}
"""What operators are that use stored tensors and are not read."""

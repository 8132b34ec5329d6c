"""Which learned layers does an ONNX graph have, and what do they receive?

The nodes of a graph are in the order of execution, so layers are too: Conv, ConvTranspose, Gemm and MatMul
nodes whose weight is a constant, or is computed of constants alone
(`covalign.networks.readers.onnx_constants`). Weights in other files beside the graph are read from there. Layer
inputs come from onnxruntime, which runs the graph with those tensors as additional outputs.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from covalign.errors import InputError, optional
from covalign.limits import NODES
from covalign.networks.network import BatchNorm, Layer, Network, Skipped
from covalign.networks.readers.module import layer_of
from covalign.networks.readers.onnx_constants import (
    PASSED_ON,
    Constants,
    constants_of,
    options_of,
    origins,
    value_of,
)
from covalign.networks.readers.onnx_intake import wiring
from covalign.networks.readers.onnx_source import OnnxSource
from covalign.networks.readers.onnx_whole import follow_links, inlined
from covalign.networks.readers.torch_file import one_line

LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FROM_LEFT = (
    "a constant that multiplies its input from the left: a map of places, or of channels before the last axis, "
    "expected the weight on the right"
)


def read_onnx(path: Path, name: str, channels_last: bool | None = None) -> Network:
    """Read an ONNX file as a network; `channels_last` says where its images have their channels, if stated.

    Raises:
        InputError: the onnx extra is missing; a file that is damaged, cyclic, or points outside its folder;
            no readable layer; weights that are not finite.
    """
    onnx = optional("onnx", "onnx")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # a damaged file may raise anything
        raise InputError(
            f"{path}: not an ONNX file ({one_line(error)}); get it again, it may be truncated"
        ) from error
    try:
        return _network(onnx, model, path, name, channels_last)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except Exception as error:  # the parts of a damaged graph need not fit one another in any way
        raise InputError(
            f"{path}: not a graph that can be read ({type(error).__name__}: {one_line(error)}); get it again, or "
            "export the network again"
        ) from error


def _network(onnx: Any, model: Any, path: Path, name: str, channels_last: bool | None) -> Network:
    NODES.check(len(model.graph.node), "the graph")
    model = inlined(model)
    follow_links(model, path)
    _check_order(model.graph)
    constants = constants_of(onnx, model.graph, path.parent)
    layers, received, made, skipped = _layers(onnx, model.graph, constants)
    if not layers:
        listed = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:3])
        raise InputError(
            f"no two-dimensional convolution or linear layer with constant weights (left out: "
            f"{listed or 'nothing'}); expected a trained network with such layers"
        )
    source = OnnxSource(model, path.parent, name, received, channels_last)
    intake = source.intake
    details = {
        "source": str(path),
        "order": "of execution",
        "opset": model.opset_import[0].version,
        "images": str(intake),
    }
    return Network(
        name,
        tuple(layers),
        tuple(skipped),
        source,
        source.normalization,
        intake.height if intake.height == intake.width else None,
        details=details,
        intake=intake,
        wiring=wiring(model.graph, made),
    )


def _check_order(graph: Any) -> None:
    """Refuse graphs that use a tensor before it is made, as cyclic ones do."""
    made = {"", *(value.name for value in graph.input), *(tensor.name for tensor in graph.initializer)}
    made |= {tensor.values.name for tensor in graph.sparse_initializer}
    for node in graph.node:
        for name in node.input:
            if name not in made:
                raise InputError(
                    f"node {node.name or node.op_type!r} uses {name!r} before it is made: the graph is "
                    "cyclic or not sorted; expected the order of execution: export the network again"
                )
        made |= set(node.output)


def _layers(
    onnx: Any, graph: Any, constants: Constants
) -> tuple[list[Layer], dict[str, tuple[str, bool]], dict[str, str], list[Skipped]]:
    """Return layers in graph order, the tensor each receives, the layer that makes a tensor, what was left out."""
    before, after = _batch_norms(onnx, graph, constants)
    layers: list[Layer] = []
    received: dict[str, tuple[str, bool]] = {}
    made: dict[str, str] = {}
    owners: dict[str, list[Layer]] = {}
    origin = origins(onnx, graph, constants)
    users = _users(graph, constants)
    skipped: list[Skipped] = []
    makers = {output: node.op_type for node in graph.node for output in node.output}
    for index, node in enumerate(graph.node):
        if any(option.HasField("g") or option.graphs for option in node.attribute):
            skipped += _in_branches(node, set(constants))
        steps = constants.keys() & set(node.output)
        if node.op_type not in LAYERS or any(not users.get(name, set()).isdisjoint(LAYERS) for name in steps):
            continue  # no layer, or a step in computing the weight of one
        name = _layer_name(node, index, received)
        weight = node.input[1]
        array = value_of(constants, weight) if weight in constants else None
        options = options_of(onnx, node)
        if array is None:
            fixed = constants.keys() & {*node.input[:2]}
            if node.op_type != "MatMul" or fixed:  # else attention: no weights at all
                left = fixed and weight not in constants and node.op_type in ("Gemm", "MatMul")
                skipped.append(Skipped(name, FROM_LEFT if left else _computed(makers.get(weight, ""))))
            continue
        if reason := _reason(node, array, options):
            skipped.append(Skipped(name, reason))
            continue
        layer = _layer(node, name, array, options)
        twins = owners.setdefault(origin[weight], [])
        if twin := next((each.name for each in twins if _equal(each, layer)), ""):
            skipped.append(Skipped(name, f"tied: the same weights as {twin}"))
            continue
        norm_before, norm_after = before.get(node.input[0]), after.get(node.output[0])
        layers.append(replace(layer, norm_before=norm_before, norm_after=norm_after))
        received[name] = (node.input[0], layer.kind == "linear")
        made[node.output[0]] = name
        twins.append(layer)
    return layers, received, made, skipped + list(_other_weights(onnx, graph, constants))


def _equal(one: Layer, other: Layer) -> bool:
    """Whether two layers with one stored tensor have the same weights: it may also be cut, or turned."""
    return one.kind == other.kind and torch.equal(one.weight, other.weight)


def _computed(maker: str) -> str:
    """Say why a node's weight is no constant."""
    if maker == "DequantizeLinear":
        return (
            "quantized: its weight is stored as integers and passes DequantizeLinear, expected real numbers"
        )
    return f"its weight is computed in the graph{f' (by {maker})' if maker else ''}, expected a constant"


def _in_branches(node: Any, constants: set[str], where: str = "") -> Iterator[Skipped]:
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
                yield from _in_branches(inner, fixed, f"{option.name} of {node.op_type}, ")


def _layer_name(node: Any, index: int, taken: dict[str, Any]) -> str:
    """Return the name of the weight without ``.weight``, or else the node's, made unique."""
    weight = node.input[1]
    name = weight.removesuffix(".weight") if weight.endswith(".weight") else node.name.strip("/")
    name = name or f"{node.op_type}_{index}"
    return name if name not in taken else f"{name}_{index}"


def _reason(node: Any, weight: np.ndarray, options: dict[str, Any]) -> str:
    """Say why a node's weight is not read as a layer, or "" where it is."""
    if weight.dtype.name not in ("float16", "bfloat16", "float32", "float64"):
        return f"stored as {weight.dtype.name} (quantized?), expected real numbers"
    if node.op_type in ("Conv", "ConvTranspose") and weight.ndim in (3, 5):
        return f"a {'one' if weight.ndim == 3 else 'three'}-dimensional convolution, expected a two-dimensional one"
    if node.op_type in ("Conv", "ConvTranspose") and weight.ndim != 4:
        return f"weight of {weight.ndim} axes: not a two-dimensional convolution"
    if node.op_type in ("Gemm", "MatMul") and weight.ndim != 2:
        return f"matrix product with {weight.ndim} axes: not a linear layer"
    return "multiplies the transposed input, expected a linear layer" if options.get("transA") else ""


def _layer(node: Any, name: str, weight: np.ndarray, options: dict[str, Any]) -> Layer:
    """Make a layer of a node; ONNX lays convolution weights out as PyTorch does."""
    if weight.dtype not in (np.float16, np.float32, np.float64):
        weight = weight.astype(np.float32)  # bfloat16 is no type of NumPy's own
    tensor = torch.from_numpy(np.array(weight))
    if node.op_type in ("Gemm", "MatMul"):
        return layer_of(name, options.get("alpha", 1.0) * (tensor if options.get("transB") else tensor.T))
    kernel, dilation = weight.shape[2:], tuple(options.get("dilations", (1, 1)))
    padding = tuple(options.get("pads", (0, 0, 0, 0))[:2])
    if options.get("auto_pad", b"NOTSET").startswith(b"SAME"):
        padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
    return layer_of(
        name,
        tensor,
        node.op_type == "ConvTranspose",
        groups=options.get("group", 1),
        stride=tuple(options.get("strides", (1, 1))),
        padding=padding,
        dilation=dilation,
    )


def _batch_norms(
    onnx: Any, graph: Any, constants: Constants
) -> tuple[dict[str, BatchNorm], dict[str, BatchNorm]]:
    """Return batch norms by the tensor they give, and by the tensor that they alone receive."""
    uses = Counter(name for node in graph.node for name in node.input)
    before: dict[str, BatchNorm] = {}
    after: dict[str, BatchNorm] = {}
    for node in graph.node:
        if node.op_type == "BatchNormalization" and all(name in constants for name in node.input[1:5]):
            stored = [value_of(constants, name) for name in node.input[1:5]]
            numbers = [torch.from_numpy(each.astype(np.float64)) for each in stored if each is not None]
            if len(numbers) < len(stored):
                continue
            weight, bias, mean, variance = numbers
            scale = weight * (variance + options_of(onnx, node).get("epsilon", 1e-5)).rsqrt()
            norm = BatchNorm(scale, bias - scale * mean)
            before[node.output[0]] = norm
            if uses[node.input[0]] == 1:
                after[node.input[0]] = norm
    return before, after


def _users(graph: Any, constants: Constants) -> dict[str, set[str]]:
    """Return the operators that use each tensor, by way of other constants too."""
    users: dict[str, set[str]] = {}
    for node in reversed(graph.node):
        made = [name for name in node.output if name in constants]
        kinds = set[str]().union(*(users.get(name, {NOWHERE}) for name in made)) if made else {node.op_type}
        for name in node.input:
            users.setdefault(name, set()).update(kinds)
    return users


def _other_weights(onnx: Any, graph: Any, constants: Constants) -> Iterator[Skipped]:
    """List stored tensors of two or more axes that no layer's node uses, not even by way of other constants."""
    users = _users(graph, constants)
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

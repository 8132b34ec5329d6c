"""Which learned layers does an ONNX graph have, and what do they receive?

The nodes of a graph are in the order of execution, so layers are too: Conv, ConvTranspose, Gemm and MatMul
nodes whose weight is a constant, or is computed of constants alone
(`covalign.networks.readers.onnx_constants`). Weights in other files beside the graph are read from there. Layer
inputs come from onnxruntime, which runs the graph with those tensors as additional outputs.
"""

from collections import Counter
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
    Constants,
    constants_of,
    options_of,
    origins,
    value_of,
    whole_numbers,
)
from covalign.networks.readers.onnx_intake import wiring
from covalign.networks.readers.onnx_rest import LAYERS, in_branches, other_weights, users_of
from covalign.networks.readers.onnx_source import OnnxSource
from covalign.networks.readers.onnx_whole import follow_links, inlined
from covalign.networks.readers.torch_file import one_line

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
    quantized = whole_numbers(onnx, graph, constants)
    users = users_of(graph, constants)
    skipped: list[Skipped] = []
    makers = {output: node for node in graph.node for output in node.output}
    for index, node in enumerate(graph.node):
        if any(option.HasField("g") or option.graphs for option in node.attribute):
            skipped += in_branches(node, set(constants))
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
                skipped.append(Skipped(name, FROM_LEFT if left else _computed(makers.get(weight), constants)))
            continue
        whole = (
            f"stored as {quantized[weight]} (quantized?), expected real numbers"
            if weight in quantized
            else ""
        )
        if reason := whole or _reason(node, array, options):
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
    listed = {entry.name for entry in skipped}
    rest = (entry for entry in other_weights(onnx, graph, users) if entry.name not in listed)
    return layers, received, made, [*skipped, *rest]


def _equal(one: Layer, other: Layer) -> bool:
    """Whether two layers with one stored tensor have the same weights: it may also be cut, or turned."""
    return one.kind == other.kind and torch.equal(one.weight, other.weight)


def _computed(maker: Any, constants: Constants) -> str:
    """Say why a node's weight is no constant."""
    if maker is not None and maker.op_type == "DequantizeLinear":
        stored = "stored as integers" if maker.input[0] in constants else "rounded while the graph runs"
        return f"quantized: its weight is {stored} and passes DequantizeLinear, expected real numbers"
    by = f" (by {maker.op_type})" if maker is not None else ""
    return f"its weight is computed in the graph{by}, expected a constant"


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

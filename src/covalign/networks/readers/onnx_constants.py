"""Which tensors of an ONNX graph do not depend on the images, and what are their numbers?

Initializers and constants, and what is computed of these alone: exporters leave transpositions and casts around
weights, and the arithmetic of weight norm and spectral norm, masks and scales. Nothing is computed before it is asked
for, nothing that has more numbers than what it is computed from, and at most `STEPS` values for one weight.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from covalign.errors import InputError
from covalign.networks.readers.torch_file import one_line

STEPS = 32
"""Values behind one weight: more are no norm, mask or scale (our choice)."""
SHORT = 16
"""Numbers up to which texts of sizes are joined (our choice)."""

PASSED_ON = ("Identity", "Cast", "Transpose")
Ask = Callable[[str], np.ndarray]
Constants = dict[str, Callable[[Ask], np.ndarray]]
"""How to compute each tensor, given how to ask for others."""


class NotComputed(Exception):
    """A constant that is not worked out: too large, behind too many steps, or of a form that is not known."""


def constants_of(onnx: Any, graph: Any, folder: Path) -> Constants:
    """Return how to obtain every tensor that does not depend on the images, by name."""
    constants: Constants = {}

    def stored(tensor: Any) -> Callable[[Ask], np.ndarray]:
        return lambda _ask: _array(onnx, tensor, folder)

    for tensor in graph.initializer:
        constants[tensor.name] = stored(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            options = options_of(onnx, node)
            if "value" in options:
                constants[node.output[0]] = stored(options["value"])
            elif numbers := [options[key] for key in _NUMBERS if key in options]:
                constants[node.output[0]] = _numbers(numbers[0])
        elif node.op_type in OPERATORS and node.input and set(node.input) <= constants.keys():
            constants[node.output[0]] = _computed(node, options_of(onnx, node))
    return constants


def value_of(constants: Constants, name: str) -> np.ndarray | None:
    """Return a constant's numbers; None where they are not worked out."""
    known: dict[str, np.ndarray] = {}

    def ask(name: str, depth: int = 0) -> np.ndarray:
        if name not in known:
            if depth > STEPS or len(known) > STEPS:
                raise NotComputed
            value = constants[name](lambda other: ask(other, depth + 1))
            known[name] = value
        return known[name]

    try:
        with np.errstate(all="ignore"):  # what is not finite is refused as a weight
            return ask(name)
    except NotComputed:
        return None


def origins(onnx: Any, graph: Any, constants: Constants) -> dict[str, str]:
    """Return for every constant the largest stored tensor that it is computed of."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    found = {tensor.name: tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if not node.output or node.output[0] not in constants:
            continue
        made = node.output[0]
        if node.op_type == "Constant":
            value = options_of(onnx, node).get("value")
            sizes[made] = 0 if value is None else math.prod(value.dims)
            found[made] = made
        else:
            found[made] = max((found[name] for name in node.input), key=lambda name: sizes.get(name, 0))
    return found


def whole_numbers(onnx: Any, graph: Any, constants: Constants) -> dict[str, str]:
    """Return by name the type of constants whose largest source is stored in whole numbers, as quantized weights are.

    Real numbers of the same size beside them make a weight of its own, which they may mask.
    """
    types = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and "value" in (options := options_of(onnx, node)):
            types[node.output[0]] = options["value"]
    real = {onnx.TensorProto.DataType.Value(name) for name in ("FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE")}
    sizes: dict[str, tuple[int, int, str]] = {}
    for name, tensor in types.items():
        size, kind = math.prod(tensor.dims), onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        sizes[name] = (size, 0, "") if tensor.data_type in real else (0, size, kind)
    for node in graph.node:
        if node.output and node.output[0] in constants and node.op_type != "Constant":
            behind = [sizes[name] for name in node.input if name in sizes]
            largest = max((each[1:] for each in behind), default=(0, ""))
            sizes[node.output[0]] = (max((each[0] for each in behind), default=0), *largest)
    return {name: kind for name, (size, whole, kind) in sizes.items() if whole > size}


def _numbers(given: Any) -> Callable[[Ask], np.ndarray]:
    return lambda _ask: np.asarray(given)


def _computed(node: Any, options: Mapping[str, Any]) -> Callable[[Ask], np.ndarray]:
    operator, names = OPERATORS[node.op_type], list(node.input)
    return lambda ask: operator(options, *(ask(name) for name in names))


def _elementwise(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def operator(_options: Mapping[str, Any], *given: np.ndarray) -> np.ndarray:
        if np.broadcast_shapes(*(each.shape for each in given)) not in {each.shape for each in given}:
            raise NotComputed
        return np.asarray(function(*given))

    return operator


def _reshaped(options: Mapping[str, Any], array: np.ndarray, shape: np.ndarray) -> np.ndarray:
    sides = [int(side) for side in shape]
    if not options.get("allowzero", 0):
        sides = [array.shape[axis] if side == 0 else side for axis, side in enumerate(sides)]
    return array.reshape(sides)


def _flattened(options: Mapping[str, Any], array: np.ndarray) -> np.ndarray:
    axis = options.get("axis", 1) % (array.ndim + 1)
    return array.reshape(math.prod(array.shape[:axis]), -1)


def _axes(options: Mapping[str, Any], stated: tuple[np.ndarray, ...]) -> tuple[int, ...] | None:
    """Return the axes that a node names, as an option (older graphs) or an input; None where it names none."""
    axes = stated[0].tolist() if stated else options.get("axes")
    return None if axes is None else tuple(axes)


def _unsqueezed(options: Mapping[str, Any], array: np.ndarray, *stated: np.ndarray) -> np.ndarray:
    return np.expand_dims(array, _axes(options, stated) or ())


def _squeezed(options: Mapping[str, Any], array: np.ndarray, *stated: np.ndarray) -> np.ndarray:
    return np.squeeze(array, _axes(options, stated))


def _reduced(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def operator(options: Mapping[str, Any], array: np.ndarray, *stated: np.ndarray) -> np.ndarray:
        axes = _axes(options, stated) or None
        if axes is None and options.get("noop_with_empty_axes", 0):
            return array
        return np.asarray(function(array, axis=axes, keepdims=bool(options.get("keepdims", 1))))

    return operator


def _joined(options: Mapping[str, Any], *given: np.ndarray) -> np.ndarray:
    """Join sizes; whole weights side by side are several layers."""
    if sum(each.size for each in given) > SHORT:
        raise NotComputed
    return np.concatenate(given, options.get("axis", 0))


def _product(_options: Mapping[str, Any], left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Multiply matrices where one is a vector, as power iteration does."""
    if not (1 <= left.ndim <= 2 and 1 <= right.ndim <= 2) or min(left.size, right.size) > max(
        left.shape[-1], right.shape[0]
    ):
        raise NotComputed
    return np.asarray(left @ right)


OPERATORS: dict[str, Callable[..., np.ndarray]] = {
    **{name: lambda _options, array: array for name in PASSED_ON[:2]},
    "Transpose": lambda options, array: np.transpose(array, options.get("perm")),
    "Reshape": _reshaped,
    "Flatten": _flattened,
    "Unsqueeze": _unsqueezed,
    "Squeeze": _squeezed,
    "Concat": _joined,
    "MatMul": _product,
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(np.true_divide),
    "Pow": _elementwise(np.power),
    "Sqrt": _elementwise(np.sqrt),
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Exp": _elementwise(np.exp),
    "Reciprocal": _elementwise(np.reciprocal),
    "ReduceSum": _reduced(np.sum),
    "ReduceMean": _reduced(np.mean),
    "ReduceL2": _reduced(lambda array, **how: np.sqrt(np.sum(np.square(array), **how))),
}
"""What is computed of constants, by operator."""

_NUMBERS = ("value_int", "value_ints", "value_float", "value_floats")


def _array(onnx: Any, tensor: Any, folder: Path) -> np.ndarray:
    """Return the numbers of a stored tensor; those in another file only from beside the graph."""
    stated = {entry.key: entry.value for entry in tensor.external_data}
    try:
        if "location" in stated:
            file = (folder / stated["location"]).resolve()
            offset, length = int(stated.get("offset", 0)), int(stated.get("length", 0))
            if not (file.is_relative_to(folder.resolve()) and file.is_file()):
                raise ValueError(f"{stated['location']!r} is no file beside the graph")
            if offset < 0 or length < 0 or offset + length > file.stat().st_size:
                raise ValueError(f"{stated['location']!r} is too short")
        return np.asarray(onnx.numpy_helper.to_array(tensor, str(folder)))
    except Exception as error:  # onnx has exceptions of its own
        raise InputError(
            f"tensor {tensor.name!r} cannot be read ({one_line(error)}); keep the files of an export "
            "together, or export the network again"
        ) from error


def options_of(onnx: Any, node: Any) -> dict[str, Any]:
    """Return what a node states beside its inputs."""
    return {option.name: onnx.helper.get_attribute_value(option) for option in node.attribute}

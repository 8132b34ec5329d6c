"""Which tensors of an ONNX graph do not depend on the images?

Initializers and constants, and these after Identity, Cast, Transpose or Reshape, as exporters leave them, or times
another constant, as masks and scales are. Nothing is computed before it is asked for.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from covalign.errors import InputError
from covalign.networks.readers.torch_file import one_line

PASSED_ON = ("Identity", "Cast", "Transpose")
Constants = dict[str, Callable[[], np.ndarray]]


class TooLarge(Exception):
    """A product of constants has more numbers than either: it is no weight with a mask or scale."""


def constants_of(onnx: Any, graph: Any, folder: Path) -> Constants:
    """Return how to obtain every tensor that does not depend on the images, by name."""
    constants: Constants = {}

    def stored(tensor: Any) -> Callable[[], np.ndarray]:
        return lambda: _array(onnx, tensor, folder)

    for tensor in graph.initializer:
        constants[tensor.name] = stored(tensor)
    for node in graph.node:
        options = options_of(onnx, node)
        if node.op_type == "Constant" and "value" in options:
            constants[node.output[0]] = stored(options["value"])
        elif node.op_type in PASSED_ON[:2] and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        elif node.op_type == "Transpose" and node.input[0] in constants:
            constants[node.output[0]] = _transposed(constants[node.input[0]], options.get("perm"))
        elif node.op_type == "Reshape" and len(node.input) == 2 and set(node.input) <= constants.keys():
            constants[node.output[0]] = _reshaped(*(constants[name] for name in node.input))
        elif node.op_type == "Mul" and set(node.input) <= constants.keys():
            constants[node.output[0]] = _product(*(constants[name] for name in node.input))
    return constants


def _transposed(array: Callable[[], np.ndarray], axes: Any) -> Callable[[], np.ndarray]:
    return lambda: np.transpose(array(), axes)


def _reshaped(array: Callable[[], np.ndarray], shape: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    def reshaped() -> np.ndarray:
        values, stated = array(), [int(side) for side in shape()]
        sides = [values.shape[axis] if side == 0 else side for axis, side in enumerate(stated)]
        return values.reshape(sides)

    return reshaped


def _product(one: Callable[[], np.ndarray], other: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
    def product() -> np.ndarray:
        left, right = one(), other()
        if np.broadcast_shapes(left.shape, right.shape) not in (left.shape, right.shape):
            raise TooLarge
        return np.asarray(left * right)

    return product


def value_of(array: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Return a constant's numbers; None where they would be more than what they are computed from."""
    try:
        return array()
    except TooLarge:
        return None


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

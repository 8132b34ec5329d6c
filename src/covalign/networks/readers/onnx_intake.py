"""Which images does an ONNX graph take, and which of its layers read which others?

The graph states the size of its input, axis by axis, where it fixes it. Which axis holds the channels follows from
the graph itself: from the images to the first node that takes channels second, by way of nodes that keep or exchange
axes. Where that says nothing (images are flattened at once) the stated sizes decide, and last the custom of ONNX,
channels first.
"""

from collections.abc import Mapping
from typing import Any

from covalign.networks.intake import Intake
from covalign.networks.readers.wiring import IMAGES

CHANNELS_SECOND = (
    "Conv",
    "ConvTranspose",
    "BatchNormalization",
    "InstanceNormalization",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "DepthToSpace",
    "SpaceToDepth",
)
AXES_KEPT = (
    *(
        "Identity",
        "Cast",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Neg",
        "Pow",
        "Sqrt",
        "Clip",
        "Relu",
        "Pad",
        "Resize",
        "Slice",
    ),
    *("QuantizeLinear", "DequantizeLinear", "Concat", "Split", "LeakyRelu", "PRelu", "Sigmoid", "Tanh"),
)
FEW = (1, 3, 4)
"""Usual numbers of channels."""


def intake_of(graph: Any, image: Any, channels_last: bool | None = None) -> Intake:
    """Return what a graph fixes of its images.

    Args:
        graph: of the model.
        image: its input that takes the images.
        channels_last: where the channels are, if that is stated; None finds out.
    """
    sizes = [max(0, axis.dim_value) for axis in image.type.tensor_type.shape.dim]
    if len(sizes) != 4:
        return Intake(channels_last=bool(channels_last))
    if channels_last is None:
        followed = _channel_axis(graph, image.name)
        channels_last = _looks_last(sizes) if followed is None else followed == 3
    first, second, third = sizes[1:]
    channels, height, width = (third, first, second) if channels_last else (first, second, third)
    return Intake(channels or None, height or None, width or None, channels_last)


def _channel_axis(graph: Any, image: str) -> int | None:
    """Return the axis of the images that a node takes for the channels; None where none is reached."""
    axes: dict[str, tuple[int, ...]] = {image: (0, 1, 2, 3)}
    for node in graph.node:
        known = next((axes[name] for name in node.input if name in axes), None)
        if known is None:
            continue
        if node.op_type in CHANNELS_SECOND:
            return known[1]
        if node.op_type == "Transpose":
            stated = next((tuple(each.ints) for each in node.attribute if each.name == "perm"), (3, 2, 1, 0))
            known = tuple(known[axis] for axis in stated)
        elif node.op_type not in AXES_KEPT:
            continue
        axes |= dict.fromkeys(node.output, known)
    return None


def _looks_last(sizes: list[int]) -> bool:
    """Whether sizes [n, ., ., .] look like those of images with channels last."""
    first, second, third = sizes[1:]
    if (first in FEW) != (third in FEW):
        return third in FEW
    return bool(third) and first == second != third


def wiring(graph: Any, made: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return, by layer, the layers whose output reaches it without another one between.

    Args:
        graph: of the model, in order of execution.
        made: name of the layer by the tensor it gives.
    """
    stored = {tensor.name for tensor in graph.initializer}
    reached = {value.name: {IMAGES} for value in graph.input if value.name not in stored}
    found: dict[str, set[str]] = {}
    for node in graph.node:
        read = set().union(*(reached.get(name, set()) for name in node.input))
        layer = made.get(node.output[0]) if node.output else None
        if layer is not None:
            found[layer] = read
        gives = {layer} if layer is not None else set() if node.op_type == "Shape" else read
        reached |= dict.fromkeys(node.output, gives)
    place = {name: index for index, name in enumerate((IMAGES, *found))}
    return {name: tuple(sorted(read, key=place.__getitem__)) for name, read in found.items()}

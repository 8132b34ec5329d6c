"""How is a graph made whole, before it is read: with its functions in place, and its numbers behind links?"""

import importlib
from pathlib import Path
from typing import Any

from covalign.errors import InputError
from covalign.limits import NODES
from covalign.networks.readers.torch_file import one_line

DEEPEST = 100
"""How deep the functions of a graph may call one another (our choice)."""


def inlined(model: Any) -> Any:
    """Return the model with the bodies of its own functions in the place of their calls."""
    if not model.functions:
        return model
    NODES.check(_nodes(model), "the graph with its functions in the place of their calls")
    try:
        return importlib.import_module("onnx.inliner").inline_local_functions(model)
    except Exception as error:  # recursive or damaged functions, or an onnx without an inliner
        raise InputError(
            f"its functions cannot be put in the place of their calls ({one_line(error)}); export the "
            "network again without functions"
        ) from error


def follow_links(model: Any, path: Path) -> None:
    """Take numbers that lie behind a link beside the graph into the graph, as caches of hubs keep them.

    Libraries refuse links. Here those are followed that end in the folder of the graph, or where the graph itself
    lies if it is a link too: a cache holds all files of a network in one folder, and links to them in another.

    Args:
        model: whose stored tensors name their files.
        path: of the graph, as it was given.

    Raises:
        InputError: a link that leads elsewhere, or to a file that is too short.
    """
    homes = (path.parent.resolve(), path.resolve().parent)
    for tensor in model.graph.initializer:
        stated = {entry.key: entry.value for entry in tensor.external_data}
        place = Path(stated.get("location", ""))
        found = (homes[0] / place).resolve()
        if not stated or place.is_absolute() or ".." in place.parts or found == homes[0] / place:
            continue
        if not any(found.is_relative_to(home) for home in homes):
            raise InputError(
                f"tensor {tensor.name!r}: {str(place)!r} is a link that leaves {path.parent}; keep the files of an "
                "export together"
            )
        offset, length = int(stated.get("offset", 0)), int(stated.get("length", -1))
        size = found.stat().st_size
        if not found.is_file() or not 0 <= offset <= offset + max(0, length) <= size:
            raise InputError(f"tensor {tensor.name!r}: {str(place)!r} is too short; get the files again")
        with found.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        del tensor.external_data[:]
        tensor.data_location = 0  # in the graph


def _nodes(model: Any) -> int:
    """Count the nodes of a graph with the bodies of its functions in the place of their calls.

    Raises:
        InputError: functions that call one another in a circle, or deeper than `DEEPEST`.
    """
    bodies = {(each.domain, each.name, each.overload): each.node for each in model.functions}
    counts: dict[tuple[str, str, str], int] = {}

    def counted(nodes: Any, depth: int) -> int:
        if depth > DEEPEST:
            raise InputError(
                "its functions call one another in a circle, or too deeply; export the network again without "
                "functions"
            )
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type, node.overload)
            if key in bodies and key not in counts:
                counts[key] = counted(bodies[key], depth + 1)
            total += counts.get(key, 1)
            for option in node.attribute:
                for body in (option.g, *option.graphs) if option.HasField("g") or option.graphs else ():
                    total += counted(body.node, depth + 1)
        return total

    return counted(model.graph.node, 0)

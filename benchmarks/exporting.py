"""How does a network become an ONNX graph, without anybody saying what it takes?

The first example that runs is taken: images in colours and in grey, words by number, sequences of vectors. What a
network has for images alone, for words alone or for both is found by its own refusals.
"""

import inspect
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SIDES = (32, 64, 224, 256, 28, 16, 13)
"""Of square images, in the order in which they are tried."""
WORDS = 12
"""Length of a text, or of a sequence of vectors."""


class Called(nn.Module):
    """A network that takes one tensor by name and gives all tensors of what it gives."""

    def __init__(self, network: nn.Module, takes: str) -> None:
        super().__init__()
        self.network, self.takes = network, takes

    def forward(self, example: Tensor) -> tuple[Tensor, ...]:
        """Return all tensors, in the order in which the network gives them."""
        given = {self.takes: example} if self.takes else {}
        return tuple(_tensors(self.network(**given) if given else self.network(example)))


def _tensors(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, Mapping | list | tuple):
        for each in given.values() if isinstance(given, Mapping) else given:
            yield from _tensors(each)


def examples(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what a network may take: the name of the argument ("" for the first) and a tensor."""
    named = inspect.signature(network.forward).parameters
    words = torch.randint(1, 100, (1, WORDS), generator=torch.Generator().manual_seed(0))
    if "input_ids" in named:
        yield "input_ids", words
    takes = "pixel_values" if "pixel_values" in named else ""
    side = getattr(getattr(network, "config", None), "image_size", None)
    for each in (*([side] if isinstance(side, int) else []), *SIDES):
        yield takes, torch.zeros(1, 3, each, each)
    if takes:
        return
    for each in SIDES:
        yield "", torch.zeros(1, 1, each, each)
    widths = dict.fromkeys(_width(part) for part in network.modules() if _width(part))
    for width in list(widths)[:2]:
        yield "", torch.zeros(1, WORDS, width)
        yield "", torch.zeros(1, width, 8, 8)


def _width(part: nn.Module) -> int:
    return int(getattr(part, "in_features", 0) or getattr(part, "in_channels", 0))


def runnable(network: nn.Module) -> tuple[Called, Tensor] | None:
    """Return a network with the first example that it runs on; None where it runs on none."""
    for takes, example in examples(network):
        called = Called(network, takes)
        try:
            with torch.no_grad():
                called(example)
        except Exception:  # whatever a network raises on what it does not take
            continue
        return called, example
    return None


def reached(called: Called, example: Tensor) -> set[str]:
    """Return the names of the modules that a pass runs through, with those that an attention runs by itself."""
    found: set[str] = set()
    handles = [
        part.register_forward_hook(lambda _m, _i, _o, n=name: found.add(n))
        for name, part in called.network.named_modules()
    ]
    with torch.no_grad():
        called(example)
    for handle in handles:
        handle.remove()
    within = (
        name for name, part in called.network.named_modules() if isinstance(part, nn.MultiheadAttention)
    )
    return found | {f"{name}.{own}" for name in within if name in found for own in ("in_proj", "out_proj")}


def export(called: Called, example: Tensor, path: Path, dynamo: bool) -> None:
    """Write an ONNX graph, by tracing or by following the program, with batch norms left as they are."""
    logging.disable(logging.WARNING)
    options: dict[str, Any] = (
        {"optimize": False}
        if dynamo
        else {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    )
    torch.onnx.export(called, (example,), path, dynamo=dynamo, verbose=False, **options)

"""Which layers of a module read which others?

The graph that PyTorch records for gradients says it: from what a layer receives, back through additions, activations
and norms, to the first layers met. Where a module hides a part of its computation from that graph, nothing is met.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from covalign.networks.readers.tracing import Readable, evaluation, first_tensor, main_output, other_inputs

IMAGES = ""
"""What the images are called among the layers."""


def wiring(
    module: nn.Module, batch: Float[Tensor, "n c h w"], layers: Mapping[str, Readable]
) -> dict[str, tuple[str, ...]]:
    """Return, by layer, the layers whose output reaches it without another one between, in order of execution.

    Raises:
        Exception: whatever the module itself raises on such a batch.
    """
    names: dict[nn.Module, str] = {part: name for name, part in layers.items()}
    received: dict[str, list[Any]] = {}
    makers: dict[Any, str] = {}

    def receive(part: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        given = first_tensor(args, kwargs), *other_inputs(part, args, kwargs)
        received.setdefault(names[part], []).extend(map(_node, given))

    def hand_on(part: nn.Module, args: tuple[Tensor, ...], returned: Any) -> None:
        makers[main_output(returned).grad_fn] = names[part]

    images = batch.detach().clone().requires_grad_()
    handles = [part.register_forward_pre_hook(receive, with_kwargs=True) for part in names]
    handles += [part.register_forward_hook(hand_on) for part in names]
    try:
        with evaluation(module), torch.enable_grad():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    makers[_node(images)] = IMAGES
    place = {name: index for index, name in enumerate((IMAGES, *received))}
    return {
        name: tuple(sorted(set().union(*(_reached(node, makers) for node in nodes)), key=place.__getitem__))
        for name, nodes in received.items()
    }


def _node(tensor: Tensor) -> Any:
    """Return where a tensor stands in the graph; of a leaf, where its gradient would be summed."""
    if tensor.grad_fn is not None or not tensor.requires_grad:
        return tensor.grad_fn
    return tensor.view_as(tensor).grad_fn.next_functions[0][0]  # type: ignore[union-attr]


def _reached(start: Any, makers: Mapping[Any, str]) -> set[str]:
    """Return the makers that are met first on every way back from a node."""
    found: set[str] = set()
    seen: set[Any] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node in makers:
            found.add(makers[node])
        else:
            waiting += [parent for parent, _ in node.next_functions]
    return found

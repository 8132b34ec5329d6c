"""In which order does a module use its layers, and which norms touch them directly?

Modules say what they own, not how they use it. One forward pass in evaluation mode answers by following
tensors: a batch norm follows a layer directly when it receives the very tensor the layer returned, unchanged
since (no activation in between, not even an in-place one, which PyTorch counts in the tensor's version). PyTorch's
attention counts as one layer here; it is preceded by a norm only where queries, keys and values are one tensor.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from jaxtyping import Shaped
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from covalign.networks.network import BatchNorm

Readable: TypeAlias = nn.Module
"""A part that is followed: of one of `KINDS`, or `is_turned`."""
KINDS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.MultiheadAttention)


@dataclass(frozen=True)
class Trace:
    """What one forward pass shows.

    Attributes:
        order: names of the layers in the order of their first call; those never called are absent.
        norm_before: norm (by name) that hands its output to a layer.
        norm_after: batch norm (by name) that receives a layer's output.
        altered: layers whose output is not linear in their stored weight (weight standardization, adapters).
    """

    order: tuple[str, ...]
    norm_before: dict[str, str] = field(default_factory=dict)
    norm_after: dict[str, str] = field(default_factory=dict)
    altered: frozenset[str] = frozenset()


@contextmanager
def evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every submodule has its own mode again.

    PyTorch's attention calls its parts one by one meanwhile, and not all at once where no one can look.
    """
    modes = [(part, part.training) for part in module.modules()]
    at_once = torch.backends.mha.get_fastpath_enabled()
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(at_once)
        for part, mode in modes:
            part.training = mode


def trace(
    module: nn.Module,
    batch: Shaped[Tensor, "n ..."],
    layers: Mapping[str, Readable],
    norms: Mapping[str, nn.Module],
) -> Trace:
    """Run ``module`` on ``batch`` once and follow the tensors between ``layers`` and ``norms``.

    Args:
        module: any.
        batch: images, or indices of words.
        layers: parts that are followed, by name.
        norms: batch norms and norms of tokens, by name.

    Raises:
        Exception: whatever the module itself raises on such a batch.
    """
    names = {part: name for name, part in (*layers.items(), *norms.items())}
    made: dict[int, tuple[str, Tensor, int]] = {}
    order: list[str] = []
    makers: dict[str, set[str]] = {}
    takers: dict[str, set[str]] = {}
    redefined: dict[str, Tensor] = {}

    def receive(part: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        name = names[part]
        received = first_tensor(args, kwargs)
        maker, made_tensor, version = made.get(id(received), ("", received, 0))
        others = other_inputs(part, args, kwargs)
        maker = maker if made_tensor._version == version and all(x is received for x in others) else ""
        if name in layers:
            order.append(name)
            makers.setdefault(name, set()).add(maker)
            if not isinstance(part, nn.MultiheadAttention) and not _is_own(layers[name]):
                redefined[name] = received.clone()
        takers.setdefault(maker, set()).add(name)

    def hand_on(part: nn.Module, args: tuple[Tensor, ...], returned: Any) -> None:
        output = main_output(returned)
        made[id(output)] = (names[part], output, output._version)

    handles = [part.register_forward_pre_hook(receive, with_kwargs=True) for part in names]
    handles += [part.register_forward_hook(hand_on) for part in names]
    try:
        with evaluation(module):
            module(batch)
    finally:
        for handle in handles:
            handle.remove()
    with evaluation(module):
        altered = [name for name, x in redefined.items() if not _is_linear_in_weight(layers[name], x)]
    affine = {name for name, norm in norms.items() if not is_norm(norm) or is_affine(norm)}
    leading = {name for name, norm in norms.items() if is_norm(norm) and name in affine}
    leading |= {name for name, norm in norms.items() if isinstance(norm, _BatchNorm)}
    return Trace(
        tuple(dict.fromkeys(order)),
        _only(makers, affine),
        {name: norm for name, norm in _only(takers, leading).items() if name in layers},
        frozenset(altered),
    )


def _only(links: Mapping[str, set[str]], allowed: set[str]) -> dict[str, str]:
    """Keep the names that are linked to one norm alone, in every call."""
    return {
        name: next(iter(linked)) for name, linked in links.items() if len(linked) == 1 and linked <= allowed
    }


def first_tensor(args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return what a module with one input was called with."""
    received: Tensor = args[0] if args else next(iter(kwargs.values()))
    return received


def main_output(returned: Any) -> Tensor:
    """Return the first tensor of what a module returned: attention returns its weights beside it."""
    first: Tensor = returned if isinstance(returned, Tensor) else returned[0]
    return first


def other_inputs(part: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """Return keys and values that attention received."""
    if not isinstance(part, nn.MultiheadAttention):
        return []
    return [*args[1:3], *(kwargs[name] for name in ("key", "value") if name in kwargs)]


def is_linear(part: nn.Module) -> bool:
    """Whether a part is a linear layer, with its features along the last axis."""
    return isinstance(part, nn.Linear) or is_turned(part)


def is_turned(part: nn.Module) -> bool:
    """Whether a part is a linear layer that stores ``[c_in, c_out]``, as ``Conv1D`` of GPT-2 does."""
    if type(part).__name__ != "Conv1D":  # a name first: to ask others for their weight may compute it
        return False
    weight, given = part._parameters.get("weight"), getattr(part, "nf", None)
    return weight is not None and weight.ndim == 2 and given == weight.shape[1]


def is_norm(module: nn.Module) -> bool:
    """Whether ``module`` normalizes by stored channel statistics, as batch norms of any maker do."""
    stored = (getattr(module, name, None) for name in ("running_mean", "running_var"))
    return all(isinstance(value, Tensor) and value.ndim == 1 for value in stored)


def is_affine(norm: Any) -> bool:
    """Whether a batch norm's output is scale x + shift and nothing else (some makers add an activation)."""
    read = batch_norm(norm)
    shape = (2, len(read.scale), 3) if isinstance(norm, nn.BatchNorm1d) else (2, len(read.scale), 3, 3)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(norm.running_mean)
    channels = (-1, *[1] * (len(shape) - 2))
    expected = read.scale.view(channels) * x.double() + read.shift.view(channels)
    try:
        with evaluation(norm):
            output = norm.forward(x).double()
    except Exception:  # one for other shapes, or a stranger's
        return False
    return torch.allclose(output, expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()))


def batch_norm(norm: Any) -> BatchNorm:
    """Return scale = weight / sqrt(running_var + eps) and shift = bias - scale running_mean."""
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    scale = (norm.running_var.detach().double() + getattr(norm, "eps", 0.0)).rsqrt()
    scale = scale if weight is None else scale * weight.detach().double()
    shift = -scale * norm.running_mean.detach().double()
    return BatchNorm(scale, shift if bias is None else shift + bias.detach().double())


def _is_own(layer: Readable) -> bool:
    """Whether the layer computes as PyTorch's own layer does, not as a subclass redefines it."""
    return all(
        getattr(type(layer), method, None) in (getattr(base, method, None) for base in KINDS)
        for method in ("forward", "_conv_forward")
    )


def _is_linear_in_weight(layer: Any, received: Tensor) -> bool:
    """Whether twice the stored weight gives twice the output once the bias is zero."""
    fixed = {} if layer.bias is None else {"bias": torch.zeros_like(layer.bias)}
    once, twice = (
        functional_call(layer, {"weight": factor * layer.weight.detach(), **fixed}, (received,)).double()
        for factor in (1, 2)
    )
    return torch.allclose(twice, 2 * once, rtol=1e-2, atol=1e-2 * float(once.abs().max()))

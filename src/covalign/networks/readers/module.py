"""Which learned layers does an `nn.Module` have, and what of it is not a layer?

Two-dimensional convolutions (plain, grouped, depthwise, dilated, strided, transposed, 1x1) and linear layers
are read; everything else that has parameters is listed with the reason. A transposed convolution stores
``[c_in, c_out / groups, k_h, k_w]`` and is rearranged to ``[c_out, c_in / groups, k_h, k_w]``, a linear layer of
GPT-2 ``[c_in, c_out]``. Queries, keys and values that are stored as one product are layers of their own
(`covalign.networks.readers.attention`). Order and norms come from one forward pass
(`covalign.networks.readers.tracing`), or from the order of registration where the module cannot be run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from covalign.errors import InputError
from covalign.networks.architectures.blocks import FactorizedStage
from covalign.networks.architectures.vgg import VGG
from covalign.networks.filters import FilterBank
from covalign.networks.intake import ANY, Intake
from covalign.networks.network import Kind, Layer, Skipped
from covalign.networks.readers.attention import OUTPUT, cut, number_of_heads, products
from covalign.networks.readers.holding import cuts, wired
from covalign.networks.readers.parts import sorted_parts, whole_weight
from covalign.networks.readers.token_norms import token_norm
from covalign.networks.readers.tracing import (
    Readable,
    Trace,
    batch_norm,
    is_norm,
    is_turned,
)
from covalign.networks.readers.trials import demanded, first_look, followed_wiring


@dataclass(frozen=True, eq=False)
class Reading:
    """Layers in forward order, what was left out, the frozen filters, and how the order was found.

    ``intake`` and ``wiring`` are those of a `Network`; where no pass succeeded nothing is known of them.
    """

    layers: tuple[Layer, ...]
    skipped: tuple[Skipped, ...]
    filters: FilterBank | None = None
    details: dict[str, Any] = field(default_factory=dict)
    intake: Intake = ANY
    wiring: dict[str, tuple[str, ...]] = field(default_factory=dict)


def unwrap(module: nn.Module) -> nn.Module:
    """Return the module inside a compiled or data-parallel wrapper."""
    while True:
        if isinstance(module, DataParallel | DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def read_module(
    module: nn.Module, resolution: int | None = None, channels_last: bool | None = None
) -> Reading:
    """Read the learned layers of ``module``; the module is left as it is.

    Args:
        module: any network that maps images to something.
        resolution: side of the images it expects, where known; otherwise common sides are tried.
        channels_last: whether it takes ``[n, h, w, c]``; None tries ``[n, c, h, w]`` first.

    Raises:
        InputError: no readable layer, or weights that are not finite.
    """
    found, norms, skipped = sorted_parts(module, {id(stage.depthwise) for stage in factorized_stages(module)})
    if not found:
        raise InputError(
            f"{type(module).__name__} has no two-dimensional convolution or linear layer that can be read; "
            + (f"left out: {_listed(skipped)}" if skipped else "it has no parameters at all")
        )
    look = first_look(module, found, norms, resolution, channels_last)
    followed, intake = look.followed, look.intake
    counts, inferred = cuts(module, found, look)
    layers: list[Layer] = []
    held: dict[str, tuple[str, ...]] = {}
    for name in followed.order:
        if name not in followed.altered:
            own = [_with_norms(layer, name, followed, norms) for layer in _layers(name, found[name], counts)]
            held[name] = tuple(layer.name for layer in own)
            layers += own
    parts = dict(module.named_modules())
    heads = {own: number_of_heads(name, parts) for name, each in held.items() for own in each}
    layers = [replace(layer, heads=heads[layer.name]) for layer in layers]
    behind_banks = {id(stage.pointwise) for stage in factorized_stages(module)}
    layers = [replace(layer, factorized=id(found.get(layer.name)) in behind_banks) for layer in layers]
    skipped += _not_followed(found, norms, followed)
    variances = _init_variances(module)
    named = [replace(layer, **variances.get(layer.name, {})) for layer in layers]
    details = {"order": look.how, **({"inferred": inferred} if inferred else {})}
    reading = Reading(tuple(named), tuple(skipped), frozen_filters(module), details)
    if intake is None:
        return reading
    fixed = demanded(module, intake)
    wires = followed_wiring(module, intake, {name: found[name] for name in held})
    details |= {"images": str(fixed)}
    return replace(reading, details=details, intake=fixed, wiring=wired(wires, held, found))


def factorized_stages(module: nn.Module) -> Iterator[FactorizedStage]:
    """Return the stages with frozen filters, wherever in a module they are."""
    return (part for part in module.modules() if isinstance(part, FactorizedStage))


def frozen_filters(module: nn.Module) -> FilterBank | None:
    """Return the bank of the first factorized stage; None where there is none."""
    first = next(factorized_stages(module), None)
    return None if first is None else FilterBank(first.filters, {"name": "from the network's weights"})


def layer_of(name: str, weight: Tensor, transposed: bool = False, **options: Any) -> Layer:
    """Make a `Layer` of a weight in PyTorch's layout (two axes: linear; four: convolution).

    Raises:
        InputError: the weight has values that are not finite.
    """
    weight = weight.detach()
    require_finite(name, weight)
    if weight.ndim == 2:
        return Layer(name, "linear", weight[:, :, None, None], **options)
    groups = options.get("groups", 1)
    if transposed:
        c_in, per_group, *kernel = weight.shape
        blocks = weight.view(groups, c_in // groups, per_group, *kernel).transpose(1, 2)
        weight = blocks.reshape(groups * per_group, c_in // groups, *kernel)
    return Layer(name, convolution_kind(weight, groups, transposed), weight, **options)


def require_finite(name: str, tensor: Tensor) -> None:
    """Refuse NaN and infinite numbers (the extremes show them without a copy).

    Raises:
        InputError: at least one number is not finite.
    """
    if (
        tensor.numel()
        and tensor.is_floating_point()
        and not bool(torch.stack(tensor.aminmax()).isfinite().all())
    ):
        raise InputError(
            f"{name!r} has weights that are not finite (NaN or infinite), expected those of a training that "
            "converged; use an earlier checkpoint, or get the file again"
        )


def convolution_kind(
    weight: Float[Tensor, "c_out c_in_per_group k_h k_w"], groups: int, transposed: bool
) -> Kind:
    """Return what sort of convolution it is; a transposed one is called so whatever its groups are."""
    if transposed:
        return "transposed"
    if groups == 1:
        return "convolution"
    return "depthwise" if weight.shape[1] == 1 else "grouped"


def _listed(skipped: list[Skipped]) -> str:
    return "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:3])


def _layers(name: str, part: Readable, counts: dict[str, tuple[int, ...]]) -> tuple[Layer, ...]:
    """Return the layers that a part holds: several of attention, else one, unless it is cut."""
    if isinstance(part, nn.MultiheadAttention):
        return tuple(
            replace(layer_of(own, weight.clone()), part_of=whole)
            for own, weight, whole in products(name, part)
        )
    return cut(_layer(name, part), counts.get(name, ()))


def _layer(name: str, part: Readable) -> Layer:
    weight = whole_weight(part)
    assert weight is not None  # `parts` has left such parts out
    if not isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
        return layer_of(name, (weight.T if is_turned(part) else weight).clone())
    (k_h, k_w), (d_h, d_w) = part.kernel_size, part.dilation
    same = (d_h * (k_h - 1) // 2, d_w * (k_w - 1) // 2)
    padding = {"same": same, "valid": (0, 0)}[part.padding] if isinstance(part.padding, str) else part.padding
    return layer_of(
        name,
        weight.clone(),
        isinstance(part, nn.ConvTranspose2d),
        groups=part.groups,
        stride=part.stride,
        padding=padding,
        dilation=part.dilation,
    )


def _with_norms(layer: Layer, part: str, followed: Trace, norms: dict[str, nn.Module]) -> Layer:
    """Return a layer with the norms around the part that holds it; a norm of tokens is none of the channels."""
    before, after = followed.norm_before.get(part), followed.norm_after.get(part)
    own = norms.get(before) if before else None
    if layer.name.endswith(f".{OUTPUT}") and layer.name != part:
        own, after = None, None  # reads heads
    return replace(
        layer,
        norm_before=batch_norm(own) if own is not None and is_norm(own) else None,
        norm_after=batch_norm(norms[after]) if after else None,
        token_norm=None if own is None or is_norm(own) or layer.kind != "linear" else token_norm(own),
    )


def _not_followed(layers: dict[str, Readable], norms: dict[str, nn.Module], followed: Trace) -> list[Skipped]:
    unused = [
        Skipped(name, "never called as a layer in the forward pass in evaluation mode")
        for name in layers
        if name not in followed.order
    ]
    altered = [
        Skipped(name, f"{type(layers[name]).__name__} does not apply its stored weight as it is")
        for name in layers
        if name in followed.altered
    ]
    placed = {*followed.norm_before.values(), *followed.norm_after.values()}
    free = [
        Skipped(name, _free(norm))
        for name, norm in norms.items()
        if name not in placed and any(True for _ in norm.parameters())
    ]
    return unused + altered + free


def _free(norm: nn.Module) -> str:
    if is_norm(norm):
        return "batch norm that neither directly precedes nor directly follows a layer"
    return f"norm of tokens ({type(norm).__name__}) that does not directly precede a layer"


def _init_variances(module: nn.Module) -> dict[str, dict[str, Any]]:
    """Where the initializer is known (covalign's own networks): variance 1 / (3 fan_in)."""
    if not isinstance(module, VGG):
        return {}
    return {
        name: {"init_variance": 1 / (3 * part.weight[0].numel())}
        for name, part in module.named_modules()
        if isinstance(part, nn.Conv2d | nn.Linear)
    }

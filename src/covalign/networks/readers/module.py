"""Which learned layers does an `nn.Module` have, and what of it is not a layer?

Two-dimensional convolutions (plain, grouped, depthwise, dilated, strided, transposed, 1x1) and linear layers
are read; everything else that has parameters is listed with the reason. A transposed convolution stores
``[c_in, c_out / groups, k_h, k_w]`` and is rearranged to ``[c_out, c_in / groups, k_h, k_w]``, a linear layer of GPT-2
``[c_in, c_out]``. Queries, keys and values that are stored as one product are layers of their own
(`covalign.networks.readers.attention`). Order and norms come from one forward pass
(`covalign.networks.readers.tracing`), or from the order of registration where the module cannot be run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from covalign.errors import InputError
from covalign.networks.architectures.blocks import FactorizedStage
from covalign.networks.architectures.vgg import VGG
from covalign.networks.filters import FilterBank
from covalign.networks.intake import ANY, Intake
from covalign.networks.network import Kind, Layer, Skipped
from covalign.networks.readers.attention import (
    BLOCKS,
    OUTPUT,
    QKV,
    UNKNOWN_ORDER,
    cut,
    is_attention,
    is_named,
    products,
    sizes,
)
from covalign.networks.readers.composed import compose
from covalign.networks.readers.lexicon import POSITIONS, TOKENS
from covalign.networks.readers.names import says, split
from covalign.networks.readers.token_norms import is_candidate, token_norm
from covalign.networks.readers.tracing import Readable, Trace, batch_norm, evaluation, is_linear, is_norm, is_turned
from covalign.networks.readers.trials import Look, demanded, first_look, followed_wiring, right_cut


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
    found, norms, skipped = _sorted_parts(module)
    if not found:
        raise InputError(
            f"{type(module).__name__} has no two-dimensional convolution or linear layer that can be read; "
            + (f"left out: {_listed(skipped)}" if skipped else "it has no parameters at all")
        )
    look = first_look(module, found, norms, resolution, channels_last)
    followed, intake = look.followed, look.intake
    counts, inferred = _cuts(module, found, look)
    layers: list[Layer] = []
    held: dict[str, tuple[str, ...]] = {}
    for name in followed.order:
        if name not in followed.altered:
            own = [_with_norms(layer, name, followed, norms) for layer in _layers(name, found[name], counts)]
            held[name] = tuple(layer.name for layer in own)
            layers += own
    behind_banks = {id(stage.pointwise) for stage in factorized_stages(module)}
    layers = [
        replace(layer, factorized=id(found.get(layer.name)) in behind_banks) for layer in layers
    ]
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
    return replace(reading, details=details, intake=fixed, wiring=_wired(wires, held, found))


def _cuts(
    module: nn.Module, found: dict[str, Readable], look: Look
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Return of each product that is cut how many rows are queries, keys and values, and what was inferred.

    All are tried together, and one by one where that fails. Where nothing can be tried, names decide.
    """
    shapes = {name: _shape(part) for name, part in found.items() if is_linear(part)}
    widths = {name: shape[1] for name, shape in shapes.items()}
    counts = {name: each for name, shape in shapes.items() if (each := sizes(name, *shape, widths))}
    asked = {name: each for name, each in counts.items() if len(each) == len(QKV)}
    verdicts: dict[str, bool | None] = dict.fromkeys(counts)
    if asked and look.example is not None:
        verdicts |= dict.fromkeys(asked, right_cut(module, look.example, asked))
        if not all(verdicts[name] for name in asked) and len(asked) > 1:
            verdicts |= {n: right_cut(module, look.example, {n: each}) for n, each in asked.items()}
    inferred = {}
    for name, verdict in verdicts.items():
        if verdict or (verdict is None and is_named(name)):
            inferred[name] = f"{BLOCKS}, {'by the law of attention' if verdict else 'by its name'}"
        else:
            counts[name], inferred[name] = (), UNKNOWN_ORDER
    return counts, inferred


def _wired(
    wires: dict[str, tuple[str, ...]], held: dict[str, tuple[str, ...]], found: dict[str, Readable]
) -> dict[str, tuple[str, ...]]:
    """Return the wiring of layers from that of the parts that hold them.

    Of PyTorch's attention the output projection reads the other three, and alone is read.
    """
    whole = {name: isinstance(found.get(name), nn.MultiheadAttention) for name in held}
    gives = {name: own[-1:] if whole[name] else own for name, own in held.items()}
    wired = {}
    for name, makers in wires.items():
        read = tuple(each for maker in makers for each in gives.get(maker, (maker,)))
        takers = held[name][:-1] if whole[name] else held[name]
        wired |= dict.fromkeys(takers, read)
        if whole[name]:
            wired[held[name][-1]] = takers
    return wired


def factorized_stages(module: nn.Module) -> Iterator[FactorizedStage]:
    """Return the stages with frozen filters, wherever in a module they are."""
    return (part for part in module.modules() if isinstance(part, FactorizedStage))


def frozen_filters(module: nn.Module) -> FilterBank | None:
    """Return the bank of the first factorized stage; None where there is none."""
    first = next(factorized_stages(module), None)
    return None if first is None else FilterBank(first.filters, {"name": "from the network's weights"})


def _sorted_parts(
    module: nn.Module,
) -> tuple[dict[str, Readable], dict[str, nn.Module], list[Skipped]]:
    """Sort what has parameters into readable layers, norms, and the rest."""
    found: dict[str, Readable] = {}
    norms: dict[str, nn.Module] = {}
    skipped: list[Skipped] = []
    owners: dict[int, str] = {}
    banks = {id(stage.depthwise) for stage in factorized_stages(module)}
    for name, part, first in _parts(module):
        if first:
            skipped.append(Skipped(name, f"tied: the same module as {first}"))
        elif id(part) in banks:
            skipped.append(Skipped(name, "frozen filter bank"))
        elif split(name)[1] == OUTPUT and isinstance(found.get(split(name)[0]), nn.MultiheadAttention):
            continue  # one of the products of attention, which is read as a whole
        elif reason := _reason(part):
            skipped.append(Skipped(name, reason))
        elif not _is_readable(part):
            norms[name] = part
        elif owner := owners.get(id(part._parameters.get("weight", part))):
            skipped.append(Skipped(name, f"tied: the same weights as {owner}"))
        else:
            owners[id(part._parameters.get("weight", part))] = name
            found[name] = part
            skipped += [
                Skipped(f"{name}.{own}", "learned tokens, not a layer")
                for own in ("bias_k", "bias_v")
                if getattr(part, own, None) is not None
            ]
    return found, norms, skipped


def _is_readable(part: nn.Module) -> TypeGuard[Readable]:
    """Whether a part is a layer, or several; linear layers of GPT-2 answer to the same names as others."""
    return isinstance(part, Readable) or is_turned(part)


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


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Yield (name, part, earlier name of the same part or "") for parts that own parameters or are norms."""
    seen: dict[int, str] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        owns = any(value is not None for value in part._parameters.values())
        if owns or is_norm(part) or is_candidate(part) or parametrize.is_parametrized(part) or _is_quantized(part):
            if ".parametrizations" not in f".{name}":
                yield name or ", ".join(part._parameters), part, seen.get(id(part), "")
            seen.setdefault(id(part), name)


def _reason(part: nn.Module) -> str:
    """Say why ``part`` is not read as a layer or batch norm, or "" where it is."""
    kind = type(part).__name__
    if _is_quantized(part):
        return f"quantized ({kind}): it stores no real weights; use the network before quantization"
    if is_norm(part) or token_norm(part) is not None:
        return ""
    if isinstance(part, nn.MultiheadAttention):
        return "" if is_attention(part) else f"{kind} computes attention in a way of its own"
    if not _is_readable(part):
        own = ", ".join(_called(name) for name, value in part._parameters.items() if value is not None)
        if isinstance(part, nn.Embedding | nn.EmbeddingBag):
            return f"an {kind} (a table of vectors by index), not a layer"
        return f"{kind} is neither a two-dimensional convolution nor a linear layer (parameters: {own})"
    if isinstance(part._parameters.get("weight"), UninitializedParameter):
        return f"{kind} has no weights before its first forward pass"
    weight = _weight(part)
    if weight is None:
        return f"{kind} whose weight is computed from other parameters in an unknown way; make it permanent first"
    if not weight.is_floating_point():
        return f"{kind} with weights of type {str(weight.dtype).removeprefix('torch.')}, expected real ones"
    return ""


def _called(parameter: str) -> str:
    """Return the name of a parameter that a module uses in its own way, and what the name says it is."""
    if says(parameter, POSITIONS):
        return f"{parameter}, a table of positions"
    return f"{parameter}, learned tokens" if says(parameter, TOKENS) else parameter


def _weight(part: Readable) -> Tensor | None:
    """Return the weight that a layer applies, put together where it is stored in parts; None where it cannot be."""
    if not any(hasattr(part, name) for name in ("weight_g", "weight_orig", "weight_v")):
        with evaluation(part):  # in training mode, spectral norm changes its vectors when it is asked
            return part.weight.detach()
    whole = compose(part.state_dict())
    return whole.weight("weight").detach() if "weight" in whole.tensors else None


def _is_quantized(part: nn.Module) -> bool:
    return ".quantized." in f"{type(part).__module__}." and hasattr(part, "weight")


def _listed(skipped: list[Skipped]) -> str:
    return "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:3])


def _shape(part: Readable) -> tuple[int, int]:
    """Return numbers of neurons and of inputs of a linear layer."""
    rows, columns = part.weight.shape[::-1] if is_turned(part) else part.weight.shape
    return rows, columns


def _layers(name: str, part: Readable, counts: dict[str, tuple[int, ...]]) -> tuple[Layer, ...]:
    """Return the layers that a part holds: several of attention, else one, unless it is cut."""
    if isinstance(part, nn.MultiheadAttention):
        return tuple(
            replace(layer_of(own, weight.clone()), part_of=whole) for own, weight, whole in products(name, part)
        )
    return cut(_layer(name, part), counts.get(name, ()))


def _layer(name: str, part: Readable) -> Layer:
    weight = _weight(part)
    assert weight is not None  # `_reason` has left such parts out
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

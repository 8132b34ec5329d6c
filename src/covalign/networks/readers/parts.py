"""Which parts of a module are layers, which are norms, and what is the rest?"""

from collections.abc import Collection, Iterator
from typing import cast

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from covalign.networks.network import Skipped
from covalign.networks.readers.attention import OUTPUT, is_attention
from covalign.networks.readers.composed import compose
from covalign.networks.readers.lexicon import POSITIONS, TOKENS
from covalign.networks.readers.names import says, split
from covalign.networks.readers.token_norms import is_candidate, token_norm
from covalign.networks.readers.tracing import KINDS, Readable, evaluation, is_norm, is_turned


def sorted_parts(
    module: nn.Module, banks: Collection[int]
) -> tuple[dict[str, Readable], dict[str, nn.Module], list[Skipped]]:
    """Sort what has parameters into readable layers, norms, and the rest.

    Args:
        module: any.
        banks: ids of parts that are frozen filters.
    """
    found: dict[str, Readable] = {}
    norms: dict[str, nn.Module] = {}
    skipped: list[Skipped] = []
    owners: dict[int, str] = {}
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


def _is_readable(part: nn.Module) -> bool:
    """Whether a part is a layer, or several; linear layers of GPT-2 answer to the same names as others."""
    return isinstance(part, KINDS) or is_turned(part)


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Yield (name, part, earlier name of the same part or "") for parts that own parameters or are norms."""
    seen: dict[int, str] = {}
    for name, part in module.named_modules(remove_duplicate=False):
        owns = any(value is not None for value in part._parameters.values())
        if (
            owns
            or is_norm(part)
            or is_candidate(part)
            or parametrize.is_parametrized(part)
            or _is_quantized(part)
        ):
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
            return f"{kind}: a table of vectors by index, not a layer"
        return f"{kind} is neither a two-dimensional convolution nor a linear layer (parameters: {own})"
    if isinstance(part._parameters.get("weight"), UninitializedParameter):
        return f"{kind} has no weights before its first forward pass"
    weight = whole_weight(part)
    if weight is None:
        return f"{kind} whose weight is computed from other parameters in an unknown way; make it permanent first"
    if not weight.is_floating_point():
        return f"{kind} with weights of type {str(weight.dtype).removeprefix('torch.')}, expected real ones"
    return ""


def _called(parameter: str) -> str:
    """Return the name of a parameter that a module uses in its own way, and what the name says it is."""
    if says(parameter, POSITIONS):
        return f"{parameter} = a table of positions"
    return f"{parameter} = learned tokens" if says(parameter, TOKENS) else parameter


def whole_weight(part: Readable) -> Tensor | None:
    """Return the weight that a layer applies, put together where it is stored in parts; None where it cannot be."""
    if not any(hasattr(part, name) for name in ("weight_g", "weight_orig", "weight_v")):
        with evaluation(part):  # in training mode, spectral norm changes its vectors when it is asked
            return cast(Tensor, part.weight).detach()
    whole = compose(part.state_dict())
    return whole.weight("weight").detach() if "weight" in whole.tensors else None


def _is_quantized(part: nn.Module) -> bool:
    return ".quantized." in f"{type(part).__module__}." and hasattr(part, "weight")

"""Which layers does attention hold, and what do they receive?

Queries, keys and values are three linear maps, whether a network stores them apart or as one product whose rows are
all queries, then all keys, then all values. Makers who store them head by head instead give no sign of it in names
and shapes; what is cut by its name alone is therefore cut only where the name is used in one way. A module that runs
can be asked: attention depends on queries and keys through q . k alone, so that

    q -> 2 q,  k -> k / 2        leaves what the module computes as it is                 (law of a right cut)
    q -> 2 q                     does not                                                 (power of the test)

The output projection reads the values of all heads side by side. `torch.nn.MultiheadAttention` hands them to nobody:
they are what it returns when its output projection is the identity.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from covalign.networks.network import Layer
from covalign.networks.readers.names import phrases, says, split

QUERIES, KEYS, VALUES = "q", "k", "v"
QKV = (QUERIES, KEYS, VALUES)
KV = QKV[1:]
BLOCKS = "rows are cut into blocks: queries, keys, values"
UNKNOWN_ORDER = (
    "as it seems queries, keys and values in one, in an order that is not known: read as one layer"
)
STORED = {
    **dict.fromkeys(("qkv", "to_qkv", "c_attn"), QKV),
    **dict.fromkeys(("kv", "to_kv"), KV),
}
"""What a product is called whose rows are these, block after block, by all makers we know."""
EITHER = ("qkv_proj", "query_key_value", "attn_qkv", "in_proj", "wqkv")
"""What it is called by makers some of whom store it head by head: cut only where the law says so."""
BY_HEAD = "attention_biases"
"""What stands beside a product that its makers store head by head, whatever it is called (LeViT, TinyViT)."""
OUTPUTS = ("proj", "out_proj", "o_proj", "c_proj", "dense", "to_out", "wo", "out")
"""What the product that reads the heads is called."""
SEPARATE = {f"{role}_proj": role for role in QKV}
"""Products of `torch.nn.MultiheadAttention` whose inputs differ in width."""
HEADS = ("num_heads", "n_heads", "n_head", "num_attention_heads", "heads", "nhead")
"""Where makers say how many heads attention has."""
ATTENTION = phrases("attention attn attentions self_attention mha msa mhsa")
"""Words of the class of what computes attention."""
OUTPUT = "out_proj"
CLOSE = 1e-3
"""Relative change of what a module computes below which it counts as none, in single precision (our choice)."""


def is_attention(part: nn.Module) -> bool:
    """Whether a part is PyTorch's attention, computing as PyTorch's does."""
    return isinstance(part, nn.MultiheadAttention) and type(part).forward is nn.MultiheadAttention.forward


def number_of_heads(name: str, parts: Mapping[str, nn.Module]) -> int:
    """Return how many heads the attention has that owns a part; 0 where nothing says so.

    Args:
        name: of the part.
        parts: of the whole module, by name.
    """
    part, owner = parts.get(name), parts.get(split(name)[0])
    if isinstance(part, nn.MultiheadAttention):
        return int(part.num_heads)
    if owner is None or not says(type(owner).__name__, ATTENTION):
        return 0
    stated = (getattr(each, own, None) for each in (owner, getattr(owner, "config", None)) for own in HEADS)
    return next((number for number in stated if isinstance(number, int) and number > 0), 0)


def is_named(name: str, tensors: Collection[str] = ()) -> bool:
    """Whether a product is called as all makers we know call one that is stored block after block.

    Args:
        name: of the product.
        tensors: names of all tensors; one beside it can show another order.
    """
    owner, leaf = split(name)
    if f"{owner}.{BY_HEAD}" in tensors:
        return False
    return _leaf(name) in STORED or leaf in ("in_proj_weight", "Wqkv")


def sizes(name: str, shape: tuple[int, int], widths: Mapping[str, int]) -> tuple[int, ...]:
    """Return how many rows a product has of queries, keys and values (or keys and values), if it is one of several.

    Heads may share keys and values (Ainslie et al. 2023, grouped-query attention): then there are fewer of these, and
    the product that reads the heads says how many queries there are.

    Args:
        name: of the layer.
        shape: of its weight, rows and columns.
        widths: what other layers read, by name.
    """
    (owner, _), leaf, (rows, columns) = split(name), _leaf(name), shape
    if STORED.get(leaf) == KV:
        return (rows // 2,) * 2 if rows % 2 == 0 else ()
    if leaf not in (*STORED, *EITHER):
        return ()
    outputs = (f"{owner}.{out}{end}" for out in OUTPUTS for end in ("", ".0"))
    queries = next((widths[out] for out in outputs if out in widths), columns)
    rest = rows - queries
    return (queries, rest // 2, rest // 2) if 0 < rest <= 2 * queries and rest % 2 == 0 else ()


def cut(layer: Layer, counts: Sequence[int]) -> tuple[Layer, ...]:
    """Return the layers that a product holds, named ``NAME.q``, ``NAME.k`` and ``NAME.v``; else the layer itself.

    Args:
        layer: a linear layer.
        counts: what `sizes` says; none leaves the layer whole.
    """
    if not counts:
        return (layer,)
    whole = layer.name.removesuffix("_weight")
    parts = layer.weight.split(list(counts))
    return tuple(
        replace(layer, name=f"{whole}.{role}", weight=part, part_of=whole)
        for role, part in zip(QKV[-len(counts) :], parts, strict=True)
    )


def cut_by_name(
    layers: Sequence[Layer], tensors: Collection[str] = ()
) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """Cut those of a file's layers that are named as several in one, and say which were, and which may be.

    Args:
        layers: of a file.
        tensors: names of all its tensors.
    """
    widths = {layer.name: layer.channels for layer in layers if layer.kind == "linear"}
    found: list[Layer] = []
    inferred = {}
    for layer in layers:
        counts = sizes(layer.name, (layer.neurons, layer.channels), widths) if layer.name in widths else ()
        named = is_named(layer.name, tensors)
        if counts and not named:
            inferred[layer.name] = UNKNOWN_ORDER
        parts = cut(layer, counts if named else ())
        if len(parts) > 1:
            inferred[parts[0].part_of] = f"{BLOCKS}, by its name"
        found += parts
    return tuple(found), inferred


def _leaf(name: str) -> str:
    return split(name)[1].removesuffix("_weight").lower()


def products(name: str, part: nn.MultiheadAttention) -> Iterator[tuple[str, Tensor, str]]:
    """Yield name and weight of what PyTorch's attention multiplies, and the stored product it is cut from."""
    if part.in_proj_weight is not None:
        for role, weight in zip(QKV, part.in_proj_weight.detach().chunk(3), strict=True):
            yield f"{name}.in_proj.{role}", weight, f"{name}.in_proj"
    else:
        for leaf in SEPARATE:
            yield f"{name}.{leaf}", getattr(part, f"{leaf}_weight").detach(), ""
    yield f"{name}.{OUTPUT}", part.out_proj.weight.detach(), ""


def reader(name: str, parts: Mapping[str, nn.Module]) -> tuple[nn.Module, str] | None:
    """Return which part of a module applies a layer, and what of its inputs the layer reads.

    The second is "" for what the part receives, and of PyTorch's attention "q", "k", "v" or "out_proj" for the heads.
    None where there is no such part.
    """
    owner, leaf = split(name)
    if is_attention(parts.get(owner, nn.Identity())) and leaf in (*SEPARATE, OUTPUT):
        return parts[owner], SEPARATE.get(leaf, leaf)
    if name in parts:
        return parts[name], ""
    above, whole = split(owner)
    if leaf in QKV and whole == "in_proj" and is_attention(parts.get(above, nn.Identity())):
        return parts[above], leaf
    return (parts[owner], "") if leaf in QKV and owner in parts else None


def read_by(
    part: nn.Module, what: str, args: tuple[Tensor, ...], kwargs: dict[str, Any]
) -> Float[Tensor, "..."]:
    """Return what one product of PyTorch's attention reads; the images are along the first axis."""
    assert isinstance(part, nn.MultiheadAttention)
    received = dict(zip(("query", "key", "value"), args, strict=False)) | kwargs
    if what == OUTPUT:
        read = heads(part, args, kwargs)
    else:
        read = received[{QUERIES: "query", KEYS: "key", VALUES: "value"}[what]]
    return read if part.batch_first or read.ndim < 3 else read.transpose(0, 1)


def heads(part: nn.MultiheadAttention, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> Tensor:
    """Return the values of all heads side by side, which the output projection reads."""
    weight = part.out_proj.weight
    identity = {"out_proj.weight": torch.eye(len(weight)).to(weight)}
    if part.out_proj.bias is not None:
        identity["out_proj.bias"] = torch.zeros_like(part.out_proj.bias)
    returned: tuple[Tensor, Any] = functional_call(part, identity, args, kwargs)
    return returned[0]


def law_holds(run: Callable[[Mapping[str, Tensor]], Tensor], state: Mapping[str, Tensor]) -> bool | None:
    """Whether what a module computes stays as it is; None where even queries alone do not matter.

    Args:
        run: computes, with some parameters replaced.
        state: by parameter, the factors of its rows that queries get; keys get their inverse and values none: a
            vector of 2 for queries, 1/2 for keys and 1 for values.
    """
    as_it_is = run({})
    queries = {name: factors.clamp(min=1) for name, factors in state.items()}
    power, change = (_change(run(each), as_it_is) for each in (queries, state))
    if not power > 10 * CLOSE:
        return None
    return change < CLOSE * min(1.0, power) * 10


def _change(one: Tensor, other: Tensor) -> float:
    """Return the relative difference of two outputs."""
    return float((one - other).norm() / other.norm())

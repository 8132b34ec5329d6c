"""Which layers does a weight file hold, judging by names and shapes alone?

A weight file has no forward pass. What can be known: four axes are a convolution, two a linear layer. What
is inferred, and said in the details: the order of layers (a PyTorch file keeps the order of registration;
elsewhere layers are chained so that each receives what the one before gives), depthwise convolutions (one
input channel after the first layer), transposed ones (the bias fits the second axis and not the first).
What is not in the file at all: stride, padding, dilation, the number of groups, and where batch norms act.
Names are used only as a tree (dots) with numbers in it; which words they are made of does not matter.
"""

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from covalign.errors import InputError
from covalign.networks.network import Layer, Skipped
from covalign.networks.readers.module import Reading, layer_of
from covalign.networks.readers.torch_file import WeightFile

UNKNOWN = "stride, padding, dilation, groups, and where batch norms act"
DEPTH = 32
"""How deep names are taken apart (our choice; real networks stay below ten)."""
WRAPPERS = ("module.", "_orig_mod.")
"""What PyTorch's parallel and compiling wrappers put before every name."""


def read_bare(file: WeightFile) -> Reading:
    """Read the layers of a weight file without its architecture.

    Raises:
        InputError: no readable layer, or weights that are not finite.
    """
    tensors = _unwrapped(file.tensors)
    skipped: list[Skipped] = []
    weights: dict[str, Tensor] = {}
    seen: dict[tuple[object, ...], str] = {}
    for name, tensor in tensors.items():
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride()) if not tensor.is_sparse else ()
        if reason := _reason(name, tensor, tensors):
            skipped.append(Skipped(name, reason))
        elif tensor.ndim < 2:
            continue
        elif place in seen:
            skipped.append(Skipped(name, f"tied: the same weights as {seen[place]}"))
        else:
            seen[place] = name
            weights[name] = tensor
    skipped += _one_dimensional(tensors, weights)
    if not weights:
        listed = "; ".join(f"{entry.name}: {entry.reason}" for entry in skipped[:3])
        raise InputError(
            f"{file.path}: holds no weights of two-dimensional convolutions or linear layers "
            f"(left out: {listed or 'nothing'}); give the weights of a network with such layers"
        )
    names = list(weights) if file.ordered else _chained(weights)
    layers, inferred = _layers({name: weights[name] for name in names}, tensors)
    order = "of the file" if file.ordered else "inferred from names and shapes"
    details = {"order": order, "not in the file": UNKNOWN, "inferred": inferred}
    return Reading(tuple(layers), tuple(skipped), details=details)


def strip_common_prefix(names: Iterable[str]) -> str:
    """Return the first component, with its dot, that all names share; "" if there is none."""
    first = {name.partition(".")[0] if "." in name else "" for name in names}
    return f"{first.pop()}." if len(first) == 1 and first != {""} else ""


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    while (prefix := strip_common_prefix(tensors)) in WRAPPERS:
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def _reason(name: str, tensor: Tensor, tensors: dict[str, Tensor]) -> str:
    """Say why a tensor is not the weight of a layer, or "" where it is or belongs to one."""
    leaf = name.rpartition(".")[2]
    if tensor.is_quantized or (tensor.ndim > 1 and not is_real(tensor)):
        return f"stored as {str(tensor.dtype).removeprefix('torch.')} (quantized?), expected real numbers"
    if tensor.ndim > 1 and tensor.layout != torch.strided:
        return "stored as a sparse tensor, expected a dense one"
    if ".parametrizations." in f".{name}" or re.fullmatch(r"weight_(g|v|orig|u)", leaf):
        return "weight norm, spectral norm or pruning: the weight is computed from this and other parameters"
    if re.fullmatch(r"weight_[ih]h_l\d+(_reverse)?", leaf):
        return "weight of a recurrent layer"
    if tensor.ndim == 3:
        return "three axes: a one-dimensional convolution, or an embedding"
    if tensor.ndim > 4:
        return f"{tensor.ndim} axes: not a two-dimensional convolution"
    return "empty" if tensor.numel() == 0 and tensor.ndim > 1 else ""


def is_real(tensor: Tensor) -> bool:
    """Whether a tensor holds real numbers of a type that weights have when they are not quantized."""
    return tensor.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _one_dimensional(tensors: dict[str, Tensor], weights: dict[str, Tensor]) -> list[Skipped]:
    """List, by module, the vectors that are not the bias of a layer that was read."""
    owners = {name.rpartition(".")[0] for name in weights}
    loose: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        owner, _, leaf = name.rpartition(".")
        if tensor.ndim == 1 and owner not in owners and ".parametrizations." not in f".{name}":
            loose.setdefault(owner or name, []).append(leaf)
    return [
        Skipped(
            owner,
            "batch norm; where it acts is not in a weight file"
            if "running_var" in leaves
            else f"vectors ({', '.join(leaves)}), as of a norm or an activation",
        )
        for owner, leaves in loose.items()
    ]


def _layers(weights: dict[str, Tensor], tensors: dict[str, Tensor]) -> tuple[list[Layer], dict[str, str]]:
    """Make layers in the given order, and say what was inferred of which."""
    layers: list[Layer] = []
    inferred: dict[str, str] = {}
    for name, weight in weights.items():
        short = name.removesuffix(".weight")
        groups, transposed = 1, False
        if weight.ndim == 4 and (copies := _transposed_groups(name, weight, tensors)):
            groups, transposed = copies, True
            inferred[short] = "transposed, since its bias fits the second axis and not the first"
        elif weight.ndim == 4 and weight.shape[1] == 1 and len(weight) > 1 and layers:
            received = layers[-1].neurons
            groups = received if len(weight) % received == 0 else len(weight)
            inferred[short] = "depthwise, since it receives one channel and is not the first layer"
        layers.append(layer_of(short, weight, transposed, groups=groups))
    return layers, inferred


def _transposed_groups(name: str, weight: Tensor, tensors: dict[str, Tensor]) -> int:
    """Return the groups of a convolution whose bias shows that it is transposed, or 0."""
    owner = name.rpartition(".")[0]
    vectors = [v for key, v in tensors.items() if v.ndim == 1 and key.rpartition(".")[0] == owner]
    if len(vectors) != 1 or len(vectors[0]) == len(weight) or len(vectors[0]) % weight.shape[1]:
        return 0
    groups = len(vectors[0]) // weight.shape[1]
    return groups if len(weight) % groups == 0 else 0


def _chained(weights: dict[str, Tensor]) -> list[str]:
    """Order names so that each weight receives as many channels as the one before gives, as far as possible.

    Numbered parts of a module follow their numbers. Parts with other names start with what fits the
    channels at hand, first in natural order where several do; the first channels are those of an image.
    """
    tree: dict[str, Any] = {}
    for name in weights:
        node = tree
        *path, leaf = name.split(".", DEPTH)
        for part in path:
            node = node.setdefault(f"{part}.", {})
        node[leaf] = name
    return _walk(tree, weights, _image_channels(weights.values()))[0]


def _image_channels(weights: Iterable[Tensor]) -> int:
    """Return the likeliest number of input channels: 3, 1, 4 or 2, or what no layer gives."""
    received = [weight.shape[1] for weight in weights if weight.ndim == 4]
    if received:
        return next((count for count in (3, 1, 4, 2) if count in received), min(received))
    given = {len(weight) for weight in weights}
    return next((weight.shape[1] for weight in weights if weight.shape[1] not in given), 1)


def _walk(node: Any, weights: dict[str, Tensor], channels: int) -> tuple[list[str], int]:
    """Return the names below ``node`` in order, and how many channels the last of them gives."""
    if isinstance(node, str):
        return [node], len(weights[node])
    remaining = {key: node[key] for key in sorted(node, key=_natural)}
    starts = {key: [weights[name] for name in _starts(child)] for key, child in remaining.items()}
    ordered: list[str] = []
    while remaining:
        key = next(iter(remaining))
        if not _numbered(remaining):
            key = min(remaining, key=lambda key: _misfit(starts[key], channels))
        names, channels = _walk(remaining.pop(key), weights, channels)
        ordered += names
    return ordered, channels


def _starts(node: Any) -> list[str]:
    """Return the names with which ``node`` may start: the first of numbered parts, any of others."""
    if isinstance(node, str):
        return [node]
    keys = sorted(node, key=_natural)
    return [name for key in (keys[:1] if _numbered(keys) else keys) for name in _starts(node[key])]


def _numbered(keys: Iterable[str]) -> bool:
    return all(key.removesuffix(".").isdigit() for key in keys)


def _misfit(weights: list[Tensor], channels: int) -> int:
    """Return 0 if some weight receives ``channels``, 1 if a linear one may receive several positions, else 2."""
    if any(weight.shape[1] == channels for weight in weights):
        return 0
    return 2 - any(weight.ndim == 2 and weight.shape[1] % channels == 0 for weight in weights)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sort key by which part 10 follows part 9."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]

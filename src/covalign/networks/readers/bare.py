"""Which layers does a weight file hold, without the architecture that they belong to?

A weight file has no forward pass. Which tensors are weights of layers is judged by names, shapes and companions
(`covalign.networks.readers.judging`), after parts of one weight were put together
(`covalign.networks.readers.composed`); four axes are a convolution, two a linear layer. What is inferred, and
said in the details: the order of layers (a PyTorch file keeps the order of registration; elsewhere layers are
chained so that each receives what the one before gives), depthwise convolutions (one input channel after the
first layer), transposed ones (`covalign.networks.readers.transposed`), queries, keys and values in one product
(`covalign.networks.readers.attention`). What is not in the file at all: stride, padding, dilation, the number of
groups, the number of heads, and where norms act.
"""

from collections.abc import Collection, Iterable, Mapping

from torch import Tensor

from covalign.errors import InputError
from covalign.networks.network import Layer, Skipped
from covalign.networks.readers.attention import cut_by_name
from covalign.networks.readers.chaining import Ends, chained
from covalign.networks.readers.composed import compose
from covalign.networks.readers.judging import (
    Companions,
    NotALayer,
    companions,
    judge,
    judge_mask,
    judge_numbers,
    stored_otherwise,
)
from covalign.networks.readers.layout import channels_first, channels_last
from covalign.networks.readers.lexicon import ADAPTERS, AVERAGES, SCALES
from covalign.networks.readers.module import Reading, layer_of
from covalign.networks.readers.names import dotted, says, split, words
from covalign.networks.readers.torch_file import WeightFile
from covalign.networks.readers.transposed import (
    Transposition,
    chained_transposition,
    doubt,
    norms_before,
    transposition,
)
from covalign.networks.readers.twins import Twins

UNKNOWN = "stride, padding, dilation, groups, numbers of heads, and where norms act"
ENDINGS = (".weight", ".kernel", ".W")
"""What names of weights end in, and names of layers do not."""
BIASES = (("bias",), ("biases",), ("b",))
"""What the last word of a bias is."""
SHOWN = 3
"""Kinds of what was left out that a refusal names."""
WRAPPERS = ("module.", "_orig_mod.")
"""What PyTorch's parallel and compiling wrappers put before every name."""


def read_bare(file: WeightFile, insist: Collection[str] = ()) -> Reading:
    """Read the layers of a weight file without its architecture.

    Args:
        file: the tensors of one network.
        insist: names that are layers whatever they look like, where their numbers can be read at all.

    Raises:
        InputError: no readable layer, or weights that are not finite.
    """
    named = _unwrapped({dotted(name): tensor for name, tensor in file.tensors.items()})
    turned_axes = channels_last(named)
    whole = compose(channels_first(named) if turned_axes else named)
    beside = companions(whole.tensors)
    skipped = list(whole.skipped)
    weights: dict[str, Tensor] = {}
    seen: dict[tuple[object, ...], str] = {}
    twins = Twins()
    for name, tensor in whole.tensors.items():
        if tensor.ndim < 2:
            continue
        insisted = bool({name, short_name(name)} & set(insist))
        verdict = stored_otherwise(tensor) if insisted else judge(name, tensor, beside)
        verdict = verdict and judge_mask(verdict, tensor)
        place = () if verdict else (tensor.data_ptr(), tuple(tensor.shape), tensor.stride())
        if verdict is None and place not in seen:
            weight = whole.weight(name)
            verdict = None if insisted else judge_numbers(weight)
            twin = "" if insisted or verdict else twins.find(name, {"": weight})
            if verdict is None:
                seen[place] = twin or name
                if twin:
                    skipped.append(Skipped(name, f"a copy of {twin}, with the same numbers"))
                else:
                    if not insisted:
                        twins.add(name, {"": weight})
                    weights[name] = _two_dimensional(name, weight)
                continue
        reason = str(verdict) if verdict else f"tied: the same weights as {seen[place]}"
        skipped.append(Skipped(name, reason))
    skipped += _one_dimensional(whole.tensors, weights)
    if not weights:
        raise InputError(
            f"{file.path}: holds no weights of two-dimensional convolutions or linear layers "
            f"(left out: {_listed(skipped)}); give the weights of a network with such layers"
        )
    before = norms_before(weights, beside, file.ordered)
    turned = {n: turn for n, weight in weights.items() if (turn := transposition(n, weight, beside, before))}
    names = (
        list(weights)
        if file.ordered
        else chained({name: _ends(w, turned.get(name)) for name, w in weights.items()})
    )
    whole_layers, inferred = _layers([(name, weights[name]) for name in names], turned, beside)
    layers, attention = cut_by_name(whole_layers, whole.tensors)
    inferred |= attention
    inferred |= {short_name(name): how for name, how in whole.how.items() if name in weights}
    order = "of the file" if file.ordered else "inferred from names and shapes"
    details = {"order": order, "not in the file": UNKNOWN, "inferred": inferred}
    if turned_axes:
        details["axes"] = "stored with channels last (k_h, k_w, c_in, c_out), read as (c_out, c_in, k_h, k_w)"
    return Reading(layers, tuple(skipped), details=details)


def strip_common_prefix(names: Iterable[str]) -> str:
    """Return the first component, with its dot, that all names share; "" if there is none."""
    first = {name.partition(".")[0] if "." in name else "" for name in names}
    return f"{first.pop()}." if len(first) == 1 and first != {""} else ""


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Drop what wrappers put before names (an average counts its models in a number of its own)."""
    while (prefix := strip_common_prefix(name for name, t in tensors.items() if t.ndim)) in WRAPPERS:
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def short_name(name: str) -> str:
    """Return the name of the layer that a weight belongs to."""
    return next((name.removesuffix(end) for end in ENDINGS if name.endswith(end)), name)


def _two_dimensional(name: str, weight: Tensor) -> Tensor:
    """Return a weight that was insisted on as that of a layer: a one-dimensional kernel has one row.

    Raises:
        InputError: more than four axes.
    """
    if weight.ndim == 3:
        return weight[:, :, None, :]
    if weight.ndim > 4:
        raise InputError(
            f"{name!r} has {weight.ndim} axes, expected at most 4 (a two-dimensional convolution); leave it out"
        )
    return weight


def _listed(skipped: list[Skipped]) -> str:
    """Name what was left out, one of each reason before others of the same."""
    once = {entry.reason: entry for entry in reversed(skipped)}
    kinds = [entry for entry in skipped if once[entry.reason] is entry]
    rest = len(skipped) - len(kinds[:SHOWN])
    more = f"; and {rest} more" if rest else ""
    return "; ".join(f"{entry.name}: {entry.reason}" for entry in kinds[:SHOWN]) + more or "nothing"


def _one_dimensional(tensors: Mapping[str, Tensor], weights: dict[str, Tensor]) -> list[Skipped]:
    """List, by module, the vectors that are not the bias of a layer that was read, and scales of one number."""
    read = {split(name)[0] for name in weights}
    lost = {split(name)[0]: split(name)[1] for name, tensor in tensors.items() if tensor.ndim > 1}
    loose: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        owner, leaf = split(name)
        alone = tensor.ndim == 1 or (tensor.ndim == 0 and says(leaf, SCALES) and owner in read)
        own = owner in read and words(leaf)[-1:] in BIASES
        if alone and not own and ".parametrizations." not in f".{name}":
            loose.setdefault(owner or name, []).append(leaf)
    biases = {owner for owner, leaves in loose.items() if all(words(leaf)[-1:] in BIASES for leaf in leaves)}
    return [
        Skipped(owner, _vectors(owner, leaves, owner in read, lost.get(owner, "")))
        for owner, leaves in loose.items()
        if owner not in biases & lost.keys()
    ]


def _vectors(owner: str, leaves: list[str], beside_layer: bool, left_out: str) -> str:
    """Say what the vectors of a module are."""
    called = ", ".join(leaves)
    if any(says(part, ADAPTERS) for part in (*owner.split("."), *leaves)):
        return str(NotALayer.ADAPTER.value)
    if "running_var" in leaves or "moving_variance" in leaves:
        return "batch norm; where it acts is not in a weight file"
    if all(says(leaf, AVERAGES) for leaf in leaves):
        return f"running copies ({called}) of what stands beside them"
    if all(says(leaf, SCALES) for leaf in leaves):
        return f"{NotALayer.SCALE.value} ({called})"
    if beside_layer:
        return f"vectors ({called}) beside a weight, not called its bias: what they do to it is not known"
    if left_out:
        return f"vectors ({called}) beside {left_out}, which is left out"
    return f"vectors ({called}), as of a norm or an activation"


def _layers(
    weights: list[tuple[str, Tensor]], turned: dict[str, Transposition], beside: Companions
) -> tuple[list[Layer], dict[str, str]]:
    """Make layers in the given order, and say what was inferred of which."""
    layers: list[Layer] = []
    inferred: dict[str, str] = {}
    for name, weight in weights:
        short = short_name(name)
        groups = 1
        received = layers[-1].neurons if layers else 0
        turn = turned.get(name) or chained_transposition(name, weight, received, beside)
        if turn is not None:
            groups = turn.groups
            inferred[short] = f"transposed, since {turn.why}"
        elif weight.ndim == 4 and weight.shape[1] == 1 and len(weight) > 1 and layers:
            groups = received if len(weight) % received == 0 else len(weight)
            inferred[short] = "depthwise, since it receives one channel and is not the first layer"
        elif either := doubt(weight, received):
            inferred[short] = either
        layers.append(layer_of(short, weight, turn is not None, groups=groups))
    return layers, inferred


def _ends(weight: Tensor, turn: Transposition | None) -> Ends:
    """Return how many channels a weight receives and gives."""
    if turn is None:
        return Ends(weight.shape[1], len(weight), weight.ndim)
    return Ends(len(weight), weight.shape[1] * turn.groups, weight.ndim)

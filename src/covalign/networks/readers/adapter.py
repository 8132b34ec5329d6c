"""Which update of a network does an adapter file hold, and what is the network once it is applied?

An adapter has no layers: its factors are determined up to a rotation between them, only their product is not.

    LoRA     D = B A, or with a middle factor B (M A) over space     (Hu et al. 2021; LoCon)
    AdaLoRA  D = B diag(E) A                                         (Zhang et al. 2023)
    LoHa     D = (w1_a w1_b) * (w2_a w2_b), elementwise              (Hyeon-Woo et al. 2022)
    LoKr     D = w1 (x) w2, Kronecker, either of them a product      (Yeh et al. 2023)
             products of convolutions with a core over space: sum_ij t_ij.. a_ip b_jr  (Tucker)
    W' = W + s D,   s = alpha / r, or alpha / sqrt(r) where the configuration says so
    DoRA     W' = m (W + s D) / ||W + s D||, for each neuron         (Liu et al. 2024)

PEFT keeps modules that were trained whole beside the factors; they take the place of the base's.

The names are those of PEFT, diffusers, kohya's scripts and loralib. alpha is stored beside the factors or in
``adapter_config.json``; where neither is, s = 1, which is said. What starts by taking a part out of its base
(PiSSA, OLoRA, CorDA, LoftQ) is no update of it, and is refused, as are kinds that are not read.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.errors import InputError
from covalign.networks.network import Layer, Network, Skipped
from covalign.networks.readers.factors import Update
from covalign.networks.readers.lexicon import ADAPTERS
from covalign.networks.readers.module import require_finite
from covalign.networks.readers.names import ASKED, plain, says
from covalign.networks.readers.torch_file import WeightFile

CONFIGURATION = "adapter_config.json"
READ = ("LORA", "ADALORA", "LOHA", "LOKR")
"""Kinds that are read, by PEFT's names."""
STARTS = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Ways to start that change the base itself, by PEFT's names."""
WITHIN = "base_model."
"""What PEFT puts before every name."""
REPEATED, AGAIN = re.compile(r"[*+?{]"), re.compile(r"\)[*+?{]")
REPETITIONS, LONGEST_NAME = 2, 300
"""Of patterns in a configuration and of names they are held against: no search goes on forever (our choice)."""
BIAS = "an update of a bias: biases are not compared"
Lead = tuple[str, str]
"""What stands before every name of an adapter, and of its base: one of the two is empty."""
_NAMED = r"(?:\.(?!(?:weight|bias)$)\w+)?"
ROLES = {
    re.compile(pattern): role
    for pattern, role in (
        (rf"[._]lora_A{_NAMED}(?:\.weight)?$", "down"),
        (rf"[._]lora_B{_NAMED}(?:\.weight)?$", "up"),
        (rf"[._]lora_E{_NAMED}(?:\.weight)?$", "singular"),
        (r"[._]lora[._](?:linear_layer\.)?(down|up|mid)(?:\.weight)?$", ""),
        (r"[._](hada_w[12]_[ab]|hada_t[12]|lokr_w[12](?:_[ab])?|lokr_t2)$", ""),
        (rf"[._](?:lora_magnitude_vector|dora_scale){_NAMED}(?:\.weight)?$", "magnitude"),
        (r"[._](?:lora_)?alpha$", "alpha"),
        (r"\.diff$", "diff"),
    )
}
PREFIXES = re.compile(
    r"^(?:base_model\.model\.|base_model\.|lora_(?:unet|te\d?|transformer)_|diffusion_model\.)"
)
WHOLE = re.compile(r"^base_model\.model\.(.+?)(?:\.modules_to_save(?:\.\w+?)?)?\.weight$")
"""How PEFT calls weights that an adapter file holds as they are."""
FORMS = (
    {"up", "down"},
    {"up", "down", "singular"},
    {"up", "down", "mid"},
    {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"},
    {"hada_t1", "hada_w1_a", "hada_w1_b", "hada_t2", "hada_w2_a", "hada_w2_b"},
    {"lokr_w1", "lokr_w2"},
    {"lokr_w1", "lokr_w2_a", "lokr_w2_b"},
    {"lokr_w1", "lokr_t2", "lokr_w2_a", "lokr_w2_b"},
    {"lokr_w1_a", "lokr_w1_b", "lokr_t2", "lokr_w2_a", "lokr_w2_b"},
    {"lokr_w1_a", "lokr_w1_b", "lokr_w2"},
    {"lokr_w1_a", "lokr_w1_b", "lokr_w2_a", "lokr_w2_b"},
    {"diff"},
    {"whole"},
)
"""The factors that make an update, by kind of adapter."""


@dataclass(frozen=True, eq=False)
class Adapter:
    """Updates of the weights of a base, which the file does not hold.

    Attributes:
        name: for tables and captions.
        updates: one a weight.
        skipped: what is no update of a layer, or of a kind that is not read.
        transposed: whether products are stored [c_in, c_out].
        details: where it comes from, JSON-serializable.
    """

    name: str
    updates: tuple[Update, ...]
    skipped: tuple[Skipped, ...] = ()
    transposed: bool = False
    details: dict[str, Any] = field(default_factory=dict)


def adapter_of(file: WeightFile, name: str) -> Adapter | None:
    """Return the adapter that a file holds; None where it holds no factors, or layers beside them.

    Raises:
        InputError: factors whose shapes do not belong together, a damaged configuration, or a kind of adapter that
            is not read.
    """
    stated = _configuration(file)
    _refuse_kind(file, stated)
    found: dict[str, dict[str, Tensor]] = {}
    skipped: list[Skipped] = []
    for key, tensor in file.tensors.items():
        if named := _role(key):
            target, role = named
            if role in found.setdefault(target, {}):
                raise InputError(
                    f"{file.path}: several adapters in one ({target} has more than one factor {role}), expected one "
                    "update a layer; save each adapter in a file of its own"
                )
            found[target][role] = tensor
        elif any(says(part, ADAPTERS) for part in key.split(".")):
            own = tensor.ndim == 1 and key.endswith(".bias")
            skipped.append(Skipped(key, BIAS if own else "part of an adapter of a kind that is not read"))
        elif tensor.ndim > 1 and (trained := WHOLE.match(key)):
            found.setdefault(f"base_model.model.{trained[1]}", {})["whole"] = tensor
        elif tensor.ndim > 1 and not key.startswith(WITHIN):
            return None
        elif tensor.ndim > 1:
            skipped.append(
                Skipped(key, "a parameter of its own, as of an adapter of a kind that is not read")
            )
    if any("whole" in parts and len(parts) > 1 for parts in found.values()):
        return None
    if not skipped and not any(says(part, ADAPTERS) for key in file.tensors for part in key.split(".")):
        return None
    updates = []
    for target, parts in found.items():
        factors = {role: part for role, part in parts.items() if role not in ("alpha", "magnitude")}
        if set(factors) not in FORMS:
            skipped.append(Skipped(target, f"an update without all its factors: {', '.join(sorted(parts))}"))
            continue
        for role, factor in factors.items():
            require_finite(f"{target} {role}", factor)
        scale = _scale(target, parts.get("alpha"), _rank(target, factors, stated), stated)
        updates.append(Update(target, factors, scale, parts.get("magnitude")))
    if not updates:
        raise InputError(
            f"{file.path}: an adapter of a kind that is not read ({skipped[0].name}: {skipped[0].reason}), expected "
            "LoRA, LoHa, LoKr or DoRA; merge it into its base and compare the networks"
        )
    scales = sorted({update.scale for update in updates if "whole" not in update.factors})
    known = bool(stated) or any("alpha" in parts for parts in found.values())
    details = {
        "source": str(file.path),
        "adapter": "update of a base",
        "scale": scales if known else "not stated, taken as 1",
        "base": stated.get("base_model_name_or_path"),
    }
    turned = bool(stated.get("fan_in_fan_out"))
    return Adapter(name, tuple(updates), tuple(skipped), turned, details)


def adapted(base: Network, adapter: Adapter) -> Network:
    """Return a base with its weights updated, in float64; it has no layer inputs.

    Raises:
        InputError: no update belongs to a layer of the base.
    """
    layers = {layer.name: layer for layer in base.layers}
    lead = _common_lead(adapter, base)
    skipped = list(adapter.skipped)
    applied = []
    for update in adapter.updates:
        product = update.product()
        turned = product.T if adapter.transposed and product.ndim == 2 else product
        try:
            if parts := _cut_target(update, turned, base.layers, lead):
                layers |= {each.name: each for each in parts}
                applied += [each.name for each in parts]
                continue
            name = _target(update.target, turned, base.layers, lead)
            layers[name] = _updated(layers[name], turned, update)
            applied.append(name)
        except InputError as error:
            skipped.append(Skipped(update.target, str(error)))
    if not applied:
        raise InputError(
            f"{adapter.name} updates nothing that {base.name} has ({skipped[0].name}: {skipped[0].reason}), expected "
            "the network that the adapter was trained on; give that one as the base"
        )
    details = {**base.details, **adapter.details, "updated": applied, "base": base.name}
    left = [[entry.name, entry.reason] for entry in skipped]
    return replace(
        base,
        name=adapter.name,
        layers=tuple(layers.values()),
        skipped=(*base.skipped, *skipped),
        source=None,
        details={**details, "not applied": left} if left else details,
    )


def _role(key: str) -> tuple[str, str] | None:
    """Return what a factor updates and which factor it is."""
    for pattern, role in ROLES.items():
        if match := pattern.search(key):
            return key[: match.start()], role or match[1]
    return None


def _refuse_kind(file: WeightFile, stated: Mapping[str, Any]) -> None:
    """Refuse an adapter whose configuration says that it is no update of its base, or of a kind that is not read."""
    if not (
        Path(file.path).name.startswith("adapter") or all(key.startswith(WITHIN) for key in file.tensors)
    ):
        return  # another file beside the configuration
    kind, start = str(stated.get("peft_type", READ[0])), str(stated.get("init_lora_weights", "")).lower()
    if kind.upper() not in READ:
        raise InputError(
            f"{file.path}: an adapter of a kind that is not read ({kind}), expected LoRA, LoHa, LoKr or DoRA; merge "
            "it into its base and compare the networks"
        )
    if start.startswith(STARTS):
        raise InputError(
            f"{file.path}: an adapter that starts by changing its base (init_lora_weights: {start}), expected an "
            "update of the base as it is; merge it into its base and compare the networks"
        )


def _rank(target: str, factors: Mapping[str, Tensor], stated: Mapping[str, Any]) -> int:
    """Return the rank by which alpha is divided; 0 where no factor shows one, which is then no product."""
    for role in ("down", "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
        if role in factors:
            return factors[role].shape[0]
    own = _of_target(stated.get("rank_pattern"), target)
    rank = own if own is not None else stated.get("r")
    return rank if isinstance(rank, int) else 0


def _scale(target: str, alpha: Tensor | None, rank: int, stated: Mapping[str, Any]) -> float:
    if rank == 0:
        return 1.0  # makers set alpha to the rank then
    if alpha is not None and alpha.numel() == 1:
        return float(alpha) / rank
    own = _of_target(stated.get("alpha_pattern"), target)
    number = own if own is not None else stated.get("lora_alpha", stated.get("alpha"))
    if not isinstance(number, int | float):
        return 1.0
    return number / (math.sqrt(rank) if stated.get("use_rslora") else rank)


def _of_target(patterns: Any, target: str) -> Any:
    """Return what a configuration states for one module; None where it states nothing.

    Its keys are regular expressions, of a whole name or of what follows one of its dots, as PEFT matches them.

    Raises:
        InputError: a key that is no regular expression, or one whose search could take forever.
    """
    stated = patterns.items() if isinstance(patterns, dict) else ()
    name = target.removeprefix(f"{WITHIN}model.")
    for key, _ in stated:
        if len(REPEATED.findall(key)) > REPETITIONS or AGAIN.search(key) or len(name) > LONGEST_NAME:
            raise InputError(
                f"{CONFIGURATION}: got the pattern {key[:80]!r}, expected at most {REPETITIONS} repetitions, none of "
                f"a group, and names of at most {LONGEST_NAME} characters; write the names of the modules out"
            )
    try:
        return next((value for key, value in stated if re.match(rf"(.*\.)?({key})$", name)), None)
    except re.error as error:
        raise InputError(
            f"{CONFIGURATION}: a key of its patterns is no regular expression ({error}), expected names of modules; "
            "get it again"
        ) from error


def _configuration(file: WeightFile) -> dict[str, Any]:
    path = Path(file.path).parent / CONFIGURATION
    if not path.is_file():
        return {}
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a JSON file, expected the configuration of an adapter; get it again"
        ) from error
    return stated if isinstance(stated, dict) else {}


def _called(target: str) -> str:
    return plain(_bare(target))


def _bare(target: str) -> str:
    return re.sub(r"\.processor\b", "", PREFIXES.sub("", target))


@lru_cache(maxsize=ASKED)
def _spelled(name: str) -> str:
    """Return a name with a dot between any two words."""
    return re.sub(r"[^0-9a-z]+", ".", _bare(name).lower()).strip(".")


def _lead(target: str, name: str) -> Lead | None:
    """Return what stands before the shorter of two names in the longer one; None where it does not end in it.

    Whole words alone: ``blocks.10`` does not end in ``0``. What has a number is no wrapper: ``conv.11.fc`` is not the
    ``fc`` of another network.
    """
    one, two = _spelled(target), _spelled(name)
    long, short = (one, two) if len(one) >= len(two) else (two, one)
    before = long.removesuffix(short).strip(".")
    if not short or not f".{long}".endswith(f".{short}") or any(map(str.isdigit, before.split("."))):
        return None
    return (before, "") if long == one else ("", before)


def _common_lead(adapter: Adapter, base: Network) -> Lead:
    """Return what stands before the names of an adapter, or before those of its base: wrappers are before all."""
    names = {part for layer in base.layers for part in (layer.name, layer.part_of) if part}
    counts: Counter[Lead] = Counter()
    for update in adapter.updates:
        leads = {_lead(update.target, name) for name in names}
        counts.update(lead for lead in leads if lead is not None)
    return max(counts, key=lambda lead: (counts[lead], -len("".join(lead))), default=("", ""))


def _cut_target(update: Update, product: Tensor, layers: tuple[Layer, ...], lead: Lead) -> list[Layer]:
    """Return the updated layers that are rows of the product which an update belongs to; none where it is none such.

    Raises:
        InputError: an update of another shape.
    """
    called = _called(update.target)
    wholes = dict.fromkeys(layer.part_of for layer in layers if layer.part_of)
    whole = next((name for name in wholes if _lead(update.target, name) == lead), None)
    whole = next((name for name in wholes if plain(name) == called), whole)
    parts = [layer for layer in layers if whole and layer.part_of == whole]
    if not parts:
        return []
    weight = torch.cat([part.weight for part in parts])
    joined = replace(parts[0], name=whole or "", weight=weight)
    changed = _updated(joined, product, update).weight.split([part.neurons for part in parts])
    return [replace(part, weight=rows) for part, rows in zip(parts, changed, strict=True)]


def _target(target: str, product: Tensor, layers: tuple[Layer, ...], lead: Lead) -> str:
    """Return the layer that an update belongs to.

    Raises:
        InputError: none, or more than one.
    """
    called = _called(target)
    exact = [layer for layer in layers if plain(layer.name) == called]
    ending = [layer for layer in layers if _lead(target, layer.name) == lead]
    found = exact or [layer for layer in ending if _fitted(product, layer) is not None]
    if len(found) != 1:
        raise InputError("no layer of the base is called so" if not found else "several layers may be meant")
    return found[0].name


def _fitted(product: Tensor, layer: Layer) -> Tensor | None:
    """Return an update in the shape of a layer's weight; None where it has other numbers of channels."""
    shape = layer.weight.shape
    if product.shape == shape or (
        product.ndim == 2 and product.shape == shape[:2] and shape[2:].numel() == 1
    ):
        return product.reshape(shape)
    c_out, c_in, *kernel = shape
    if product.shape in ((c_out, c_in * math.prod(kernel)), (c_out * kernel[0], c_in * kernel[-1])):
        return product.reshape(shape)  # LoHa of a convolution, flattened; and loralib's convolution
    return None


def _updated(layer: Layer, product: Tensor, update: Update) -> Layer:
    fitted = _fitted(product, layer)
    if fitted is None:
        shapes = ("x".join(map(str, each.shape)) for each in (product, layer.weight))
        raise InputError(f"its update has the shape {' and the layer '.join(shapes)}")
    if "whole" in update.factors:
        return replace(layer, weight=fitted)
    weight = layer.weight.detach().double() + update.scale * fitted
    if update.magnitude is not None:
        weight = _rescaled(weight, update.magnitude.detach().double())
    return replace(layer, weight=weight)


def _rescaled(weight: Float64[Tensor, "o i h w"], magnitude: Tensor) -> Float64[Tensor, "o i h w"]:
    """Return m V / ||V||, along the axis that m has the length of, neurons first."""
    along_inputs = magnitude.ndim > 1 and magnitude.shape[0] == 1 and magnitude.numel() == weight.shape[1]
    axis = 1 if along_inputs and magnitude.numel() != len(weight) else 0
    axes = [other for other in range(weight.ndim) if other != axis]
    if magnitude.numel() != weight.shape[axis]:
        raise InputError(f"its magnitudes are {magnitude.numel()}, expected {weight.shape[axis]}")
    sizes = [1] * weight.ndim
    sizes[axis] = -1
    lengths: Tensor = torch.linalg.vector_norm(weight, dim=axes, keepdim=True)
    return magnitude.reshape(sizes) * weight / lengths

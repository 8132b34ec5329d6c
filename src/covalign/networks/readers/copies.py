"""Which of the tensors of a file are the network, and which are another copy of it, or another network?

Checkpoints hold more than one set of weights: raw ones beside their running average, a student beside its
teacher, a generator beside its discriminator, the state of an optimizer. Read together they are one network of
twice the depth. Here one is chosen, and every other is listed with what it is to the chosen one and with the
prefix that chooses it:

- *copies* have the same names (up to separators) and shapes below another prefix, and a word that says so (``ema``,
  ``shadow``, ``teacher``, ``target``), or are all there is in the file and each takes images;
- parts that are equal number by number are *copies* as well, whatever they are called, unless a number alone tells
  their names apart (blocks that start equal);
- *other networks* are named beside their counterpart (discriminator beside generator);
- of the mappings of a checkpoint, those under which trainers keep weights come before any other.

Equal parts that can follow one another are blocks of one network, whatever they are called.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

from torch import Tensor

from covalign.errors import InputError
from covalign.networks.network import Skipped
from covalign.networks.readers.composed import MASKED, UNITED
from covalign.networks.readers.names import phrases, plain, says, words
from covalign.networks.readers.torch_file import WeightFile
from covalign.networks.readers.twins import Twins

STATE_KEYS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "model_weights",
)
"""Where trainers keep the weights in a larger checkpoint, in order of preference."""

COPIES = phrases(
    """
    ema shadow averaged swa polyak teacher target momentum copy lookahead moving avg_model model_avg net_avg
    weight_avg encoder_k encoder_key key_encoder backbone_k model_k slow_model old_model best_model
    previous_model prev_model initial_model init_model rewind fisher grads gradients hessian importances
    """
)
"""Words of a copy whose counterpart has the same names and shapes."""
PARALLEL = ("source", "src", "query", "value", "q", "v")
"""Words of a part that stands beside a *target* or *key* without being its original, unless it is an encoder's."""
OTHERS = {
    "discriminator": ("generator", "gen", "g", "net_g", "model", "vae", "decoder", "autoencoder"),
    "disc": ("generator", "gen", "g", "vae", "decoder"),
    "dis": ("generator", "gen", "g"),
    "critic": ("generator", "actor", "gen"),
    "d": ("g",),
    "teacher": ("student", "model", "net", "network"),
    "target": ("online",),
}
"""Words of another network, and those of the network that it stands beside."""
ALONE = phrases(
    """
    discriminator lpips loss_fn loss_net loss_network loss_module
    criterion optimizer optimizers optim opt_state optimizer_state
    """
)
"""Words of what is another network, or none, beside whatever else the file holds."""
LOSS = (("loss",), ("losses",))
"""Last words of a part that measures a network, with a network of its own (perceptual losses)."""
DEPTH = 4
"""How deep copies may lie (our choice)."""

MANY = 100
"""Parts side by side of which so many are called copies are none (our choice)."""

ANOTHER = "another network, or an optimizer, beside"
REST = "the rest"
"""What a copy is of that has no part of its own beside it."""

Shapes = frozenset[tuple[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Aside:
    """Tensors below one prefix that are not taken."""

    prefix: str
    relation: str
    count: int

    def skipped(self) -> Skipped:
        """List them."""
        tensors = f"{self.count} tensor{'s' * (self.count != 1)}"
        return Skipped(self.prefix, f"{self.relation} ({tensors}); choose it with --inside {self.prefix}")


def chosen_part(file: WeightFile, inside: str | None = None) -> tuple[WeightFile, tuple[Skipped, ...]]:
    """Return the tensors that are one network, without the prefix they share, and what was set aside.

    Args:
        file: all tensors of a file.
        inside: the prefix of the wanted ones; None chooses.

    Raises:
        InputError: nothing below this prefix.
    """
    tensors, aside = file.tensors, list[Aside]()
    place = ""
    if inside is not None:
        place = inside.rstrip(".")
        tensors = _below(file.tensors, place)
        if not tensors:
            raise InputError(
                f"{file.path}: holds nothing inside {inside!r}, expected one of "
                f"{', '.join(_heads(file.tensors)) or 'no prefix'}; leave --inside out to see what is read"
            )
        if rest := sum(not name.startswith(f"{place}.") for name in file.tensors):
            aside.append(Aside("everything else", f"not inside {place}, which was chosen", rest))
    place, tensors = _mappings(file, place, tensors, aside)
    place, tensors = _networks(file, place, tensors, aside)
    details = {**file.details, "inside": place} if place else file.details
    left = tuple(
        Skipped(each.prefix, each.relation) if each.prefix == "everything else" else each.skipped()
        for each in aside
    )
    return replace(file, tensors=tensors, details=details), (*left, *file.unread)


def _mappings(
    file: WeightFile, place: str, tensors: dict[str, Tensor], aside: list[Aside]
) -> tuple[str, dict[str, Tensor]]:
    """Go into the mapping of a checkpoint that has the weights, while one stands out; masks go with it."""
    belonging: dict[str, Tensor] = {}
    while not any("." not in name and tensor.ndim > 1 for name, tensor in tensors.items()):
        below = f"{place}." if place else ""
        direct = (each for each in file.places if each.startswith(below) and each != place)
        nearest = [each.removeprefix(below) for each in direct]
        heads = [each for each in nearest if not any(each.startswith(f"{other}.") for other in nearest)]
        full = {each: part for each in heads if (part := _below(tensors, each)) and _matrices(part)}
        usual = [key for key in STATE_KEYS if key in full]
        if not usual and len(full) != 1:
            break
        pick = (usual or list(full))[0]
        rest = {
            name: each for name, each in tensors.items() if not any(name.startswith(f"{h}.") for h in full)
        }
        for other, part in {**full, **_parts(rest)}.items():
            if _is_masks(other):
                belonging |= {f"{other}.{name}": mask for name, mask in part.items()}
            elif other != pick:
                aside.append(Aside(below + other, _relation(pick, part, full[pick]), len(part)))
        place, tensors = below + pick, full[pick]
    return place, {**tensors, **belonging}


def _is_masks(head: str) -> bool:
    """Whether what lies below a prefix are masks, by its words."""
    return says(head, MASKED) and set(words(head)) <= UNITED


def _networks(
    file: WeightFile, place: str, tensors: dict[str, Tensor], aside: list[Aside]
) -> tuple[str, dict[str, Tensor]]:
    """Set copies and other networks aside, and go into what remains where that is one part of the file."""
    below = f"{place}." if place else ""
    masks = {name: tensor for name, tensor in tensors.items() if _is_masks(name.partition(".")[0])}
    tensors = {name: tensor for name, tensor in tensors.items() if name not in masks}
    found = _asides(tensors)
    found += _equals(place, _without(tensors, found), file.places)
    aside += [replace(each, prefix=below + each.prefix) for each in found]
    kept = _without(tensors, found)
    beside = {each.prefix.rpartition(".")[0] for each in found if REST not in each.relation}
    if beside and (head := _only_part(kept, beside)):
        return below + head, {**_below(kept, head), **masks}
    return place, {**kept, **masks}


def _without(tensors: dict[str, Tensor], aside: Iterable[Aside]) -> dict[str, Tensor]:
    dropped = {each.prefix for each in aside}
    depth = max((prefix.count(".") for prefix in dropped), default=-1) + 1
    return {
        name: tensor
        for name, tensor in tensors.items()
        if dropped.isdisjoint(accumulate(name.split(".", depth)[:-1], "{}.{}".format))
    }


def _only_part(kept: Mapping[str, Tensor], parents: set[str]) -> str:
    """Return the part that all that is kept is in, where it stands beside those that were set aside; else ""."""
    above = parents.pop() if len(parents) == 1 else ""
    start = f"{above}." if above else ""
    inner = [name for name, tensor in kept.items() if tensor.ndim]
    heads = {name[len(start) :].partition(".")[0] for name in inner if name.count(".") > start.count(".")}
    whole = all(name.startswith(start) and name.count(".") > start.count(".") for name in inner)
    return start + heads.pop() if whole and len(heads) == 1 else ""


def _asides(tensors: Mapping[str, Tensor], prefix: str = "", depth: int = DEPTH) -> list[Aside]:
    parts = _parts(tensors)
    copies = sum(says(head, COPIES) for head in parts)
    near = {
        word: [other for other in parts if says(other, counterparts) and not says(other, (word,))]
        for word, counterparts in OTHERS.items()
    }
    found: list[Aside] = []
    twins = Twins()
    for head, part in parts.items():
        inner_part = _innermost(part)
        several = len(_matrices(inner_part)) > 1  # of one alone `covalign.networks.readers.bare` judges
        copied = _copied(head, part, tensors) if copies <= MANY else ""
        if not copied and several and (twin := twins.find(head, inner_part)):
            copied = f"a copy of {twin}, with the same numbers"
        relation = copied or _other(head, near, bool(prefix) or len(parts) > 1)
        if several and not relation:
            twins.add(head, inner_part)
        if relation:
            found.append(Aside(prefix + head, relation, len(part)))
        elif inner := _asides(part, f"{prefix}{head}.", depth - 1) if depth > 1 else []:
            found += inner
        elif len(parts) > 1 and words(head)[-1:] in LOSS:
            found.append(Aside(prefix + head, f"{ANOTHER} {REST}", len(part)))
    return found


def _copied(head: str, part: dict[str, Tensor], tensors: Mapping[str, Tensor]) -> str:
    """Say of what a part is a copy, by its words and its shapes: of one beside it, or of all that is beside it."""
    if not says(head, COPIES):
        return ""
    rest = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{head}.")}
    beside = {other: own for other, own in _parts(rest).items() if not says(other, COPIES)}
    mine = _unwrapped(part)
    if any(one <= _shapes(rest) for one in mine):
        return f"a copy of {REST}, with the same names and shapes"
    for other, own in beside.items():
        if says(other, PARALLEL) and "encoder_q" not in other:
            continue
        if any(one <= two for one in mine for two in _unwrapped(own)):
            return f"a copy of {other}, with the same names and shapes"
    return ""


def _innermost(part: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what is below the prefixes that all matrices of a part share."""
    while len(heads := _heads(_matrices(part))) == 1 and all("." in name for name in _matrices(part)):
        part = _below(part, heads[0])
    return part


def _other(head: str, near: Mapping[str, list[str]], accompanied: bool) -> str:
    """Say beside which network a part is another one, by its words; ``near`` are what stands beside each word."""
    for word, others in near.items():
        beside = next((other for other in others if other != head), None)
        if beside is not None and says(head, (word,)):
            return f"another network, beside {beside}"
    return f"{ANOTHER} {REST}" if accompanied and says(head, ALONE) else ""


def _unwrapped(part: dict[str, Tensor]) -> list[Shapes]:
    """Return names and shapes of a part, and those below the prefixes that all of them share."""
    found = [_shapes(part)]
    while len(heads := _heads(_matrices(part))) == 1 and len(found) <= DEPTH:
        part = _below(part, heads[0])
        found.append(_shapes(part))
    return [shapes for shapes in found if shapes]


def _equals(
    place: str, tensors: Mapping[str, Tensor], places: Collection[str], depth: int = DEPTH
) -> list[Aside]:
    """Return parts that equal the first in names and shapes, where the file holds nothing else.

    They are networks side by side where each takes images, or where they are mappings of the file that cannot follow
    one another; else they are blocks of one network.
    """
    parts = _parts(tensors)
    if depth and len(parts) == 1 and len(part := next(iter(parts.values()))) == len(tensors):
        head = next(iter(parts))
        inner = _equals(f"{place}.{head}" if place else head, part, places, depth - 1)
        return [replace(each, prefix=f"{head}.{each.prefix}") for each in inner]
    first, *more = parts or [""]
    whole = sum(len(_matrices(part)) for part in parts.values()) == len(_matrices(tensors))
    if not (more and whole and all(_shapes(parts[other]) == _shapes(parts[first]) for other in more)):
        return []
    weights = list(_matrices(parts[first]).values())
    mapped = all((f"{place}." if place else "") + head in places for head in parts)
    follows = weights[0].shape[1] == len(weights[-1])
    images = any(weight.ndim == 4 and weight.shape[1] == 3 != len(weight) for weight in weights)
    if len(weights) < 2 or not (images or (mapped and not follows)):
        return []
    return [Aside(head, f"equal in names and shapes to {first}", len(parts[head])) for head in more]


def _relation(pick: str, part: dict[str, Tensor], picked: dict[str, Tensor]) -> str:
    if any(one == two for one in _unwrapped(part) for two in _unwrapped(picked)):
        return f"a copy of {pick}, with the same names and shapes"
    return f"tensors beside {pick}"


def _shapes(part: Mapping[str, Tensor]) -> Shapes:
    return frozenset((plain(name), tuple(tensor.shape)) for name, tensor in _matrices(part).items())


def _matrices(part: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in part.items() if tensor.ndim > 1}


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}." if prefix else ""
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def _parts(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return what is below each head of a matrix, in one pass."""
    found: dict[str, dict[str, Tensor]] = {head: {} for head in _heads(_matrices(tensors))}
    for name, tensor in tensors.items():
        head, dot, rest = name.partition(".")
        if dot and head in found:
            found[head][rest] = tensor
    return found


def _heads(names: Iterable[str]) -> list[str]:
    """Return the first parts of names that have more than one, each once, in order."""
    return list(dict.fromkeys(name.partition(".")[0] for name in names if "." in name))

"""Which weights does a file hold in parts, and what are they once the parts are put together?

    pruning          W = W_orig * mask                                   (torch.nn.utils.prune and its like)
                     a mask of one axis has a number for each neuron, or for each channel received
    weight norm      W = g V / ||V||                                     (Salimans & Kingma 2016)
    spectral norm    W = W_orig / (u^T W_orig v), or v from W_orig^T u   (Miyato et al. 2018)

Norms are taken over all axes but the one along which g has its length, and over all where g is one number; u
belongs to the axis whose length it has. The parts are known by their names, in the older form (``weight_g``)
and as parametrizations (``parametrizations.weight.original0``), several of which act in turn. Nothing is
computed before it is asked for: until then the part that has the weight's shape stands for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from covalign.networks.network import Skipped
from covalign.networks.readers.names import plain, says, split, words

Recipe = Callable[[], Tensor]

MASKED = ("mask", "masks")
UNITED = {"mask", "masks", "pruning", "prune", "pruned", "sparsity", "binary", "keep"}
"""Words of a mask's name that its weight's name does not have."""
OWN = ("weight", "kernel")
"""What the weight of a module is called whose mask is called mask alone."""
WRAPPED = "module."
"""What a weight's name may begin with where its mask's does not."""
ORIGINALS = ("_orig", "_bar", "_raw")
CHUNK = 1 << 22


@dataclass(frozen=True, eq=False)
class Composed:
    """The tensors of a file with parts put together.

    Attributes:
        tensors: what stands for itself, and for each composed weight the part that has its shape.
        recipes: how composed weights are computed, by name.
        how: what was put together, by name, in words.
        skipped: parts whose other parts are missing.
    """

    tensors: dict[str, Tensor]
    recipes: dict[str, Recipe]
    how: dict[str, str]
    skipped: tuple[Skipped, ...]

    def weight(self, name: str) -> Tensor:
        """Return a weight's numbers."""
        return self.recipes[name]() if name in self.recipes else self.tensors[name]


def compose(tensors: Mapping[str, Tensor]) -> Composed:
    """Find weights that are stored in parts; masks that belong to a weight are multiplied out."""
    left = dict(tensors)
    found: dict[str, tuple[Tensor, Recipe, str]] = {}
    skipped: list[Skipped] = []
    for name in tensors:
        if name not in left:
            continue
        made = _weight_norm(name, left) or _parametrized(name, left) or _original(name, left)
        if isinstance(made, Skipped):
            skipped.append(made)
            del left[name]
        elif made is not None:
            weight, parts, recipe, how = made
            found[weight] = (left[parts[0]], recipe, how)
            for part in parts:
                left.pop(part, None)
    shapes = {**left, **{weight: stored for weight, (stored, _, _) in found.items()}}
    named = _by_plain_name(shapes)
    for name, tensor in list(left.items()):
        partner = _masked(name, tensor, shapes, named)
        if partner and partner != name and (is_mask(tensor) or is_of_ones(tensor)):
            stored, recipe, how = found.get(partner) or (left[partner], _stored(left[partner]), "")
            said = "a mask of ones" if is_of_ones(tensor) else "pruned"
            found[partner] = (stored, _product(recipe, tensor), "; ".join(filter(None, (how, said))))
            del left[name]
    order = {name: index for index, name in enumerate(tensors)}
    whole = {**left, **{weight: stored for weight, (stored, _, _) in found.items()}}
    place = {weight: order[weight] if weight in order else _place(weight, order) for weight in whole}
    return Composed(
        dict(sorted(whole.items(), key=lambda item: place[item[0]])),
        {weight: recipe for weight, (_, recipe, _) in found.items()},
        {weight: how for weight, (_, _, how) in found.items()},
        tuple(skipped),
    )


def is_mask(tensor: Tensor) -> bool:
    """Whether a tensor holds zeros and ones alone, and both."""
    if tensor.dtype == torch.bool:
        return True
    return is_binary(tensor) and len(set(torch.stack(tensor.detach().aminmax()).tolist())) == 2


def is_of_ones(tensor: Tensor) -> bool:
    """Whether a tensor holds ones alone: a mask before anything was pruned."""
    return tensor.layout == torch.strided and tensor.numel() > 0 and bool((tensor.detach() == 1).all())


def is_binary(tensor: Tensor) -> bool:
    """Whether a tensor holds zeros and ones alone, and at least one of them."""
    flat = tensor.detach().flatten()
    if not len(flat) or not _binary(flat[:1000]):
        return False
    return all(map(_binary, flat.split(CHUNK)))


def _binary(values: Tensor) -> bool:
    return bool(((values == 0) | (values == 1)).all())


Parts = tuple[str, list[str], Recipe, str]


def _weight_norm(name: str, tensors: Mapping[str, Tensor]) -> Parts | None:
    if not name.endswith("_g") or f"{name[:-2]}_v" not in tensors or name[:-2] in tensors:
        return None
    gain, direction = tensors[name], tensors[f"{name[:-2]}_v"]
    if not _fits_gain(gain, direction):
        return None
    return name[:-2], [f"{name[:-2]}_v", name], _normalized(gain, direction), "weight norm"


def _parametrized(name: str, tensors: Mapping[str, Tensor]) -> Parts | Skipped | None:
    owner, leaf = split(name)
    before, found, short = owner.rpartition("parametrizations.")
    if not found or leaf not in ("original", "original0"):
        return None
    steps = sorted(other for other in tensors if other.startswith(f"{owner}.") and split(other)[0] != owner)
    numbers = sorted({int(n) for other in steps if (n := other[len(owner) + 1 :].split(".")[0]).isdigit()})
    if leaf == "original":
        base, parts, recipe, how = tensors[name], [name], _stored(tensors[name]), []
    else:
        gain, direction = tensors[name], tensors.get(f"{owner}.original1")
        if direction is None or not _fits_gain(gain, direction):
            return Skipped(
                name, "part of a parametrization that is not known: its weight cannot be put together"
            )
        base, parts = direction, [f"{owner}.original1", name]
        recipe, how = _normalized(gain, direction), ["weight norm"]
    for number in numbers:
        own = {split(other)[1]: other for other in steps if other.startswith(f"{owner}.{number}.")}
        if {"_u", "_v"} <= own.keys():
            recipe = _spectral(recipe, tensors[own["_u"]], tensors[own["_v"]])
            how.append("spectral norm")
        elif own.keys() == {"mask"} and _fitted(tensors[own["mask"]], base) is not None:
            recipe = _product(recipe, tensors[own["mask"]])
            how.append("pruned")
        else:
            return Skipped(
                name, f"parametrized by what is not known ({', '.join(own)}): its weight is computed"
            )
        parts += own.values()
    if not how:
        return Skipped(name, "parametrized by what is not in the file: its weight is computed from it")
    return before + short, parts, recipe, ", ".join(how)


def _original(name: str, tensors: Mapping[str, Tensor]) -> Parts | Skipped | None:
    ending = next((end for end in ORIGINALS if name.endswith(end)), "")
    weight = name.removesuffix(ending)
    if not ending or weight in tensors:
        return None
    stored = tensors[name]
    mask, u, v = (tensors.get(f"{weight}_{part}") for part in ("mask", "u", "v"))
    if mask is not None and _fitted(mask, stored) is not None:
        return weight, [name, f"{weight}_mask"], _product(_stored(stored), mask), "pruned"
    if u is not None and stored.ndim > 1 and u.ndim == 1 and len(u) in stored.shape[:2]:
        return weight, [name, f"{weight}_u", f"{weight}_v"], _spectral(_stored(stored), u, v), "spectral norm"
    if stored.ndim < 2 or ending == "_raw":
        return None
    return Skipped(name, "the weight is computed from it and from what the file lacks (a mask, or a norm)")


def _by_plain_name(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return weights by their names without separators, with and without what the weight of a module is called.

    Names that are the same without separators name nothing.
    """
    named: dict[str, str] = {}
    for name, tensor in tensors.items():
        owner, leaf = split(name)
        if tensor.ndim < 2 or any(says(part, MASKED) for part in (leaf, *owner.split("."))):
            continue
        for whole in dict.fromkeys((name, name.removeprefix(WRAPPED))):
            for called in (whole, whole.removesuffix(f".{leaf}")) if leaf in OWN else (whole,):
                key = plain(called)
                named[key] = "" if named.get(key, name) != name else name
    return named


def _masked(name: str, mask: Tensor, tensors: Mapping[str, Tensor], named: Mapping[str, str]) -> str:
    """Return the weight that a mask belongs to, or ""."""
    parts = name.split(".")
    if not any(says(part, MASKED) for part in parts) or not mask.ndim:
        return ""
    owner, leaf = split(name)
    called = "".join(word for part in parts for word in words(part) if word not in UNITED)
    options = [named.get(called, "")]
    if says(leaf, MASKED):
        options += [f"{owner}.{own}" if owner else own for own in OWN]
    return next(
        (each for each in options if each in tensors and _fitted(mask, tensors[each]) is not None), ""
    )


def _fitted(mask: Tensor, weight: Tensor) -> Tensor | None:
    """Return a mask in a shape that broadcasts to its weight's; None where it has none, or more than one."""
    if mask.ndim == 1 < weight.ndim:
        axes = [axis for axis in (0, 1) if len(mask) == weight.shape[axis]]
        sizes = [len(mask) if [axis] == axes else 1 for axis in range(weight.ndim)]
        return mask.reshape(sizes) if len(axes) == 1 else None
    return mask if _broadcasts(mask, weight) else None


def _broadcasts(mask: Tensor, weight: Tensor) -> bool:
    return mask.ndim == weight.ndim and all(
        m in (1, w) for m, w in zip(mask.shape, weight.shape, strict=True)
    )


def _fits_gain(gain: Tensor, direction: Tensor) -> bool:
    return gain.numel() == 1 or (_broadcasts(gain, direction) and gain.numel() in gain.shape)


def _stored(tensor: Tensor) -> Recipe:
    return lambda: tensor


def _product(recipe: Recipe, mask: Tensor) -> Recipe:
    def weight() -> Tensor:
        stored = recipe()
        fitted = _fitted(mask, stored)
        assert fitted is not None  # asked before the recipe was made
        return stored * fitted.to(stored.dtype)

    return weight


def _normalized(gain: Tensor, direction: Tensor) -> Recipe:
    def weight() -> Tensor:
        axis = next((axis for axis, length in enumerate(gain.shape) if length > 1), 0)
        kept = None if gain.ndim < direction.ndim else axis
        axes = [other for other in range(direction.ndim) if other != kept]
        composed: Tensor = direction * (gain / torch.linalg.vector_norm(direction, dim=axes, keepdim=True))
        return composed

    return weight


def _spectral(recipe: Recipe, u: Tensor, v: Tensor | None) -> Recipe:
    def weight() -> Tensor:
        stored = recipe()
        views = (stored.transpose(0, axis).flatten(1) for axis in (0, 1) if stored.shape[axis] == len(u))
        # Where u has the length of both axes, it belongs to that of which it is the singular vector.
        return stored / max(float(_scale(rows, u, v)) for rows in views)

    return weight


def _scale(rows: Tensor, u: Tensor, v: Tensor | None) -> Tensor:
    right = (
        v if v is not None and len(v) == rows.shape[1] else torch.nn.functional.normalize(rows.T @ u, dim=0)
    )
    scale: Tensor = torch.dot(u, rows @ right)
    return scale


def _place(weight: str, order: Mapping[str, int]) -> int:
    """Return where the first part of a composed weight stood in the file."""
    owner, leaf = split(weight)
    prefix = f"{owner}." if owner else ""
    starts = (f"{weight}_", f"{prefix}parametrizations.{leaf}.")
    return min((index for name, index in order.items() if name.startswith(starts)), default=len(order))

"""What did training change between two networks that share a basis, layer by layer?

For relatives (a fine-tune and its base, two checkpoints of one run) weights can be subtracted. `diff` first
makes sure that they are relatives (`covalign.encoding.basis`), then measures each layer's update
(`covalign.encoding.update`) against the same update turned at random, and, where a replicate is given (the
same training of the same base from another seed), against the spread from seed to seed: |a - b| / sqrt(2)
of two values a, b, and ||W' - W''|| / (sqrt(2) ||W||) for the relative change itself. An update of
independent noise has a relative change equal to its spread; one that repeats itself has a larger one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import pandas as pd
import torch

from covalign.encoding.basis import ENOUGH, BasisTest, basis_test, shares_basis
from covalign.encoding.update import MEASURES, learned_directions, measure_update, random_turns, update_rank
from covalign.errors import InputError
from covalign.networks.network import Layer, Network
from covalign.networks.readers.adapter import Adapter, adapted
from covalign.networks.readers.opening import read_adapter
from covalign.progress import Told, untold
from covalign.studies.coordinates import slot_permutation
from covalign.studies.difference.record import Difference
from covalign.studies.subjects import Source, open_subject

SAME_DIRECTION = 1e-6
"""Distance from 1 of a cosine that rounding explains, of weights in half precision too (our choice)."""
REFERRED = MEASURES[1:]
"""Measures that a random turn changes: all but the relative change itself."""


Relative: TypeAlias = Source | Adapter
"""What is compared with a base: a network, or an adapter that updates it."""


def diff(
    base: Source,
    other: Relative,
    replicate: Relative | None = None,
    *,
    layers: Sequence[str] | None = None,
    draws: int = 10,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    progress: Told = untold,
) -> Difference:
    """Measure, layer by layer, what changed from ``base`` to ``other``; no images are needed.

    Args:
        base, other: networks, runs, modules, or what `open_subject` takes; the other may be an adapter (LoRA and
            its like), or a file of one, which is applied to the base.
        replicate: what another seed made of the same base.
        layers: names of layers of the base; None takes all. Whether the basis is shared is judged on all.
        draws: random turns of each update, for the reference; at least 2.
        seed: of everything random.
        provenance: kept with the results.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: fewer than 2 draws, no layers in common, or networks that do not share a basis.

    Example:
        A fine-tune that made the weights of one layer half as large again, and left the other alone:

        >>> import copy, torch
        >>> base = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
        >>> other = copy.deepcopy(base)
        >>> other[0].weight.data *= 1.5
        >>> diff(base, other).table[["layer", "relative_change"]].round(6).values.tolist()
        [['0', 0.5], ['2', 0.0]]
    """
    if draws < 2:
        raise InputError(f"diff: got {draws} draws, expected at least 2 for a range; 10 is the default")
    one = open_subject(base).network
    two, three = relative(one, other), None if replicate is None else relative(one, replicate)
    if one.name == two.name:
        two = replace(two, name=f"{two.name} (other)")
    tests, found = _relatives(one, two, seed)
    folded = _has_batch_norms(one) != _has_batch_norms(two)
    _, again = ({}, {}) if three is None else _relatives(one, three, seed)
    chosen = one.layers if layers is None else [one.layer(name) for name in layers]
    rows = []
    for index, layer in enumerate(chosen):
        name = layer.name
        row: dict[str, Any] = {
            "layer": name,
            "kind": layer.kind,
            "neurons": layer.neurons,
            "d": layer.dimension,
        }
        if name in found:
            row |= _measured(layer, found[name], draws, seed + one.layers.index(layer))
            row |= _basis_columns(tests[name], row["relative_change"])
            row["reason"] = row["reason"] or _lengths(layer, found[name], folded)
            row |= _spread(layer, found[name], again[name], row) if name in again else {}
        else:
            reason = f"{two.name} has no layer of this name and shape"
            row |= {"rank_rule": "", "shares_basis": False, "reason": reason}
        rows.append(row)
        progress("layers", (index + 1) / len(chosen))
    origin = {
        **(provenance or {}),
        "draws": draws,
        "seed": seed,
        "reference": "the same update, randomly turned at equal norm; for ranks, a Gaussian update",
        "replicate": None if three is None else three.name,
        "networks": [{"name": network.name, **network.details} for network in (one, two, three) if network],
    }
    return Difference(pd.DataFrame(rows), one.name, two.name, origin)


def relative(base: Network, source: Relative) -> Network:
    """Open what is compared with a base; an adapter becomes the base with its updates.

    Raises:
        InputError: what cannot be read, or an adapter of another network.
    """
    if isinstance(source, Adapter):
        return adapted(base, source)
    found = read_adapter(source)
    return open_subject(source).network if found is None else adapted(base, found)


def _counterparts(base: Network, other: Network) -> dict[str, Layer]:
    """Return the layers of ``other`` by the names of those of ``base`` with the same weights' shape.

    Layers are the same by name; where fewer than half of the names are shared (other formats and makers have other
    names) and both have the same shapes in the same order, by order.
    """
    named = {layer.name: layer for layer in other.layers}
    shared = sum(layer.name in named for layer in base.layers)
    shapes = [[layer.weight.shape for layer in network.layers] for network in (base, other)]
    if 2 * shared < len(base.layers) and (
        shapes[0] == shapes[1] or (not shared and len(shapes[0]) == len(shapes[1]))
    ):
        named = dict(zip((layer.name for layer in base.layers), other.layers, strict=True))
    return {
        layer.name: named[layer.name]
        for layer in base.layers
        if layer.name in named and named[layer.name].weight.shape == layer.weight.shape
    }


def _check_filters(one: Network, other: Network) -> None:
    """Refuse networks whose learned weights multiply the responses to different frozen filters."""
    if one.filters is None or other.filters is None or one.filters.fingerprint == other.filters.fingerprint:
        return
    slots = slot_permutation(one.filters, other.filters)
    how = "are other filters" if slots is None else "stand in another order or with other signs"
    raise InputError(
        f"{one.name} and {other.name} do not share a basis: their frozen filters {how}, expected the same bank; "
        "such networks cannot be subtracted: use compare with images"
    )


def _relatives(base: Network, other: Network, seed: int) -> tuple[dict[str, BasisTest], dict[str, Layer]]:
    """Return, by the names of the base's layers, basis tests and counterparts; refuse what is no relative."""
    _check_filters(base, other)
    found = _counterparts(base, other)
    first, last = base.layers[0].name, base.layers[-1].name
    readout = last if last != first and base.layers[-1].kind == "linear" else ""
    tests = {
        name: basis_test(
            base.layer(name).weight,
            counterpart.weight,
            outputs=name != readout,
            inputs=name != first and base.layer(name).groups == 1,
            seed=seed,
        )
        for name, counterpart in found.items()
    }
    if not tests:
        raise InputError(
            f"{base.name} and {other.name} have no layer of equal name and shape, expected relatives of one "
            "architecture; networks that differ so much cannot be subtracted: use compare with images"
        )
    if other.details.get("adapter"):  # its updates are added to the base, so that they share the basis
        return tests, found
    telling = [test for test in tests.values() if test.conclusive]
    if not telling:
        raise InputError(
            f"{base.name} and {other.name} have fewer than {ENOUGH} channels in every layer, or nothing but zeros, "
            "expected at least one layer with more, since so few cannot show whether they share a basis"
        )
    if shares_basis(telling):
        return tests, found
    shared = sum(test.shared for test in telling)
    raise InputError(
        f"{base.name} and {other.name} do not share a basis: in {shared} of {len(telling)} layers that can be "
        "compared, raw weights correlate more than with channel-shuffled copies, expected most; networks that "
        "are independent or permuted cannot be subtracted: use compare with images"
    )


def _measured(layer: Layer, other: Layer, draws: int, seed: int) -> dict[str, Any]:
    """Return every measure of one layer's update, with mean and extremes of the random turns."""
    weight = other.weight.detach().double()
    learned, rule = learned_directions(layer.matrix, layer.init_variance)
    grouped = layer.groups > 1
    measures = measure_update(layer.weight, weight, learned, grouped)
    turns = pd.DataFrame(random_turns(layer.weight, weight, learned, draws, seed, grouped))
    row: dict[str, Any] = {"relative_change": measures["relative_change"]}
    for name in REFERRED:
        row[name] = measures[name]
        row[f"{name}_reference"] = float(turns[name].mean())
        row[f"{name}_low"], row[f"{name}_high"] = float(turns[name].min()), float(turns[name].max())
    row["update_rank"] = update_rank(layer.weight, other.weight)
    return row | {"learned_rank": learned.shape[1], "rank_rule": rule}


def _basis_columns(test: BasisTest, relative_change: float) -> dict[str, Any]:
    """Return the basis test of one layer, and what limits the reading of its row."""
    reason = ""
    if relative_change == 0:
        reason = "unchanged"
    elif not test.conclusive:
        reason = "too few channels to tell whether this layer shares the basis"
    elif not test.shared:
        reason = "replaced or permuted: this layer's channels do not correspond"
    return {
        "correlation": test.correlation,
        "correlation_shuffled": test.shuffled,
        "shares_basis": test.shared,
        "reason": reason,
    }


def _has_batch_norms(network: Network) -> bool:
    """Whether a weight file holds batch norms, which act on neurons that are not multiplied by them in the file."""
    return any(entry.reason.startswith("batch norm") for entry in network.skipped)


def _lengths(layer: Layer, other: Layer, folded: bool) -> str:
    """Say where neurons changed in length for a reason that is no training, or may have."""
    before, after = layer.matrix, other.matrix
    cosines = torch.nn.functional.cosine_similarity(before, after, dim=1)
    kept = after.any(1) & before.any(1)
    if bool(kept.all()) and float(cosines.min()) > 1 - SAME_DIRECTION:
        return "every neuron kept its direction and changed its length alone, as where a batch norm is folded into it"
    if folded:
        return (
            "one file has batch norms, the other none: lengths of neurons also differ where these were folded"
        )
    return ""


def _spread(layer: Layer, other: Layer, again: Layer, row: dict[str, Any]) -> dict[str, float]:
    """Return the spread from seed to seed of every measure, and the cosine of the two updates."""
    before, one, two = (part.weight.detach().double() for part in (layer, other, again))
    learned, _ = learned_directions(layer.matrix, layer.init_variance)
    second = measure_update(layer.weight, two, learned, layer.groups > 1)
    spread = {f"{name}_spread": abs(row[name] - second[name]) / math.sqrt(2) for name in REFERRED}
    apart = float((one - two).norm()) / (math.sqrt(2) * float(before.norm()))
    lengths = float((one - before).norm() * (two - before).norm())
    cosine = float(((one - before) * (two - before)).sum()) / lengths if lengths else math.nan
    return {"relative_change_spread": apart, **spread, "update_cosine": cosine}

"""Which conditions teach the same, layer by layer?

`atlas` compares every two networks of a population (`covalign.studies.comparison.measure.compare`) and condenses
what it finds to conditions: Q with its interval over seeds, a clustering and a plane, tests of every axis by
exchanging networks, classes, and who contains whom. No weights and no images are kept.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from covalign.data.images import Images
from covalign.encoding.debiased.exchange import DRAWS
from covalign.errors import InputError
from covalign.progress import Told, untold
from covalign.report.columns import frame
from covalign.studies.atlas.agreements import LayerAgreements, layer_agreements
from covalign.studies.atlas.arrangement import Tree, plane, similarities, tree, turned
from covalign.studies.atlas.classes import axes_of, classes_of
from covalign.studies.atlas.columns import (
    AxisRow,
    ClassRow,
    ContainmentRow,
    NetworkRow,
    PlaceRow,
    ValueRow,
)
from covalign.studies.atlas.containment import containment_rows
from covalign.studies.atlas.record import Atlas
from covalign.studies.comparison.measure import compare
from covalign.studies.comparison.record import Comparison
from covalign.studies.pairing import Choice
from covalign.studies.streaming import MEMORY_BUDGET
from covalign.studies.subjects import Source, subjects


def atlas(
    networks: Sequence[Source] | Mapping[str, Source],
    images: Images,
    by: Mapping[str, str] | Sequence[str] | str = "training",
    layers: Choice | None = None,
    *,
    places: Mapping[str, Mapping[str, str]] | None = None,
    missing: Sequence[str] = (),
    max_images: int | None = 2_000,
    draws: int = DRAWS,
    seed: int = 0,
    curves: bool = True,
    reference: bool = False,
    memory: int = MEMORY_BUDGET,
    workers: int = 1,
    scheduler: str | None = None,
    cache: str | Path | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Told = untold,
) -> Atlas:
    """Map the conditions of a population: which teach the same, at which depth, told by how many seeds?

    Args:
        networks: at least two conditions of networks, runs, modules or paths; a mapping gives them names.
        images: what the alignments are fitted to, raw pixels; no labels are used.
        by: the condition of every network, as `compare` takes it.
        layers: see `covalign.studies.pairing.match_layers`.
        places: by condition, its value on every axis that varies (``{"x": {"images": "a", "labels": "true"}}``),
            as `covalign.Population.places` has it; without it conditions are one axis.
        missing: names of networks that should be there; the page says so.
        max_images: at most this many, drawn with ``seed``.
        draws: random exchanges of networks where there are too many to look at all.
        seed: of everything random.
        curves: also measure shared variance direction by direction, without which who contains whom is not known.
        reference: align every network to what all have in common, as `compare` does.
        memory: bytes that alignments may hold at a time.
        workers, scheduler: where pairs are compared, as `compare` has it.
        cache: folder in which compared pairs are kept and found again, as `compare` has it.
        provenance: kept with the results.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: fewer than two conditions, and what `compare` raises.

    Example:
        Three conditions of two networks each, of one layer. The networks of "a" and "again" learned the same four
        directions of 27, so that Q is 1; those of "b" four orthogonal ones, which makes it -4 / 23:

        >>> import torch
        >>> from covalign import load_images, load_network
        >>> _ = torch.manual_seed(0)
        >>> some, others = torch.linalg.qr(torch.randn(27, 8)).Q.T.split(4)
        >>> def network(directions):
        ...     module = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3))
        ...     module[0].weight.data = (torch.randn(64, 4) @ directions).view(64, 3, 3, 3)
        ...     return load_network(module, normalization="none")
        >>> taught = {"a": some, "again": some, "b": others}
        >>> networks = {f"{name} {seed}": network(taught[name]) for name in taught for seed in range(2)}
        >>> images = load_images((torch.zeros(40, 3, 8, 8, dtype=torch.uint8), torch.arange(40) % 2))
        >>> found = atlas(networks, images, {name: name[:-2] for name in networks}, curves=False)
        >>> found.table[["condition_a", "condition_b", "q"]].round(1).values.tolist()
        [['a', 'again', 1.0], ['a', 'b', -0.2], ['again', 'b', -0.2]]
    """
    opened = subjects(networks)
    comparison = compare(
        opened,
        images,
        layers,
        by=by,
        max_images=max_images,
        seed=seed,
        controls=False,
        calibrate=False,
        curves=curves,
        layer_map=False,
        reference=reference,
        memory=memory,
        workers=workers,
        scheduler=scheduler,
        cache=cache,
        provenance=provenance,
        progress=progress,
    )
    seeds = {each.name: each.run.spec.seed for each in opened if each.run is not None}
    return atlas_of(comparison, places, seeds=seeds, missing=missing, draws=draws, seed=seed)


def atlas_of(
    comparison: Comparison,
    places: Mapping[str, Mapping[str, str]] | None = None,
    *,
    seeds: Mapping[str, int] | None = None,
    missing: Sequence[str] = (),
    draws: int = DRAWS,
    seed: int = 0,
) -> Atlas:
    """Condense a comparison whose networks have conditions; arguments as of `atlas`.

    Args:
        comparison: of all networks, with ``by``.
        places: by condition, its value on every axis.
        seeds: of trainings, by network.
        missing: names of networks that should be there.
        draws: random exchanges.
        seed: of these.

    Raises:
        InputError: fewer than two conditions, or no layer with a value.
    """
    named = comparison.conditions
    names = tuple(dict.fromkeys(named.values()))
    if len(names) < 2:
        raise InputError(f"atlas: got {len(names)} condition, expected at least two")
    there = {name: dict((places or {}).get(name, {})) for name in names}
    agreements = list(layer_agreements(comparison.table, comparison.curves, list(named)))
    if not agreements:
        raise InputError(
            "atlas: no layer of any two networks has a value: their hidden layers were not aligned, or learned too "
            "little; give --images, or networks that were trained for longer"
        )
    conditions = list(named.values())
    table = comparison.by_condition
    found = classes_of(agreements, axes_of(there), conditions, table, draws=draws, seed=seed)
    return Atlas(
        table=table,
        axes=frame(found.axes, AxisRow),
        values=frame(found.values, ValueRow),
        classes=frame(found.classes, ClassRow),
        containment=frame(containment_rows(agreements, conditions), ContainmentRow),
        networks=frame(_networks(comparison, seeds or {}), NetworkRow),
        plane=frame(_plane(agreements, named), PlaceRow),
        trees=_trees(table, names, agreements),
        places=there,
        missing=tuple(missing),
        provenance=comparison.provenance,
    )


def _networks(comparison: Comparison, seeds: Mapping[str, int]) -> list[NetworkRow]:
    rows = []
    for name, condition in comparison.conditions.items():
        history = comparison.training.get(name, [])
        last = history[-1] if history else {}
        test = next(
            (row["test_accuracy"] for row in reversed(history) if row.get("test_accuracy") is not None), None
        )
        known = {
            "train_accuracy": last.get("train_accuracy"),
            "test_accuracy": test,
            "epochs": last.get("epoch"),
        }
        stated = {key: float(value) for key, value in known.items() if value is not None}
        rows.append(NetworkRow(name, condition, seed=str(seeds.get(name, "")), **stated))
    return rows


def _plane(agreements: Sequence[LayerAgreements], named: Mapping[str, str]) -> list[PlaceRow]:
    planes = turned([plane(each.agreement) for each in agreements])
    return [
        PlaceRow(name, condition, layer.layer, layer.depth, x, y, each.shown)
        for layer, each in zip(agreements, planes, strict=True)
        for (name, condition), (x, y) in zip(named.items(), each.places.tolist(), strict=True)
    ]


def _trees(
    table: pd.DataFrame, names: Sequence[str], agreements: Sequence[LayerAgreements]
) -> dict[int, Tree]:
    return {each.depth: tree(similarities(table[table["depth"] == each.depth], names)) for each in agreements}

"""Was one network derived from the other?

Every pair of networks is judged by its weights (`covalign.studies.lineage.weights`); where these are unrelated
and images are given, by what both learned (`covalign.studies.comparison`). The verdict is that of the first two;
further networks are evidence on it, as initial weights are that a training stored.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from covalign.data.images import Images
from covalign.encoding.lineage.order import DRAWS, FEWEST
from covalign.encoding.lineage.trace import LEVEL
from covalign.errors import InputError
from covalign.networks.network import Network
from covalign.progress import Told, untold
from covalign.report.columns import frame
from covalign.studies.lineage.alike import learned_alike
from covalign.studies.lineage.columns import KinRow, TraceRow
from covalign.studies.lineage.record import Lineage
from covalign.studies.lineage.rows import kin_row, trace_rows
from covalign.studies.lineage.third import Place, Third, place, start_of
from covalign.studies.lineage.verdict import Findings, Verdict, verdict
from covalign.studies.lineage.weights import in_file_order, weigh
from covalign.studies.lineage.words import doubts
from covalign.studies.subjects import Source, Subject, subjects


def lineage(
    networks: Sequence[Source] | Mapping[str, Source],
    images: Images | None = None,
    *,
    max_images: int = 2_000,
    draws: int = DRAWS,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
    progress: Told = untold,
) -> Lineage:
    """Judge whether the second network was derived from the first, or how else they are related.

    Args:
        networks: two networks, runs, modules or paths, and any number of others that may be of their family; a
            mapping gives them names.
        images: raw pixels, no labels; they tell whether networks with unrelated weights learned alike.
        max_images: at most this many, drawn with ``seed``.
        draws: most orders of neurons that are drawn for a p-value, at least 999.
        seed: of everything random.
        provenance: kept with the results.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: fewer than two networks, or too few draws.
    """
    if isinstance(networks, str):
        raise InputError(f"lineage: got the text {networks!r}, expected a list of at least two networks")
    opened = subjects(networks)
    if len(opened) < 2:
        raise InputError(f"lineage: got {len(opened)} network, expected at least two")
    if draws < 999 or max_images < 1:
        raise InputError(
            f"lineage: got {draws} draws and {max_images} images, expected at least 999 draws and 1 image; smaller "
            "p-values cannot be told from chance"
        )
    couples = list(itertools.combinations(range(len(opened)), 2))
    found: dict[tuple[int, int], Findings] = {}
    for done, (i, j) in enumerate(couples, 1):
        found[i, j] = weigh(opened[i].network, opened[j].network, draws=draws, seed=seed)
        progress("weights", done / len(couples))
    sample = None if images is None else images.sample(max_images, seed=seed)
    kin: list[KinRow] = []
    traces: list[TraceRow] = []
    cannot: dict[tuple[str, str], tuple[str, ...]] = {}
    for i, j in couples:
        one, two = opened[i], opened[j]
        alike = None
        if sample is not None and verdict(found[i, j], None) in (
            Verdict.INDEPENDENT,
            Verdict.UNDECIDED,
        ):
            alike = learned_alike(one, two, sample, seed)
        said = verdict(found[i, j], alike)
        places = _places(opened, found, (i, j), draws, seed) if said is Verdict.DERIVED else []
        row, said = kin_row(one.name, two.name, found[i, j], said, places)
        kin.append(row)
        traces += trace_rows(one, two, found[i, j])
        cannot[one.name, two.name] = doubts(one.name, two.name, found[i, j], said, places, alike)
    first = kin[0]
    return Lineage(
        verdict=first.verdict,
        p_value=first.p_value,
        layers=frame(traces, TraceRow),
        pairs=frame(kin, KinRow),
        cannot_exclude=cannot[first.a, first.b],
        ancestor=first.ancestor,
        doubts=cannot,
        skipped={each.name: [(part.name, part.reason) for part in each.network.skipped] for each in opened},
        provenance={
            **(provenance or {}),
            "images": None if sample is None else f"{len(sample)} of {sample.name}",
            "draws": draws,
            "level": LEVEL,
            "fewest neurons": FEWEST,
            "seed": seed,
            "networks": [{"name": each.name, **each.network.details} for each in opened],
        },
    )


def _places(
    opened: Sequence[Subject],
    found: Mapping[tuple[int, int], Findings],
    couple: tuple[int, int],
    draws: int,
    seed: int,
) -> list[tuple[Place, str]]:
    """Return what further networks, and stored initial weights, tell of two relatives."""
    if not in_file_order(found[couple]):
        return []
    a, b = (opened[index].network for index in couple)
    thirds = [
        third
        for network, other, which in ((a, b, "a"), (b, a, "b"))
        if (third := start_of(network.name, network.layers, which)) is not None
        and in_file_order(weigh(Network(third.name, third.layers), other, draws=draws, seed=seed))
    ]
    for index, each in enumerate(opened):
        sides = [found[min(index, other), max(index, other)] for other in couple if other != index]
        if index not in couple and all(map(in_file_order, sides)):
            thirds.append(Third(each.name, each.network.layers))
    named = [(place(a.layers, b.layers, third), third.name) for third in thirds]
    return [(where, name) for where, name in named if where is not None]

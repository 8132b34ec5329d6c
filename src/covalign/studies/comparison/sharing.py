"""How are the networks and the pairs of a comparison shared out among processes?

What every network learned by itself is one task, and so is a tile of pairs (`covalign.studies.comparison.couples`): a
few networks against a few others, aligned in one pass of the images and then compared pair by pair. Both give the
same wherever they are carried out, as long as they take as many threads.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any

import torch

from covalign.data.images import Images
from covalign.kernels.threads import taking
from covalign.networks.network import Network
from covalign.progress import Told
from covalign.studies.comparison.couples import Couple, Passes, tiles
from covalign.studies.comparison.known import Known
from covalign.studies.comparison.layers import LayerEncoding, layer_encoding
from covalign.studies.comparison.reference import aligned_in_common
from covalign.studies.comparison.rows import LayerPair, layer_pair
from covalign.studies.comparison.settings import Settings
from covalign.studies.streaming import Fit
from covalign.tasks.executor import CarryOut, Executor, available_cores
from covalign.tasks.outcome import Outcome, Tell, all_found

PIECES = 4
"""Tiles that each process gets, about: the last ones end together."""
SENT = 64
"""Pairs of a tile that is sent to another process, at most: it travels with its networks."""

Encodings = Mapping[tuple[str, str], LayerEncoding]
"""What layers learned by themselves, by names of network and layer."""


@dataclass(frozen=True, eq=False)
class Together:
    """How pairs are measured.

    Attributes:
        images: what alignments are fitted to.
        settings: of the comparison.
        known: where pairs are kept as they are measured.
        threads: of the tensor library.
    """

    images: Images | None
    settings: Settings
    known: Known
    threads: int | None


@dataclass(frozen=True, eq=False)
class Tile:
    """Pairs that are measured by one task.

    Attributes:
        passes: how they are aligned.
        places: of its pairs, in the whole comparison.
        encodings: of their layers.
        fits: the alignments of its only pair, where these are there already.
    """

    passes: Passes
    places: Sequence[int]
    encodings: Encodings
    fits: list[Fit | None] | None = None


def encoded_layers(
    couples: Sequence[Couple], settings: Settings, threads: int | None, carry_out: CarryOut, progress: Told
) -> dict[tuple[str, str], LayerEncoding]:
    """Return what every layer that is compared learned by itself, each once, in the order of first use."""
    networks: dict[str, Network] = {}
    order: dict[tuple[str, str], None] = {}
    for each in couples:
        networks |= {each.first.name: each.first.network, each.second.name: each.second.network}
        order |= {(subject.name, layer.name): None for subject, layer in each.sides}
    names = list(networks)
    items = [(networks[name], [layer for of, layer in order if of == name]) for name in names]
    outcomes = carry_out(_encoded, items, (settings, threads), lambda *_: None)
    told = _told(outcomes, progress, "weight covariances", len(names))
    ended = all_found(told, lambda place: names[place], "networks")
    found = {(names[place], entry.layer.name): entry for place, entries in ended.items() for entry in entries}
    return {  # what comes from another process names a copy of the network
        (name, layer): replace(found[name, layer], network=networks[name], layer=networks[name].layer(layer))
        for name, layer in order
    }


def _encoded(
    common: tuple[Settings, int | None], item: tuple[Network, Sequence[str]], tell: Tell
) -> list[LayerEncoding]:
    (settings, threads), (network, layers) = common, item
    with taking(threads):
        return [
            layer_encoding(network, network.layer(name), draws=settings.draws, seed=settings.seed)
            for name in layers
        ]


def executor_of(workers: int, scheduler: str | None) -> Executor:
    """Return where a comparison is carried out: one process takes the threads it has, several share the cores.

    Raises:
        InputError: fewer workers than one.
    """
    threads = 1 if scheduler is not None else max(1, available_cores() // max(1, workers))
    return Executor(workers, scheduler, threads if scheduler or workers > 1 else torch.get_num_threads())


def _told(outcomes: Iterable[Outcome], progress: Told, stage: str, total: int) -> Iterator[Outcome]:
    for done, outcome in enumerate(outcomes, 1):
        progress(stage, done / total)
        yield outcome


def shared_out(passes: Passes, wanted: Set[int], encodings: Encodings, executor: Executor) -> Iterator[Tile]:
    """Deal the pairs that are wanted into tiles, as many as keep all processes at work.

    Args:
        passes: of all pairs.
        wanted: their places.
        encodings: of all layers.
        executor: where tiles are measured.
    """
    for places in passes.dealt:
        chosen = [place for place in places if place in wanted]
        if not chosen:
            continue
        if not executor.elsewhere:
            yield tile_of(passes, chosen, encodings)
            continue
        at_once = max(1, min(SENT, len(wanted) // (PIECES * executor.workers)))
        for part in tiles([passes.couples[place] for place in chosen], at_once):
            yield tile_of(passes, [chosen[index] for index in part], encodings)


def tile_of(
    passes: Passes,
    places: Sequence[int],
    encodings: Encodings,
    fits: list[Fit | None] | None = None,
) -> Tile:
    """Return a tile of some pairs, with what it takes to measure them and nothing else."""
    own = passes.only(places)
    used = {
        (subject.name, layer.name): encodings[subject.name, layer.name]
        for each in own.couples
        for subject, layer in each.sides
    }
    return Tile(own, places, used, fits)


def in_common(
    passes: Passes, images: Images, wanted: Set[int], encodings: Encodings, progress: Told
) -> Iterator[Tile]:
    """Align pairs through what all networks have in common, and give each to be measured."""
    aligned = aligned_in_common(passes.couples, images, wanted, memory=passes.memory, progress=progress)
    for place, fits in aligned:
        yield tile_of(passes, [place], encodings, fits)


def measured(common: Together, tile: Tile, tell: Tell) -> dict[int, list[LayerPair]]:
    """Align the pairs of a tile, compare them, and keep each; return them by their places.

    It tells ``("alignments", pairs)``, how many are aligned, and ``("similarities", pairs)``, how many are measured.
    """
    with taking(common.threads):
        return dict(_measured(common, tile, tell))


def _measured(common: Together, tile: Tile, tell: Tell) -> Iterator[tuple[int, list[LayerPair]]]:
    def told(stage: str, share: float, note: str = "", /) -> None:
        tell((stage, share * len(tile.places)))

    aligned = [(0, tile.fits)] if tile.fits is not None else tile.passes.fits(common.images, told)
    for done, (index, fits) in enumerate(aligned):
        tell(("similarities", done))
        pair = tile.passes.couples[index]
        layers = _layers(pair, fits, tile.encodings, common.settings)
        common.known.keep(pair, layers)
        yield tile.places[index], layers
        tell(("similarities", done + 1))


def _layers(
    pair: Couple, fits: Sequence[Fit | None], encodings: Encodings, settings: Settings
) -> list[LayerPair]:
    one, other = pair.names
    rows = []
    for match, fit in zip(pair.matches, fits, strict=True):
        a, b = encodings[one, match.layer_a.name], encodings[other, match.layer_b.name]
        rows.append(layer_pair(pair.names, a, b, match, fit, settings))
    return rows


class Heard:
    """Adds up what tiles tell, and says how far the whole comparison is."""

    def __init__(self, progress: Told, known: int, total: int) -> None:
        self.progress = progress
        self.known, self.total = known, total
        self.done: dict[str, dict[int, float]] = {}

    def __call__(self, place: int, told: Any) -> None:
        """Hear from the tile at a place."""
        stage, pairs = told
        of = self.done.setdefault(stage, {})
        of[place] = max(pairs, of.get(place, 0.0))
        self.progress(stage, min(1.0, (self.known + sum(of.values())) / self.total))

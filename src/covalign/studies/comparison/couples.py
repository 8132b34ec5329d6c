"""Which layers of which two networks correspond, and in which order are many pairs of networks aligned?

An alignment costs a pass of the images through both networks, and a cross-moment that must be held meanwhile. All
pairs of many networks do not fit the memory at once: they are dealt into tiles, a few networks against a few others,
as large as the memory allows, so that a pass through m networks serves m^2 / 4 pairs. One tile is aligned at a time,
and its alignments are let go of as they are used.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from covalign.data.images import Images
from covalign.networks.network import Layer
from covalign.progress import Told
from covalign.studies.coordinates import head_remarks, image_remarks, known_rotation
from covalign.studies.pairing import Choice, Match, match_layers
from covalign.studies.streaming import Fit, Link, fit_alignments, fitting_batch, moment_budget, moment_bytes
from covalign.studies.subjects import Subject


@dataclass(frozen=True, eq=False)
class Couple:
    """Two networks and their layers that correspond.

    Attributes:
        first, second: the networks.
        matches: their layers.
        links: what is aligned for each match.
    """

    first: Subject
    second: Subject
    matches: tuple[Match, ...]
    links: tuple[Link, ...]

    @property
    def names(self) -> tuple[str, str]:
        """Names of both networks."""
        return self.first.name, self.second.name

    @property
    def sides(self) -> Iterator[tuple[Subject, Layer]]:
        """Both layers of each match, each with the network that it is of."""
        for match in self.matches:
            yield self.first, match.layer_a
            yield self.second, match.layer_b

    @property
    def runs(self) -> bool:
        """Whether both networks have a forward pass, without which nothing is aligned on images."""
        return self.first.network.source is not None and self.second.network.source is not None


def couple(first: Subject, second: Subject, layers: Choice | None, images: Images | None) -> Couple:
    """Match the layers of two networks (`covalign.studies.pairing.match_layers`)."""
    a, b = first.network, second.network
    matches = match_layers(a, b, layers, None if images is None else max(images.pixels.shape[2:]))
    remarks = (
        ()
        if images is None
        else tuple(
            dict.fromkeys(remark for network in (a, b) for remark in image_remarks(network, images.pixels))
        )
    )
    links = []
    for match in matches:
        known, of_coordinates = known_rotation(a, match.layer_a, b, match.layer_b)
        said = (*of_coordinates, *head_remarks(a, match.layer_a, b, match.layer_b), *remarks)
        links.append(Link(a, match.layer_a, b, match.layer_b, known, said))
    return Couple(first, second, tuple(matches), tuple(links))


def tiles(couples: Sequence[Couple], at_once: int) -> list[list[int]]:
    """Deal pairs of networks into tiles.

    Args:
        couples: pairs of networks.
        at_once: how many of them a tile may hold.

    Returns:
        The places of the pairs, tile by tile: networks are dealt in order into blocks of the square root of
        ``at_once``, and a tile holds the pairs of one block with another, or with itself.
    """
    side = max(1, math.isqrt(at_once))
    order: dict[int, int] = {}
    for each in couples:
        for subject in (each.first, each.second):
            order.setdefault(id(subject), len(order))

    def tile(place: int) -> tuple[int, int]:
        return order[id(couples[place].first)] // side, order[id(couples[place].second)] // side

    places = sorted(range(len(couples)), key=tile)
    return [list(group) for _, group in itertools.groupby(places, key=tile)]


@dataclass(frozen=True, eq=False)
class Passes:
    """How pairs of networks are aligned: in tiles, so many images at once.

    Attributes:
        couples: pairs of networks.
        control: whether alignments are also fitted to pairs of different images.
        memory: bytes held at a time.
        tiles: places of the pairs, tile by tile; those that cannot be aligned are in none.
        batch: images a pass, the same for all pairs whichever of them are wanted: controls depend on it.
    """

    couples: Sequence[Couple]
    control: bool
    memory: int
    tiles: Sequence[Sequence[int]]
    batch: int

    @classmethod
    def of(cls, couples: Sequence[Couple], images: Images | None, *, control: bool, memory: int) -> "Passes":
        """Deal pairs into tiles that fit the memory."""
        runnable = [place for place, each in enumerate(couples) if each.runs]
        if images is None or not runnable:
            return cls(couples, control, memory, (), 0)
        largest = max(sum(map(moment_bytes, couples[place].links)) for place in runnable)
        dealt = tiles([couples[place] for place in runnable], moment_budget(memory, control) // largest)
        tiled = [[runnable[index] for index in tile] for tile in dealt]
        batch = min(
            fitting_batch([link for place in tile for link in couples[place].links], images, memory // 2)
            for tile in tiled
        )
        return cls(couples, control, memory, tiled, batch)

    @property
    def dealt(self) -> list[list[int]]:
        """Places of all pairs, tile by tile; first those that cannot be aligned, a tile for each."""
        tiled = {place for tile in self.tiles for place in tile}
        bare = [[place] for place in range(len(self.couples)) if place not in tiled]
        return [*bare, *map(list, self.tiles)]

    def only(self, places: Sequence[int]) -> "Passes":
        """Return how some pairs of one tile are aligned; they are numbered anew, in this order."""
        couples = [self.couples[place] for place in places]
        tiled = any(places[0] in tile for tile in self.tiles)
        return replace(self, couples=couples, tiles=[range(len(couples))] if tiled else ())

    def fits(self, images: Images | None, progress: Told) -> Iterator[tuple[int, list[Fit | None]]]:
        """Align the pairs of one tile, one after the other.

        Args:
            images: raw pixels.
            progress: told the share of all alignments that is done.

        Yields:
            The place of a pair, and a fit for each of its links; None where a layer cannot be aligned.
        """
        links = [[link.turned for link in each.links] for each in self.couples]
        if images is None or not self.tiles:
            yield from ((place, [link.unfitted for link in each]) for place, each in enumerate(links))
            return
        fits = fit_alignments(
            [link for each in links for link in each],
            images,
            control=self.control,
            batch_size=self.batch,
            memory=self.memory,
            progress=progress,
        )
        for place, each in enumerate(links):
            yield place, [next(fits) for _ in each]

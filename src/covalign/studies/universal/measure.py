"""Of what are these networks samples? From trainings to a universal encoding.

Members are brought into common coordinates by their layer inputs, never by their weights. In them, layer by layer:
the barycenter of their weight covariances, the directions that they share with its nulls, and the universality score.
Then a network is drawn from the encoding itself, and everything is carried into the coordinates of its inputs.

Conditions count alike, whatever their numbers of members.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.normalization import normalization
from covalign.encoding.debiased.coordinates import layer as unit_layer
from covalign.encoding.debiased.kernels import channel_features
from covalign.encoding.debiased.statistics import NEURONS, between
from covalign.encoding.universal.barycenter import bures_barycenter
from covalign.encoding.universal.basis import CommonBasis
from covalign.encoding.universal.score import universality_score
from covalign.encoding.universal.sharing import (
    RANKS,
    Sharing,
    leading_directions,
    sharing,
    turned_at_random,
)
from covalign.errors import InputError
from covalign.networks.readers.opening import read_network
from covalign.progress import Told, untold
from covalign.storage.streams import stream
from covalign.studies.comparison.conditions import BY_TRAINING, conditions_of
from covalign.studies.streaming import layer_inputs
from covalign.studies.structure import hidden_layers
from covalign.studies.subjects import Source, subjects
from covalign.studies.universal.columns import LayerRow, MemberRow
from covalign.studies.universal.filling import Target, fill
from covalign.studies.universal.members import Population, bases, met, population
from covalign.studies.universal.record import EncodedLayer, Reference, UniversalEncoding, narrowed
from covalign.training.run import Run, build
from covalign.training.spec import TrainingSpec

KEPT = 0.999
"""Share of the barycenter's trace that its stored factor keeps; our choice."""

PUBLIC_DOMAIN = "public domain (the photographs that come with covalign)"


def universal_encoding(
    networks: Sequence[Source] | Mapping[str, Source],
    images: Images | None = None,
    *,
    by: Mapping[str, str] | Sequence[str] | str = BY_TRAINING,
    max_images: int = 500,
    ranks: int = RANKS,
    seed: int = 0,
    licences: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Told = untold,
) -> UniversalEncoding:
    """Build the universal encoding of a population.

    Args:
        networks: finished trainings of one architecture (widths may differ); one alone gives its own encoding,
        without
            anything shared.
        images: what members are aligned on, no labels are used; the embedded photographs by default.
        by: condition of every network; what its training states by default.
        max_images: at most this many, drawn with ``seed``.
        ranks: directions at most that are followed.
        seed: of everything random.
        licences: terms of data sets by name, for the card.
        provenance: kept on the card.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: networks that make no population, or images that they cannot take.
    """
    opened = subjects(networks)
    if not opened:
        raise InputError("universal build: got no network, expected at least one training")
    found = population(opened, conditions_of(opened, by))
    sample = (load_images("photos") if images is None else images).sample(max_images, seed=seed)
    common = bases(found, sample, progress)
    parts, rows = [], []
    for index, basis in enumerate(common):
        part, row = encoded_layer(found, index, basis, ranks, seed)
        parts.append(part)
        rows.append(row)
        progress("layers of the encoding", (index + 1) / len(common))
    reference, rotations = drawn_reference(found, parts, common, sample, seed, progress)
    layers = tuple(carried(part, rotation) for part, rotation in zip(parts, rotations, strict=True))
    members = tuple(_member(run, name, each.name) for run, name, each in _named(found))
    card = _card(found, sample, max_images, seed, licences or {}, provenance or {})
    return UniversalEncoding(layers, tuple(rows), members, reference, card)


def encoded_layer(
    found: Population, index: int, basis: CommonBasis, ranks: int, seed: int
) -> tuple[EncodedLayer, LayerRow]:
    """Return what the members have in common at one layer, in common coordinates."""
    layers = found.layers[index]
    first = layers[found.widest]
    kernel = (first.weight.shape[2], first.weight.shape[3])
    members = [
        Member(layer.matrix, layer.initial, rotation, kernel[0] * kernel[1], 1 / (3 * layer.dimension))
        for layer, rotation in zip(layers, basis.rotations, strict=True)
    ]
    mean = bures_barycenter([member.factor for member in members], _weights(found.conditions), tolerance=1e-7)
    share = mean.factor.square().sum(0).cumsum(0) / mean.factor.square().sum()
    factor = mean.factor[:, : int((share < KEPT).sum()) + 1]
    rows = [member.rows for member in members]
    places = members[0].places
    cross = cross_averages(members, found)
    shared = _sharings(members, rows, places, ranks, seed)
    d = len(factor)
    directions = leading_directions(rows, min(ranks, d, sum(map(len, rows))))[1]
    score = universality_score(cross, found.conditions)
    traces = [float(member.factor.square().sum()) for member in members]
    weights = _weights(found.conditions)
    average = sum(w * trace for w, trace in zip(weights, traces, strict=True))
    actual, rotated, untrained = shared
    part = EncodedLayer(
        first.name,
        first.form,
        first.channels,
        kernel,
        factor,
        directions,
        *_curves(actual, rotated, untrained, len(members)),
        cross,
    )
    row = LayerRow(
        layer=first.name,
        form=first.form,
        d=d,
        neurons=sum(map(len, rows)),
        rank=factor.shape[1],
        agreement=basis.agreement,
        score=score.value,
        low=score.low,
        high=score.high,
        explained=_explained(actual),
        explained_rotated=_explained(rotated, actual),
        explained_untrained=_explained(untrained, actual),
        shared_rank=_rank(actual),
        shared_rank_rotated=_rank(rotated),
        shared_rank_untrained=_rank(untrained),
        trace_ratio=float(mean.factor.square().sum()) / average,
        reason=score.reason.value,
    )
    return part, row


@dataclass(frozen=True, eq=False)
class Member:
    """One network's layer in common coordinates.

    Attributes:
        matrix: W ``[n, c_i s]``.
        initial: the weights before training; None where not known.
        rotation: A_i ``[c, c_i]``.
        places: s.
        variance: of the initial weights.
    """

    matrix: Float64[Tensor, "n d_i"]
    initial: Tensor | None
    rotation: Float64[Tensor, "c c_i"]
    places: int
    variance: float

    @property
    def factor(self) -> Float64[Tensor, "d n"]:
        """F with F F^T = W^T W / (n sigma^2), carried into common coordinates."""
        scale = (len(self.matrix) * self.variance) ** 0.5
        columns: Tensor = (self._carried(self.matrix) / scale).T
        return columns

    @property
    def rows(self) -> Float64[Tensor, "n d"]:
        """Neurons of unit length; those that are zero are dropped."""
        return unit_layer(self._carried(self.matrix), "rows", self.places).rows

    @property
    def untrained(self) -> Float64[Tensor, "n d"] | None:
        """Neurons of unit length before training, carried by the same alignment."""
        if self.initial is None:
            return None
        before = self.initial.detach().double().flatten(1)
        return unit_layer(self._carried(before), "rows", self.places).rows

    def _carried(self, rows: Float64[Tensor, "n d_i"]) -> Float64[Tensor, "n d"]:
        blocks = rows.reshape(len(rows), -1, self.places)
        return torch.einsum("nks,ck->ncs", blocks, self.rotation).flatten(1)


def cross_averages(members: Sequence[Member], found: Population) -> Float64[Tensor, "m m"]:
    """Return U_12 of all pairs; NaN for those that started from the same weights, and on the diagonal."""
    features = [channel_features(m.rows.reshape(-1, len(m.rotation), m.places)) for m in members]
    cross = torch.full((len(members), len(members)), torch.nan, dtype=torch.float64)
    for i in range(len(members)):
        for j in range(i):
            if not _same_start(found.runs[i], found.runs[j]):
                cross[i, j] = cross[j, i] = between(features[i], features[j]).mean
    return cross


def drawn_reference(
    found: Population,
    parts: Sequence[EncodedLayer],
    common: Sequence[CommonBasis],
    images: Images,
    seed: int,
    progress: Told,
) -> tuple[Reference, list[Tensor]]:
    """Draw a network from the encoding, aligned to the members' mean inputs, and return it with its alignments."""
    wide = found.runs[found.widest]
    spec = TrainingSpec.of({**_built(wide.spec), "seed": seed})
    bank = found.networks[found.widest].filters
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=stream(seed, "reference"))))
        module = build(spec, 1, bank).eval()
    network = read_network(module, name="reference", normalization=normalization(spec.normalization))
    layers = hidden_layers(network)

    def coordinates(index: int, pixels: Tensor) -> Tensor:
        wanted = [(n, found.layers[index][i]) for i, n in enumerate(found.networks)]
        inputs = layer_inputs(wanted, pixels)
        maps = met([inputs[id(n), layer.name] for n, layer in wanted])
        total = sum(
            torch.einsum("nc...,kc->nk...", each / each.square().mean().sqrt(), a.float())
            for each, a in zip(maps, common[index].rotations, strict=True)
        )
        assert isinstance(total, Tensor)
        mean: Tensor = total / len(maps)
        return mean

    target = Target(module, network, layers, tuple(range(len(layers))), own_first=True)
    _, rotations = fill(target, parts, coordinates, images.pixels, images.pixels, seed, progress)
    weights = {name: narrowed(value) for name, value in module.state_dict().items()}
    return Reference(_built(spec), weights, None if bank is None else bank.filters), rotations


def carried(part: EncodedLayer, rotation: Float64[Tensor, "c c_ref"]) -> EncodedLayer:
    """Return an encoded layer in the coordinates of the reference's inputs, (A^T x I) K, in half precision."""

    def turned(columns: Tensor) -> Tensor:
        blocks = columns.double().reshape(part.channels, -1)
        return narrowed((rotation.T @ blocks).reshape(len(columns), -1))

    values = {name: getattr(part, name) for name in part.__dataclass_fields__}
    return EncodedLayer(**{**values, "factor": turned(part.factor), "directions": turned(part.directions)})


def _sharings(
    members: Sequence[Member], rows: Sequence[Tensor], places: int, ranks: int, seed: int
) -> tuple[Sharing | None, Sharing | None, Sharing | None]:
    """Return how directions are shared by the members, by members turned at random, and by untrained ones."""
    if len(rows) < 2 or min(map(len, rows)) < NEURONS or members[0].rotation.shape[0] < 2:
        return None, None, None
    generator = stream(seed, "turned at random")
    turned = [turned_at_random(each, places, generator) for each in rows]
    before = [member.untrained for member in members]
    untrained = (
        None if any(each is None for each in before) else [each for each in before if each is not None]
    )
    actual, rotated = (sharing(each, places=places, ranks=ranks, seed=seed) for each in (rows, turned))
    return (
        actual,
        rotated,
        None if untrained is None else sharing(untrained, places=places, ranks=ranks, seed=seed),
    )


def _curves(
    actual: Sharing | None, rotated: Sharing | None, untrained: Sharing | None, members: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    if actual is None or rotated is None:
        nothing = torch.zeros(0, dtype=torch.float64)
        return nothing, nothing.expand(members, 0), nothing.expand(members, 0), nothing, nothing, nothing
    before = torch.full_like(actual.shared, torch.nan) if untrained is None else untrained.shared
    return actual.variances, actual.captured, actual.own, actual.shared, rotated.shared, before


def _explained(found: Sharing | None, of: Sharing | None = None) -> float:
    return float("nan") if found is None else float(found.explained(of=of).mean())


def _rank(found: Sharing | None) -> int:
    return -1 if found is None else found.shared_rank


def _weights(conditions: Sequence[str]) -> list[float]:
    """Return one weight a network, so that all conditions weigh the same."""
    return [1 / (len(set(conditions)) * conditions.count(each)) for each in conditions]


def _same_start(one: Run, other: Run) -> bool:
    """Whether two trainings drew the same initial weights: the seed decides them, given the architecture."""
    return one.spec.seed == other.spec.seed and _built(one.spec) == _built(other.spec)


ARCHITECTURE = ("architecture", "form", "width", "kernel_size", "head", "norm", "in_channels", "first_stride")


def _built(spec: TrainingSpec) -> dict[str, Any]:
    """Return what a network is built by, and how its pixels are normalized."""
    values = asdict(spec)
    return {name: values[name] for name in (*ARCHITECTURE, "normalization")}


def _named(found: Population) -> list[tuple[Run, str, Any]]:
    return list(zip(found.runs, found.conditions, found.subjects, strict=True))


def _member(run: Run, condition: str, name: str) -> MemberRow:
    last = run.history[-1] if run.history else None
    test = None if last is None else last.test_accuracy
    accuracy = float("nan") if last is None else last.train_accuracy if test is None else test
    return MemberRow(
        name,
        _plain(condition),
        run.key,
        run.spec.seed,
        run.facts.training_images,
        len(run.history),
        accuracy,
    )


def _plain(condition: str) -> str:
    """Return a condition without the folders that lead to its images."""
    images, _, labels = condition.partition(", ")
    name = images.replace("\\", "/").rstrip("/").rpartition("/")[2] or images
    return f"{name}, {labels}" if labels else name


def _card(
    found: Population,
    images: Images,
    max_images: int,
    seed: int,
    licences: Mapping[str, str],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return where an encoding comes from and what terms hold."""
    sets = sorted({run.facts.images for run in found.runs} | {images.name})
    recipe = asdict(found.runs[0].spec)
    return {
        "data": {
            name: {
                "licence": licences.get(name, PUBLIC_DOMAIN if name.startswith("photos") else "not stated"),
                "fingerprints": sorted({r.facts.fingerprint for r in found.runs if r.facts.images == name}),
            }
            for name in sets
        },
        "aligned_on": {"name": images.name, "split": images.split, "count": len(images)},
        "recipe": {
            name: value for name, value in recipe.items() if name not in ("images", "seed", "filters")
        },
        "options": {"max_images": max_images, "seed": seed},
        "coordinates": "inputs of a reference network that was drawn from the encoding itself; no images are kept",
        "provenance": dict(provenance),
    }

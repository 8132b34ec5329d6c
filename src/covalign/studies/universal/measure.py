"""Of what are these networks samples? From trainings to a universal encoding.

Members are brought into common coordinates by their layer inputs, never by their weights. In them, layer by layer:
the barycenter of their weight covariances, the directions that they share with its nulls, and the universality score.
Then a network is drawn from the encoding itself, and everything is carried into the coordinates of its inputs.

Conditions count alike, whatever their numbers of members.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.data.loading import load_images
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
from covalign.progress import Told, untold
from covalign.storage.streams import stream
from covalign.studies.comparison.conditions import BY_TRAINING, conditions_of
from covalign.studies.subjects import Source, subjects
from covalign.studies.universal.card import card, member_rows
from covalign.studies.universal.columns import LayerRow
from covalign.studies.universal.filling import check_count
from covalign.studies.universal.member_layer import MemberLayer
from covalign.studies.universal.members import Population, bases, population
from covalign.studies.universal.record import EncodedLayer, UniversalEncoding
from covalign.studies.universal.reference import built, carried, drawn_reference
from covalign.training.run import Run

ARRIVED = 1e-5
"""Relative change at which a barycenter is taken as found; files keep half precision, 5e-4. Our choice."""

KEPT = 0.999
"""Share of the barycenter's trace that its stored factor keeps; the rest is spread evenly. Our choice."""


def universal_encoding(
    networks: Sequence[Source] | Mapping[str, Source],
    images: Images | None = None,
    *,
    by: Mapping[str, str] | Sequence[str] | str = BY_TRAINING,
    max_images: int = 500,
    ranks: int = RANKS,
    columns: int | None = None,
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
        columns: of each covariance that are stored at most; the rest is one number, of all coordinates alike. Fewer
            make the file smaller.
        seed: of everything random.
        licences: terms of data sets by name, for the card.
        provenance: kept on the card.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: networks that make no population, images that they cannot take, or fewer columns than one.
    """
    if columns is not None and columns < 1:
        raise InputError(f"columns: got {columns}, expected at least 1")
    opened = subjects(networks)
    if not opened:
        raise InputError("universal build: got no network, expected at least one training")
    found = population(opened, conditions_of(opened, by))
    sample = (load_images("photos") if images is None else images).sample(max_images, seed=seed)
    check_count(len(sample))
    common = bases(found, sample, progress)
    parts, rows = [], []
    for index, basis in enumerate(common):
        part, row = encoded_layer(found, index, basis, ranks, seed, columns)
        parts.append(part)
        rows.append(row)
        progress("layers of the encoding", (index + 1) / len(common))
    reference, rotations = drawn_reference(found, parts, common, sample, seed, progress)
    layers = tuple(carried(part, rotation) for part, rotation in zip(parts, rotations, strict=True))
    options = {"max_images": max_images, "columns": columns, "seed": seed}
    origin = card(found, sample, options, licences or {}, provenance or {})
    return UniversalEncoding(layers, tuple(rows), member_rows(found), reference, origin)


def encoded_layer(
    found: Population, index: int, basis: CommonBasis, ranks: int, seed: int, columns: int | None = None
) -> tuple[EncodedLayer, LayerRow]:
    """Return what the members have in common at one layer, in common coordinates."""
    layers = found.layers[index]
    first = layers[found.widest]
    kernel = (first.weight.shape[2], first.weight.shape[3])
    members = [
        MemberLayer(layer.matrix, layer.initial, rotation, kernel[0] * kernel[1], 1 / (3 * layer.dimension))
        for layer, rotation in zip(layers, basis.rotations, strict=True)
    ]
    mean = bures_barycenter(
        [member.factor for member in members], _weights(found.conditions), tolerance=ARRIVED
    )
    factor, rest = shortened(mean.factor, columns)
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
        rest,
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
        explained_rotated=_explained(rotated),
        explained_untrained=_explained(untrained),
        shared_rank=_rank(actual),
        shared_rank_rotated=_rank(rotated),
        shared_rank_untrained=_rank(untrained),
        trace_ratio=float(mean.factor.square().sum()) / average,
        reason=score.reason.value,
    )
    return part, row


def shortened(factor: Float64[Tensor, "d r"], columns: int | None) -> tuple[Float64[Tensor, "d q"], float]:
    """Return leading columns, at most so many, and the variance that the rest has per coordinate."""
    squares = factor.square().sum(0)
    count = min(columns or len(squares), int((squares.cumsum(0) < KEPT * squares.sum()).sum()) + 1)
    return factor[:, :count], float(squares[count:].sum()) / len(factor)


def cross_averages(members: Sequence[MemberLayer], found: Population) -> Float64[Tensor, "m m"]:
    """Return U_12 of all pairs; NaN for those that started from the same weights, and on the diagonal."""
    features = [channel_features(m.rows.reshape(-1, len(m.rotation), m.places)) for m in members]
    cross = torch.full((len(members), len(members)), torch.nan, dtype=torch.float64)
    for i in range(len(members)):
        for j in range(i):
            if not _same_start(found.runs[i], found.runs[j]):
                cross[i, j] = cross[j, i] = between(features[i], features[j]).mean
    return cross


def _sharings(
    members: Sequence[MemberLayer], rows: Sequence[Tensor], places: int, ranks: int, seed: int
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
    return actual.variances, actual.captured, actual.most, actual.shared, rotated.shared, before


def _explained(found: Sharing | None) -> float:
    return float("nan") if found is None else float(found.explained().mean())


def _rank(found: Sharing | None) -> int:
    return -1 if found is None else found.shared_rank


def _weights(conditions: Sequence[str]) -> list[float]:
    """Return one weight a network, so that all conditions weigh the same."""
    return [1 / (len(set(conditions)) * conditions.count(each)) for each in conditions]


def _same_start(one: Run, other: Run) -> bool:
    """Whether two trainings drew the same initial weights: the seed decides them, given the architecture."""
    return one.spec.seed == other.spec.seed and built(one.spec) == built(other.spec)

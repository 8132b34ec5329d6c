"""What did a set of networks learn in common, layer by layer?

`compare` is the whole road from networks and images to a table: layers are paired, alignments fitted on the
images, weight covariances estimated, carried into common coordinates, cleaned of noise and compared. The
narrower network of a pair is always mapped into the wider one. `Comparison` holds the numbers and nothing
of how they are drawn.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from covalign.data.images import Images
from covalign.encoding.alignment import Alignment
from covalign.encoding.similarity import eigenvector_cosines
from covalign.encoding.spatial import SpatialCovariance, spatial_covariance
from covalign.errors import InputError
from covalign.networks.network import Network
from covalign.progress import Told, untold
from covalign.report.columns import frame
from covalign.studies.comparison.columns import LayerRow, PairRow
from covalign.studies.comparison.conditions import conditions_of
from covalign.studies.comparison.layers import LayerEncoding, layer_encoding, layer_row
from covalign.studies.comparison.record import Comparison
from covalign.studies.comparison.rows import carried, map_ranks, obstacle, pair_row
from covalign.studies.coordinates import image_remarks, known_rotation
from covalign.studies.pairing import Choice, Match, match_layers
from covalign.studies.streaming import MEMORY_BUDGET, Fit, Link, fit_alignments
from covalign.studies.subjects import Source, Subject, subjects


def align(
    network_a: Source,
    network_b: Source,
    images: Images,
    layers: Choice | None = None,
    *,
    holdout: int = 5,
    shuffled: bool = False,
) -> dict[str, Alignment]:
    """Align the inputs of corresponding layers; network a is mapped into network b.

    Args:
        network_a, network_b: what `compare` takes.
        images: raw pixels, passed through both networks.
        layers: see `covalign.studies.pairing.match_layers`.
        holdout: every ``holdout``-th image is kept for ``.correlation``.
        shuffled: give the control instead, fitted to pairs of different images.

    Returns:
        One alignment per layer, by the layer's name in network a. The first layers see the images
        themselves: their alignment is known where normalization and frozen filters agree.
    """
    a, b = (each.network for each in subjects([network_a, network_b]))
    matches = match_layers(a, b, layers, _side(images))
    links = [_link(a, match, b, images) for match in matches]
    fits = fit_alignments(links, images, holdout=holdout, control=shuffled)
    return {
        link.layer_a.name: (fit.shuffled if shuffled and fit.shuffled else fit.alignment)
        for link, fit in zip(links, fits, strict=True)
    }


def compare(
    networks: Sequence[Source] | Mapping[str, Source],
    images: Images | None,
    layers: Choice | None = None,
    *,
    by: Mapping[str, str] | Sequence[str] | str | None = None,
    max_images: int | None = 10_000,
    draws: int = 10,
    seed: int = 0,
    controls: bool = True,
    calibrate: bool = True,
    memory: int = MEMORY_BUDGET,
    provenance: Mapping[str, Any] | None = None,
    progress: Told = untold,
) -> Comparison:
    """Compare every pair of networks, layer by layer.

    Args:
        networks: at least two networks, runs, modules or paths; a mapping gives them names.
        images: what the alignments are fitted to, raw pixels; no labels are used. None compares what needs
            no alignment: spectra, spatial patterns and first layers.
        layers: see `covalign.studies.pairing.match_layers`.
        by: groups networks by condition, to compare conditions as well: one per network in order, by name, or
            "training" for what stored runs state.
        max_images: at most this many, drawn with ``seed``.
        draws: for chance and ceiling.
        seed: of everything random.
        controls: also fit alignments to shuffled images.
        calibrate: also estimate the calibrated similarity.
        memory: bytes that alignments may hold at a time; the number of images a pass follows from it.
        provenance: kept with the results.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: fewer than two networks, or nothing in them that can be compared.
    """
    opened = subjects(networks)
    if len(opened) < 2:
        raise InputError(f"compare: got {len(opened)} network, expected at least two")
    conditions = conditions_of(opened, by)
    sample = images.sample(max_images, seed=seed) if images is not None and max_images else images
    pairs = list(_pairs(opened, layers, sample))
    encodings = _encodings(pairs, draws, seed, progress)
    fits = _fits([link for _, _, _, link in pairs], sample, controls, progress, memory)
    rows, maps, curves = [], {}, {}
    for done, ((one, other, match, link), fit) in enumerate(zip(pairs, fits, strict=True), 1):
        names = (one.name, other.name)
        a, b = encodings[one.name, link.layer_a.name], encodings[other.name, link.layer_b.name]
        row, curve = pair_row(names, a, b, fit, draws=draws, seed=seed, calibrate=calibrate)
        rows.append(replace(row, matched_by=match.how.value, matched_sure=1 / match.candidates))
        if curve is not None:
            curves[*names, link.layer_a.name] = curve
        if fit is not None and not obstacle(a, b, fit):
            left, right = carried(a.covariance, b.covariance, fit.alignment)
            maps[*names, link.layer_a.name] = eigenvector_cosines(left, right, map_ranks(a, b))
        progress("similarities", done / len(pairs))
    named = {each.name: each for each in opened}
    return Comparison(
        table=frame(rows, PairRow),
        layers=frame((layer_row(named[name], entry) for (name, _), entry in encodings.items()), LayerRow),
        spectra={key: entry.covariance.eigenvalues for key, entry in encodings.items()},
        spatial=_spatial(encodings),
        cosine_maps=maps,
        curves=curves,
        conditions=conditions,
        training={each.name: each.history for each in opened},
        skipped={each.name: [(s.name, s.reason) for s in each.network.skipped] for each in opened},
        provenance={**(provenance or {}), **_origin(opened, sample), "seed": seed, "draws": draws},
        filters=next((each.network.filters.filters for each in opened if each.network.filters), None),
    )


Pair = tuple[Subject, Subject, Match, Link]


def _pairs(opened: Sequence[Subject], layers: Choice | None, images: Images | None) -> Iterator[Pair]:
    """Every pair of networks, and within it every pair of layers that correspond."""
    for one, other in itertools.combinations(opened, 2):
        for match in match_layers(one.network, other.network, layers, _side(images)):
            yield one, other, match, _link(one.network, match, other.network, images)


def _side(images: Images | None) -> int | None:
    return None if images is None else max(images.pixels.shape[2:])


def _encodings(
    pairs: Sequence[Pair], draws: int, seed: int, progress: Told
) -> dict[tuple[str, str], LayerEncoding]:
    """What every layer that is compared learned by itself, each once, in the order of first use."""
    found: dict[tuple[str, str], LayerEncoding] = {}
    for done, (one, other, _, link) in enumerate(pairs, 1):
        for subject, layer in ((one, link.layer_a), (other, link.layer_b)):
            if (subject.name, layer.name) not in found:
                entry = layer_encoding(subject.network, layer, draws=draws, seed=seed)
                found[subject.name, layer.name] = entry
        progress("weight covariances", done / len(pairs))
    return found


def _spatial(
    encodings: Mapping[tuple[str, str], LayerEncoding],
) -> dict[tuple[str, str], SpatialCovariance]:
    return {
        key: spatial_covariance(entry.layer.weight)
        for key, entry in encodings.items()
        if entry.layer.weight[0, 0].numel() > 1
    }


def _origin(opened: Sequence[Subject], images: Images | None) -> dict[str, Any]:
    """Where networks and images come from, JSON-serializable."""
    known = (
        None
        if images is None
        else {
            "name": images.name,
            "split": images.split,
            "count": len(images),
            "fingerprint": images.fingerprint,
        }
    )
    details = {each.name: {**each.network.details, "layers": len(each.network.layers)} for each in opened}
    return {"networks": details, "images": known}


def _link(a: Network, match: Match, b: Network, images: Images | None) -> Link:
    known, remarks = known_rotation(a, match.layer_a, b, match.layer_b)
    if images is not None:
        given = [remark for network in (a, b) for remark in image_remarks(network, images.pixels)]
        remarks = (*remarks, *dict.fromkeys(given))
    return Link(a, match.layer_a, b, match.layer_b, known, remarks)


def _fits(
    links: Sequence[Link], images: Images | None, control: bool, progress: Told, memory: int
) -> list[Fit | None]:
    """Fit the narrower layer of each link into the wider one; None where it cannot be aligned."""
    turned = [link.turned for link in links]
    usable = [
        link for link in turned if images is not None and link.network_a.source and link.network_b.source
    ]
    fits = (
        fit_alignments(usable, images, control=control, memory=memory, progress=progress)
        if images is not None
        else []
    )
    found = {id(link): fit for link, fit in zip(usable, fits, strict=True)}
    return [found.get(id(link)) or _unmeasured(link) for link in turned]


def _unmeasured(link: Link) -> Fit | None:
    """Return the alignment that needs no images; None where there is none."""
    return None if link.known is None else Fit(Alignment(link.known, fitted=False), remarks=link.remarks)

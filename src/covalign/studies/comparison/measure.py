"""What did a set of networks learn in common, layer by layer?

`compare` is the whole road from networks and images to a table: layers are paired, alignments fitted on the
images, weight covariances estimated, carried into common coordinates, cleaned of noise and compared. The
narrower network of a pair is always mapped into the wider one. `Comparison` holds the numbers and nothing
of how they are drawn.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from covalign.data.images import Images
from covalign.encoding.alignment import Alignment
from covalign.encoding.spatial import SpatialCovariance, spatial_covariance
from covalign.errors import InputError
from covalign.kernels.threads import taking
from covalign.progress import Told, untold
from covalign.report.columns import frame
from covalign.studies.comparison.columns import LayerRow, PairRow
from covalign.studies.comparison.conditions import conditions_of
from covalign.studies.comparison.couples import Couple, Passes, couple
from covalign.studies.comparison.known import Known
from covalign.studies.comparison.layers import layer_row
from covalign.studies.comparison.received import layer_maps
from covalign.studies.comparison.record import Comparison
from covalign.studies.comparison.rows import LayerPair
from covalign.studies.comparison.settings import Settings
from covalign.studies.comparison.sharing import (
    Encodings,
    Heard,
    Together,
    encoded_layers,
    executor_of,
    in_common,
    measured,
    shared_out,
)
from covalign.studies.pairing import Choice
from covalign.studies.streaming import MEMORY_BUDGET, beside, fit_alignments
from covalign.studies.subjects import Source, Subject, subjects
from covalign.tasks.executor import CarryOut, Executor
from covalign.tasks.outcome import all_found

KNOWN = "pairs measured before"
"""What is told of the pairs that were found."""


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

    Raises:
        InputError: networks that do not correspond, or of which one has no forward pass, no known normalization, or
            does not take these images.

    Example:
        A network and the same one with its two hidden channels swapped, which the alignment finds out:

        >>> import copy, torch
        >>> from covalign import load_images, load_network
        >>> _ = torch.manual_seed(0)
        >>> one = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU(), torch.nn.Conv2d(2, 4, 3))
        >>> other = copy.deepcopy(one)
        >>> other[0].weight.data, other[0].bias.data = one[0].weight.flip(0).data, one[0].bias.flip(0).data
        >>> other[2].weight.data = one[2].weight.flip(1).data
        >>> images = load_images((torch.randint(256, (60, 3, 8, 8), dtype=torch.uint8), torch.arange(60) % 2))
        >>> networks = (load_network(each, normalization="none") for each in (one, other))
        >>> found = align(*networks, images)["2"]
        >>> found.rotation.round().int().tolist(), round(found.correlation, 3)
        ([[0, 1], [1, 0]], 1.0)
    """
    one, other = (each.as_read for each in subjects([network_a, network_b]))
    links = couple(one, other, layers, images).links
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
    curves: bool = True,
    layer_map: bool = True,
    reference: bool = False,
    memory: int = MEMORY_BUDGET,
    workers: int = 1,
    scheduler: str | None = None,
    cache: str | Path | None = None,
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
        curves: also measure shared variance direction by direction, and R without leading directions.
        layer_map: also compare what all layers receive with what all others receive, over 256 images at most, of the
            first twelve pairs of networks (`covalign.studies.comparison.received`).
        reference: align every network to what all have in common (`covalign.studies.comparison.reference`) instead of
            every pair, at a cost that grows with networks and not with pairs; without controls.
        memory: bytes that decoded images and alignments may hold at a time; the number of images a pass follows from
            it. Where images leave less than a quarter of it, alignments take a quarter all the same.
        workers: processes of this machine that pairs are dealt to, each with its share of the cores and so much
            memory. One works here, with all threads.
        scheduler: of a Dask cluster instead: ``tcp://host:8786``, a scheduler file, or "local".
        cache: folder in which pairs of networks are kept as they are measured and found again, by what was
            measured, of what and how: a comparison that was interrupted goes on, one of more networks measures the
            new pairs alone. None keeps nothing.
        provenance: kept with the results.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: fewer than two networks, nothing in them that can be compared, or some parts failed (all others
            were finished first).
    """
    opened = [each.as_read for each in subjects(networks)]
    if len(opened) < 2:
        raise InputError(f"compare: got {len(opened)} network, expected at least two")
    conditions = conditions_of(opened, by)
    sample = images.sample(max_images, seed=seed) if images is not None and max_images else images
    settings = Settings(draws, seed, controls and not reference, calibrate, curves, reference)
    executor = executor_of(workers, scheduler)
    with taking(executor.threads), executor.opened() as carry_out:
        couples = _couples(opened, layers, sample)
        encodings = encoded_layers(couples, settings, executor.threads, carry_out, progress)
        passes = Passes.of(
            couples,
            sample,
            control=settings.controls,
            memory=memory if sample is None else beside(sample, memory),
        )
        known = Known.of(cache, couples, sample, settings, passes.batch)
        together = Together(sample, settings, known, executor.threads)
        found = _pairs(passes, encodings, together, executor, carry_out, progress)
        mapped = couples if layer_map else ()
        maps = layer_maps(mapped, sample, every=layers is None, seed=seed, memory=memory, progress=progress)
    pairs = [(each.names, layer) for place, each in enumerate(couples) for layer in found[place]]
    named = {each.name: each for each in opened}
    return Comparison(
        table=frame((layer.row for _, layer in pairs), PairRow),
        layers=frame((layer_row(named[name], entry) for (name, _), entry in encodings.items()), LayerRow),
        spectra={key: entry.covariance.eigenvalues for key, entry in encodings.items()},
        spatial=_spatial(encodings),
        cosine_maps={
            (*names, layer.row.layer_a): layer.cosines for names, layer in pairs if layer.cosines is not None
        },
        curves={
            (*names, layer.row.layer_a): layer.curve for names, layer in pairs if layer.curve is not None
        },
        layer_maps=maps,
        conditions=conditions,
        training={each.name: each.history for each in opened},
        skipped={each.name: [(s.name, s.reason) for s in each.network.skipped] for each in opened},
        provenance={**(provenance or {}), **_origin(opened, sample), "seed": seed, "draws": draws},
        filters=next((each.network.filters.filters for each in opened if each.network.filters), None),
    )


def _couples(opened: Sequence[Subject], layers: Choice | None, images: Images | None) -> list[Couple]:
    bare = [Subject(each.name, each.network) for each in opened]  # of a training nothing else is needed
    return [couple(*pair, layers, images) for pair in itertools.combinations(bare, 2)]


def _pairs(
    passes: Passes,
    encodings: Encodings,
    together: Together,
    executor: Executor,
    carry_out: CarryOut,
    progress: Told,
) -> dict[int, list[LayerPair]]:
    """Return what is known or measured of all pairs, by their places."""
    total = len(passes.couples)
    found = {place: kept for place, each in enumerate(passes.couples) if (kept := together.known.get(each))}
    if found:
        progress(KNOWN, len(found) / total, f"{len(found)} of {total}")
    missing, images = range(total) - found.keys(), together.images
    tiles = (
        in_common(passes, images, missing, encodings, progress)
        if together.settings.reference and images is not None
        else shared_out(passes, missing, encodings, executor)
    )
    outcomes = carry_out(measured, tiles, together, Heard(progress, len(found), total))
    for part in all_found(outcomes, lambda place: f"part {place + 1}", "parts of the comparison").values():
        found |= part
    return found


def _spatial(
    encodings: Encodings,
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

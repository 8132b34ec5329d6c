"""What did a set of networks learn in common, layer by layer?

`compare` is the whole road from networks and images to a table: layers are paired, alignments fitted on the
images, weight covariances estimated, carried into common coordinates, cleaned of noise and compared. The
narrower network of a pair is always mapped into the wider one. `Comparison` holds the numbers and nothing
of how they are drawn.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from covalign.data.images import Images
from covalign.encoding.alignment import Alignment, identity_alignment
from covalign.encoding.bures import bures_wasserstein_cosine
from covalign.encoding.covariance import WeightCovariance, weight_covariance
from covalign.encoding.noise import BulkCheck, bulk_check, noise_level
from covalign.encoding.shrinkage import bulk_edges
from covalign.encoding.similarity import (
    ReferenceLevels,
    Similarity,
    eigenvector_cosines,
    haar_level,
    normalized_similarity,
    reference_levels,
)
from covalign.encoding.spatial import SpatialCovariance, spatial_covariance
from covalign.errors import InputError
from covalign.networks.activations import ModuleSource
from covalign.networks.architectures.blocks import FactorizedStage
from covalign.networks.network import Layer, Network
from covalign.networks.readers.opening import load_network
from covalign.studies.pairing import Choice, match_layers
from covalign.studies.streaming import Fit, Link, fit_alignments
from covalign.training.run import Run
from covalign.training.sources import open_source

Source: TypeAlias = Network | Run | nn.Module | str | Path

MAP_RANKS = 64
"""Largest side of the eigenvector-cosine maps that a comparison keeps."""

SAME_WEIGHTS = "same weights up to a rotation, and so no independent sample"

DESCRIPTIVE = "descriptive: cosine and chance are of the unshrunk covariances"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything measured on a set of networks.

    Attributes:
        table: a row per pair and layer: ``a, b, layer_a, layer_b, depth, form, d, neurons_a, neurons_b,
            kept_a, kept_b, effective_rank_a, effective_rank_b, bulk_ok, alignment_correlation, cosine, chance,
            ceiling, similarity, similarity_reversed, calibrated, low, high, p_value, unaligned, shuffled,
            reason``. ``similarity`` is eq. 6 of Guth & Menard (2024) with a as the reference, and
            ``similarity_reversed`` with b; ``unaligned`` and ``shuffled`` are the mean of both orders without
            alignment, and with an alignment fitted to images in shuffled order. Where the weights show no
            noise bulk, ``cosine``, ``chance`` and the two controls describe unshrunk covariances (``reason``
            says so) and the similarities are NaN.
        layers: a row per network and layer: what it learned by itself.
        spectra: unshrunk eigenvalues by (network, layer), in units of the initialization variance.
        spatial: spatial covariances by (network, layer), for kernels larger than 1x1.
        cosine_maps: aligned |eigenvector cosines| by (a, b, layer of a).
        training: history by network, a dictionary per epoch; empty where unknown.
        skipped: by network, what was not read as a layer, and why.
        filters: the frozen spatial filters of the first factorized network; None where there is none.
        provenance: where all this comes from, JSON-serializable.
    """

    table: pd.DataFrame
    layers: pd.DataFrame
    spectra: dict[tuple[str, str], Float64[Tensor, " r"]]
    spatial: dict[tuple[str, str], SpatialCovariance] = field(default_factory=dict)
    cosine_maps: dict[tuple[str, str, str], Float64[Tensor, "r1 r2"]] = field(default_factory=dict)
    training: dict[str, list[dict[str, float | int]]] = field(default_factory=dict)
    skipped: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    filters: Float[Tensor, "count k k"] | None = None

    def save(self, folder: str | Path) -> Path:
        """Write tables (parquet and CSV), tensors (safetensors) and ``results.json`` into a folder."""
        from covalign.storage.results import save_comparison

        return save_comparison(self, Path(folder))

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page."""
        from covalign.studies.comparison.page import write_report

        return write_report(self, Path(path))


@dataclass(frozen=True, eq=False)
class LayerEncoding:
    """What one layer learned by itself."""

    network: Network
    layer: Layer
    depth: int
    covariance: WeightCovariance
    check: BulkCheck
    levels: ReferenceLevels

    @property
    def describable_only(self) -> bool:
        """Whether noise can be neither derived from the initializer nor seen in the spectrum."""
        return self.layer.init_variance is None and not self.check.ok


def layer_encoding(
    network: Network, layer: Layer, depth: int, draws: int = 10, seed: int = 0
) -> LayerEncoding:
    """Estimate a layer's weight covariance, and check that its bulk is noise.

    The unit is the variance of the initial weights where it is known, else the noise level that the bulk of
    the spectrum shows.
    """
    covariance, check = _in_units_of_noise(layer)
    return LayerEncoding(network, layer, depth, covariance, check, reference_levels(covariance, draws, seed))


def _in_units_of_noise(layer: Layer) -> tuple[WeightCovariance, BulkCheck]:
    """Return the covariance in units of its noise; as it is, with a failed check, where there is none."""
    covariance = weight_covariance(layer.matrix, layer.init_variance or 1.0)
    if layer.init_variance is None:
        try:
            level = noise_level(covariance.eigenvalues, covariance.neurons, covariance.dimension)
        except InputError as error:
            return covariance, BulkCheck(False, str(error), 0)
        covariance = replace(covariance, eigenvalues=covariance.eigenvalues / level, init_variance=level)
    return covariance, bulk_check(covariance.eigenvalues, covariance.neurons, covariance.dimension)


def named_networks(
    networks: Sequence[Source] | Mapping[str, Source],
) -> tuple[dict[str, Network], dict[str, list[dict[str, float | int]]]]:
    """Return networks and training histories by unique name.

    Args:
        networks: networks, runs, modules, or what `open_source` takes; a mapping gives them names.
    """
    items = networks.items() if isinstance(networks, Mapping) else [(None, source) for source in networks]
    named: dict[str, Network] = {}
    training: dict[str, list[dict[str, float | int]]] = {}
    for given, source in items:
        source = open_source(source) if isinstance(source, str | Path) else source
        network = source.network if isinstance(source, Run) else load_network(source)
        name = given or network.name
        copies = itertools.count(2)
        unique = name
        while unique in named:
            unique = f"{name} ({next(copies)})"
        named[unique] = network
        training[unique] = [asdict(epoch) for epoch in source.history] if isinstance(source, Run) else []
    return named, training


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
        themselves: their alignment is the identity where normalization and frozen filters agree.
    """
    named, _ = named_networks([network_a, network_b])
    a, b = named.values()
    links = [_link(a, left, b, right) for left, right in match_layers(a, b, layers)]
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
    max_images: int | None = 10_000,
    draws: int = 10,
    seed: int = 0,
    controls: bool = True,
    calibrate: bool = True,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[str, float], None] = lambda stage, done: None,
) -> Comparison:
    """Compare every pair of networks, layer by layer.

    Args:
        networks: at least two networks, runs, modules or paths; a mapping gives them names.
        images: what the alignments are fitted to, raw pixels; no labels are used. None compares what needs
            no alignment: spectra, spatial patterns and first layers.
        layers: see `covalign.studies.pairing.match_layers`.
        max_images: at most this many, drawn with ``seed``.
        draws: for chance and ceiling.
        seed: of everything random.
        controls: also fit alignments to shuffled images.
        calibrate: also estimate the calibrated similarity.
        provenance: kept with the results.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: fewer than two networks, or nothing in them that can be compared.
    """
    named, training = named_networks(networks)
    if len(named) < 2:
        raise InputError(f"compare: got {len(named)} network, expected at least two")
    sample = images.sample(max_images, seed) if images is not None and max_images else images
    encodings: dict[tuple[str, str], LayerEncoding] = {}
    links: list[tuple[str, str, Link]] = []
    for (name_a, net_a), (name_b, net_b) in itertools.combinations(named.items(), 2):
        pairs = match_layers(net_a, net_b, layers)
        links += [(name_a, name_b, _link(net_a, left, net_b, right)) for left, right in pairs]
    for index, (name_a, name_b, link) in enumerate(links):
        for name, network, layer in (
            (name_a, link.network_a, link.layer_a),
            (name_b, link.network_b, link.layer_b),
        ):
            if (name, layer.name) not in encodings:
                depth = [entry.name for entry in network.layers].index(layer.name) + 1
                encodings[name, layer.name] = layer_encoding(network, layer, depth, draws, seed)
        progress("weight covariances", (index + 1) / len(links))
    fits = _fits([link for _, _, link in links], sample, controls, progress)
    rows, maps = [], {}
    for index, (name_a, name_b, link) in enumerate(links):
        a, b = encodings[name_a, link.layer_a.name], encodings[name_b, link.layer_b.name]
        rows.append({"a": name_a, "b": name_b, **_row(a, b, fits[index], draws, seed, calibrate)})
        fit = fits[index]
        if fit is not None and not _comparable(a, b, fit):
            left, right = _carried(a.covariance, b.covariance, fit.alignment)
            maps[name_a, name_b, link.layer_a.name] = eigenvector_cosines(left, right, _map_ranks(a, b))
        progress("similarities", (index + 1) / len(links))
    return Comparison(
        pd.DataFrame(rows),
        pd.DataFrame([{"network": name, **_layer_row(entry)} for (name, _), entry in encodings.items()]),
        {key: entry.covariance.eigenvalues for key, entry in encodings.items()},
        {
            key: spatial_covariance(entry.layer.weight)
            for key, entry in encodings.items()
            if entry.layer.weight[0, 0].numel() > 1
        },
        maps,
        training,
        {name: [(entry.name, entry.reason) for entry in network.skipped] for name, network in named.items()},
        {
            **(provenance or {}),
            "networks": {name: network.details for name, network in named.items()},
            "images": None
            if sample is None
            else {
                "name": sample.name,
                "split": sample.split,
                "count": len(sample),
                "fingerprint": sample.fingerprint,
            },
            "seed": seed,
            "draws": draws,
        },
        _frozen_filters(named.values()),
    )


def _frozen_filters(networks: Iterable[Network]) -> Float[Tensor, "count k k"] | None:
    """Return the filters of the first factorized stage that is found."""
    for network in networks:
        if isinstance(network.source, ModuleSource):
            for part in network.source.module.modules():
                if isinstance(part, FactorizedStage):
                    return part.filters
    return None


def _link(a: Network, layer_a: Layer, b: Network, layer_b: Layer) -> Link:
    """Link two layers; first layers share their coordinates where normalization and frozen filters agree."""
    shared = (
        layer_a.name == a.layers[0].name
        and layer_b.name == b.layers[0].name
        and layer_a.channels == layer_b.channels
        and a.normalization == b.normalization
        and a.details.get("filters") == b.details.get("filters")
    )
    return Link(a, layer_a, b, layer_b, shared)


def _fits(
    links: Sequence[Link], images: Images | None, control: bool, progress: Callable[[str, float], None]
) -> list[Fit | None]:
    """Fit the narrower layer of each link into the wider one; None where it cannot be aligned."""
    turned = [_narrower_first(link) for link in links]
    usable = [
        link for link in turned if images is not None and link.network_a.source and link.network_b.source
    ]
    fits = (
        fit_alignments(usable, images, control=control, progress=lambda done: progress("alignments", done))
        if images is not None
        else []
    )
    found = {id(link): fit for link, fit in zip(usable, fits, strict=True)}
    return [
        found.get(id(link)) or (Fit(identity_alignment(link.layer_a.channels)) if link.shared else None)
        for link in turned
    ]


def _narrower_first(link: Link) -> Link:
    if link.layer_a.channels <= link.layer_b.channels:
        return link
    return Link(link.network_b, link.layer_b, link.network_a, link.layer_a, link.shared)


def _carried(
    a: WeightCovariance, b: WeightCovariance, alignment: Alignment
) -> tuple[WeightCovariance, WeightCovariance]:
    """Bring the narrower covariance into the coordinates of the wider one."""
    return (a, b.rotate(alignment)) if a.dimension > b.dimension else (a.rotate(alignment), b)


def _map_ranks(a: LayerEncoding, b: LayerEncoding) -> int:
    """Ranks to show: twice the larger effective rank, at least 8 and at most `MAP_RANKS`."""
    ranks = [e.covariance.effective_rank for e in (a, b)]
    shown = max([8, *(math.ceil(2 * rank) for rank in ranks if math.isfinite(rank))])
    return min(MAP_RANKS, shown)


def _comparable(a: LayerEncoding, b: LayerEncoding, fit: Fit | None) -> str:
    """Why two layers cannot be compared; empty where they can."""
    if a.layer.groups > 1 or b.layer.groups > 1:
        return "grouped convolution: its neurons see different channels, so that no rotation aligns them"
    if a.layer.weight.shape[2:] != b.layer.weight.shape[2:]:
        return "kernels of different size"
    if a.covariance.trace == 0 or b.covariance.trace == 0:
        return "all weights are zero"
    if fit is None:
        return "not aligned: a bare weight file has no forward pass, or no images were given"
    return ""


def same_weights(left: WeightCovariance, right: WeightCovariance) -> bool:
    """Whether two aligned covariances are one, up to the rounding of a fitted alignment.

    Their spectra, which no rotation changes, agree to 1e-5, and the cosine of the unshrunk covariances exceeds
    0.999. Weights that were only trained alike differ in every eigenvalue.
    """
    if len(left.eigenvalues) != len(right.eigenvalues):
        return False
    one, other = (c.eigenvalues * c.init_variance for c in (left, right))
    alike = torch.allclose(one, other, rtol=1e-5, atol=1e-7 * float(one[0]))
    return alike and bures_wasserstein_cosine(left, right) > 0.999


def _row(
    a: LayerEncoding,
    b: LayerEncoding,
    fit: Fit | None,
    draws: int,
    seed: int,
    calibrate: bool,
) -> dict[str, Any]:
    """Return one row of the table, without the names of the networks."""
    reasons = [_comparable(a, b, fit)]
    measured: dict[str, float] = dict.fromkeys(MEASURED, math.nan)
    if not reasons[0] and fit is not None:
        describe = a.describable_only or b.describable_only
        statistic = _descriptive if describe else _calibrated
        row, row_reasons = statistic(a, b, fit, draws, seed, calibrate)
        measured |= row
        if same_weights(*_carried(a.covariance, b.covariance, fit.alignment)):
            measured |= {"calibrated": 1.0, "low": math.nan, "high": math.nan, "p_value": math.nan}
            row_reasons = [SAME_WEIGHTS]
        reasons += [*row_reasons, fit.alignment.reason]
    return {
        "layer_a": a.layer.name,
        "layer_b": b.layer.name,
        "depth": a.depth,
        "form": a.layer.form,
        "d": max(a.covariance.dimension, b.covariance.dimension),
        "neurons_a": a.covariance.neurons,
        "neurons_b": b.covariance.neurons,
        "kept_a": a.covariance.kept,
        "kept_b": b.covariance.kept,
        "effective_rank_a": a.covariance.effective_rank,
        "effective_rank_b": b.covariance.effective_rank,
        "bulk_ok": a.check.ok and b.check.ok,
        "alignment_correlation": fit.alignment.correlation if fit else math.nan,
        **measured,
        "reason": "; ".join(dict.fromkeys(reason for reason in reasons if reason)),
    }


MEASURED = (
    "cosine",
    "chance",
    "ceiling",
    "similarity",
    "similarity_reversed",
    "calibrated",
    "low",
    "high",
    "p_value",
    "unaligned",
    "shuffled",
)


def _calibrated(
    a: LayerEncoding,
    b: LayerEncoding,
    fit: Fit,
    draws: int,
    seed: int,
    calibrate: bool,
) -> tuple[dict[str, float], list[str]]:
    """Eq. 6 in both orders, the calibrated similarity, and eq. 6 under the controls."""

    def both(left: WeightCovariance, right: WeightCovariance, calibrate: bool) -> tuple[Similarity, float]:
        one, two = _levels(a, left), _levels(b, right)
        forward = normalized_similarity(left, right, draws, seed, levels=one, calibrate=calibrate)
        backward = normalized_similarity(right, left, draws, seed, levels=two, calibrate=False)
        return forward, backward.value

    forward, reversed_value = both(*_carried(a.covariance, b.covariance, fit.alignment), calibrate)
    row = {
        "cosine": forward.cosine,
        "chance": forward.chance,
        "ceiling": forward.ceiling,
        "similarity": forward.value,
        "similarity_reversed": reversed_value,
        "calibrated": forward.calibrated,
        "low": forward.low,
        "high": forward.high,
        "p_value": forward.p_value,
    }
    for name, pair in _controls(a, b, fit).items():
        one, other = both(*pair, False)
        row[name] = (one.value + other) / 2
    return row, [forward.reason, forward.calibrated_reason]


def _levels(entry: LayerEncoding, carried: WeightCovariance) -> ReferenceLevels | None:
    """Chance and ceiling, unless they have to be drawn anew in a wider network's coordinates."""
    return entry.levels if carried.dimension == entry.covariance.dimension else None


def _descriptive(
    a: LayerEncoding,
    b: LayerEncoding,
    fit: Fit,
    draws: int,
    seed: int,
    calibrate: bool,
) -> tuple[dict[str, float], list[str]]:
    """Cosine of the unshrunk covariances, its Haar level, and its value under the controls."""
    left, right = _carried(a.covariance, b.covariance, fit.alignment)
    spectra = [c.eigenvalues[c.eigenvalues > 0].cpu() for c in (left, right)]
    row = {
        "cosine": bures_wasserstein_cosine(left, right),
        "chance": haar_level(spectra[0], spectra[1], left.dimension, draws, seed),
    }
    for name, pair in _controls(a, b, fit).items():
        row[name] = bures_wasserstein_cosine(*pair)
    return row, [DESCRIPTIVE, *(e.check.reason for e in (a, b) if not e.check.ok)]


def _controls(
    a: LayerEncoding, b: LayerEncoding, fit: Fit
) -> dict[str, tuple[WeightCovariance, WeightCovariance]]:
    """Pairs of covariances that share no fitted alignment; the imposed identity has no shuffled control."""
    pairs = {}
    if a.covariance.dimension == b.covariance.dimension:
        pairs["unaligned"] = (a.covariance, b.covariance)
    if fit.shuffled is not None:
        pairs["shuffled"] = _carried(a.covariance, b.covariance, fit.shuffled)
    return pairs


def _layer_row(entry: LayerEncoding) -> dict[str, Any]:
    """What one layer learned by itself, as a row of `Comparison.layers`."""
    covariance, layer = entry.covariance, entry.layer
    lower, upper = bulk_edges(covariance.aspect_ratio)
    return {
        "layer": layer.name,
        "depth": entry.depth,
        "kind": layer.kind,
        "form": layer.form,
        "kernel": "x".join(map(str, layer.weight.shape[2:])),
        "d": covariance.dimension,
        "neurons": covariance.neurons,
        "init_variance": covariance.init_variance,
        "init_known": layer.init_variance is not None,
        "kept": covariance.kept,
        "effective_rank": covariance.effective_rank,
        "participation_ratio": covariance.participation_ratio,
        "entropy_rank": covariance.entropy_rank,
        "stable_rank": covariance.stable_rank,
        "largest": float(covariance.eigenvalues[0]),
        "smallest": float(covariance.eigenvalues[-1]),
        "lower_edge": lower,
        "upper_edge": upper,
        "bulk_ok": entry.check.ok,
        "bulk_reason": entry.check.reason,
    }

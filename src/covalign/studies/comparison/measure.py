"""What did a set of networks learn in common, layer by layer?

`compare` is the whole road from networks and images to a table: layers are paired, alignments fitted on the
images, weight covariances estimated, carried into common coordinates, cleaned of noise and compared. The
narrower network of a pair is always mapped into the wider one. `Comparison` holds the numbers and nothing
of how they are drawn.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from covalign.data.images import Images
from covalign.encoding.alignment import Alignment, identity_alignment
from covalign.encoding.similarity import (
    eigenvector_cosines,
)
from covalign.encoding.spatial import spatial_covariance
from covalign.errors import InputError
from covalign.networks.activations import ModuleSource
from covalign.networks.architectures.blocks import FactorizedStage
from covalign.networks.network import Layer, Network
from covalign.studies.comparison.layers import LayerEncoding, layer_encoding, layer_row
from covalign.studies.comparison.record import Comparison
from covalign.studies.comparison.rows import carried, map_ranks, obstacle, pair_row
from covalign.studies.pairing import Choice, match_layers
from covalign.studies.streaming import Fit, Link, fit_alignments
from covalign.studies.subjects import Source, subjects


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
    a, b = (each.network for each in subjects([network_a, network_b]))
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
    opened = subjects(networks)
    named = {each.name: each.network for each in opened}
    training = {each.name: each.history for each in opened}
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
        rows.append({"a": name_a, "b": name_b, **pair_row(a, b, fits[index], draws, seed, calibrate)})
        fit = fits[index]
        if fit is not None and not obstacle(a, b, fit):
            left, right = carried(a.covariance, b.covariance, fit.alignment)
            maps[name_a, name_b, link.layer_a.name] = eigenvector_cosines(left, right, map_ranks(a, b))
        progress("similarities", (index + 1) / len(links))
    return Comparison(
        pd.DataFrame(rows),
        pd.DataFrame([{"network": name, **layer_row(entry)} for (name, _), entry in encodings.items()]),
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

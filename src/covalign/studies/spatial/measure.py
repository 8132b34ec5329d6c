"""Do all layers of all networks use the same spatial patterns?

Needs weights alone. Every layer with kernels larger than 1x1 gives a spatial covariance (Guth & Menard 2024,
section 2.2); those of equal kernel size are compared, pair by pair, by two measures that rank swaps do not
harm: the overlap of the subspaces of the leading r eigenvectors, which for independent subspaces is r / k^2 on
average, and the absolute cosines of the eigenvectors after the best one-to-one matching (Hungarian).

Initial weights are white noise. Where they were not forgotten (wide layers, small learning rates, no weight decay)
they hide the patterns, and two networks that began alike share them without having learned anything in common.
Where they are known they can be subtracted: then the patterns are those of the update W - W_0 (our choice; the
paper takes W).
"""

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from covalign.encoding.spatial import SpatialCovariance, matched_cosines, spatial_covariance, subspace_overlap
from covalign.errors import InputError
from covalign.limits import PAIRS
from covalign.networks.network import Layer, Network
from covalign.studies.spatial.record import SpatialSummary
from covalign.studies.subjects import Source, subjects

RANKS = (3, 5, 6)
"""Where two spectra of natural images have gaps: low-pass and first derivatives; one or all second ones."""


def spatial_summary(
    networks: Sequence[Source] | Mapping[str, Source],
    layers: Sequence[str] | None = None,
    *,
    ranks: Sequence[int] = RANKS,
    subtract_initial: bool = False,
    provenance: Mapping[str, Any] | None = None,
) -> SpatialSummary:
    """Diagonalize the kernels of every layer, and compare all layers of all networks.

    Args:
        networks: networks, runs, modules or paths, weight files included; a mapping gives them names.
        layers: names of layers; all by default.
        ranks: of the compared subspaces; those that fill the whole kernel, or exceed the eigenvectors that are
            kept of a large one, are left out.
        subtract_initial: take what training added to the initial weights, where these are known.
        provenance: kept with the results.

    Raises:
        InputError: no networks, an unknown layer, no layer with kernels larger than 1x1, or too many of them.

    Example:
        A network whose kernels are all one edge detector, at some strength: the first pattern has all the variance.

        >>> import torch
        >>> module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3))
        >>> edge = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        >>> module[0].weight.data = torch.randn(8, 3, 1, 1) * edge
        >>> spatial_summary([module]).layers["share_1"].round(6).tolist()
        [1.0]
    """
    named = {each.name: each.network for each in subjects(networks)}
    if not named:
        raise InputError("spatial: got no network, expected at least one")
    found = {
        (name, layer.name): kernels
        for name, net in named.items()
        for layer in (net.layers if layers is None else [net.layer(layer) for layer in layers])
        if layer.weight[0, 0].numel() > 1 and bool((kernels := _kernels(layer, subtract_initial)).any())
    }
    if not found:
        raise InputError(
            f"spatial: no layer of {', '.join(named)} has kernels larger than 1x1 that are not zero; give trained "
            "joint convolutional networks"
        )
    _check_pairs(found.values())
    spatial = {key: spatial_covariance(kernels) for key, kernels in found.items()}
    rows = [
        _layer_row(named[name], layer, space, subtract_initial) for (name, layer), space in spatial.items()
    ]
    own = pd.DataFrame([{"network": name, **row} for (name, _), row in zip(spatial, rows, strict=True)])
    return SpatialSummary(
        own,
        pd.DataFrame(_pair_rows(spatial, own, ranks), columns=list(PAIR_COLUMNS)),
        spatial,
        {
            name: _skipped(network, [layer for owner, layer in found if owner == name])
            for name, network in named.items()
        },
        {
            **(provenance or {}),
            "networks": {name: network.details for name, network in named.items()},
            "ranks": list(ranks),
            "subtract_initial": subtract_initial,
        },
    )


PAIR_COLUMNS = (
    "a",
    "layer_a",
    "depth_a",
    "b",
    "layer_b",
    "depth_b",
    "kernel",
    "rank",
    "overlap",
    "chance",
    "cosine",
    "lowest_cosine",
    "beyond_first",
)


def _check_pairs(weights: Collection[Tensor]) -> None:
    """Refuse so many layers that comparing each with each would not end: pairs grow with their square."""
    sizes = Counter(tuple(weight.shape[2:]) for weight in weights)
    PAIRS.check(
        sum(math.comb(layers, 2) for layers in sizes.values()),
        f"spatial: {len(weights)} layers, each compared with each (choose some by --layers)",
    )


def _kernels(layer: Layer, subtract_initial: bool) -> Tensor:
    """Return the weights, or what training added to them."""
    if not subtract_initial or layer.initial is None:
        return layer.weight
    return layer.weight.double() - layer.initial.double()


def _layer_row(
    network: Network, name: str, space: SpatialCovariance, subtract_initial: bool
) -> dict[str, Any]:
    depth = [layer.name for layer in network.layers].index(name) + 1
    shares = (space.eigenvalues[:9] / space.eigenvalues.sum()).tolist()
    return {
        "layer": name,
        "depth": depth,
        "first": depth == 1,
        "of": "update" if subtract_initial and network.layer(name).initial is not None else "weights",
        "kernel": "x".join(map(str, space.kernel_size)),
        "kernels": space.kernels,
        **{f"share_{rank}": share for rank, share in enumerate(shares, 1)},
    }


def _pair_rows(
    spatial: Mapping[tuple[str, str], SpatialCovariance], own: pd.DataFrame, ranks: Sequence[int]
) -> list[dict[str, Any]]:
    entries = list(zip(spatial.items(), own.to_dict("records"), strict=True))
    rows = []
    for ((key_a, one), row_a), ((key_b, other), row_b) in itertools.combinations(entries, 2):
        if one.kernel_size != other.kernel_size:
            continue
        area = one.area
        kept = min(each.eigenvectors.shape[1] for each in (one, other))
        for rank in (rank for rank in ranks if rank < area and rank <= kept):
            cosines = matched_cosines(one, other, rank)
            rows.append(
                {
                    "a": key_a[0],
                    "layer_a": key_a[1],
                    "depth_a": row_a["depth"],
                    "b": key_b[0],
                    "layer_b": key_b[1],
                    "depth_b": row_b["depth"],
                    "kernel": row_a["kernel"],
                    "rank": rank,
                    "overlap": subspace_overlap(one, other, rank),
                    "chance": rank / area,
                    "cosine": float(cosines.mean()),
                    "lowest_cosine": float(cosines.min()),
                    "beyond_first": not (row_a["first"] or row_b["first"]),
                }
            )
    return rows


def _skipped(network: Network, used: Sequence[str]) -> list[tuple[str, str]]:
    reasons = {True: "no space: its kernels are 1x1", False: "all its kernels are zero, or it was not chosen"}
    left = [
        (layer.name, reasons[layer.weight[0, 0].numel() == 1])
        for layer in network.layers
        if layer.name not in used
    ]
    return [*left, *((entry.name, entry.reason) for entry in network.skipped)]

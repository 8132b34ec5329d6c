"""Which layer of one network is most like which layer of another?

Layers need not correspond by their place: every layer of network a is compared with every layer of network b
of the same form and kernel size, as `covalign.studies.comparison.measure.compare` compares a pair. Where their maps
differ in resolution, the finer one is averaged to the coarser; the narrower layer is mapped into the wider.
"""

from covalign.data.images import Images
from covalign.networks.network import Layer, Network
from covalign.progress import Told, untold
from covalign.studies.comparison.measure import compare
from covalign.studies.cross_layer.record import CrossLayerMap
from covalign.studies.structure import hidden_layers, signature
from covalign.studies.subjects import Source, subjects


def cross_layer_map(
    a: Source,
    b: Source,
    images: Images,
    *,
    max_images: int | None = 10_000,
    draws: int = 10,
    seed: int = 0,
    calibrate: bool = False,
    progress: Told = untold,
) -> CrossLayerMap:
    """Compare every layer of network a with every layer of network b.

    Alignments are fitted in groups of pairs that fit the memory budget of `covalign.studies.streaming`; the
    images pass through both networks once per group.

    Args:
        a, b: what `compare` takes, with a forward pass.
        images: raw pixels; no labels are used.
        max_images: at most this many, drawn with ``seed``.
        draws: for chance and ceiling.
        seed: of everything random.
        calibrate: also estimate the calibrated similarity of every pair.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: no two layers of equal form and kernel size.
    """
    pair = subjects([a, b])
    one, other = (each.network for each in pair)
    pairs = [
        (left.name, right.name)
        for left in hidden_layers(one)
        for right in hidden_layers(other)
        if _comparable(left, right)
    ]
    found = compare(
        pair,
        images,
        pairs,
        max_images=max_images,
        draws=draws,
        seed=seed,
        controls=False,
        calibrate=calibrate,
        layer_map=False,
        progress=progress,
    )
    table = found.table
    depth = {name: index for index, name in enumerate(_names(other), 1)}
    table = table.assign(
        depth_b=table["layer_b"].map(depth),
        excess=(table["cosine"] - table["chance"]) / (1 - table["chance"]),
    )
    return CrossLayerMap(table, _names(one), _names(other), found.provenance)


def _comparable(left: Layer, right: Layer) -> bool:
    return signature(left) == signature(right) and left.groups == right.groups == 1


def _names(network: Network) -> tuple[str, ...]:
    return tuple(layer.name for layer in hidden_layers(network))

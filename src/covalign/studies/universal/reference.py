"""Which network fixes the coordinates of an encoding? One that is drawn from it.

It is built as the widest member and filled layer by layer, aligned to the members' mean inputs; afterwards everything
is carried into the coordinates of its own inputs.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.data.normalization import normalization
from covalign.encoding.universal.basis import CommonBasis
from covalign.networks.readers.opening import read_network
from covalign.progress import Told
from covalign.storage.streams import stream
from covalign.studies.inputs import layer_inputs, met
from covalign.studies.structure import hidden_layers
from covalign.studies.universal.filling import Target, fill
from covalign.studies.universal.members import Population
from covalign.studies.universal.record import EncodedLayer, Reference, narrowed
from covalign.training.run import build
from covalign.training.spec import TrainingSpec

ARCHITECTURE = ("architecture", "form", "width", "kernel_size", "head", "norm", "in_channels", "first_stride")


def built(spec: TrainingSpec) -> dict[str, Any]:
    """Return what a network is built by, and how its pixels are normalized."""
    values = asdict(spec)
    return {name: values[name] for name in (*ARCHITECTURE, "normalization")}


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
    spec = TrainingSpec.of({**built(wide.spec), "seed": seed})
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
    return Reference(built(spec), weights, None if bank is None else bank.filters), rotations


def carried(part: EncodedLayer, rotation: Float64[Tensor, "c c_ref"]) -> EncodedLayer:
    """Return an encoded layer in the coordinates of the reference's inputs, (A^T x I) K, in half precision."""

    def turned(columns: Tensor) -> Tensor:
        blocks = columns.double().reshape(part.channels, -1)
        return narrowed((rotation.T @ blocks).reshape(len(columns), -1))

    values = {name: getattr(part, name) for name in part.__dataclass_fields__}
    return EncodedLayer(**{**values, "factor": turned(part.factor), "directions": turned(part.directions)})

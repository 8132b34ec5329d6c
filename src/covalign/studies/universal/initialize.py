"""What does a new network start from?

`init_` fills a module with neurons drawn from a universal encoding. It changes hidden layers (their biases become 0),
frozen filter banks and the statistics of batch norms; the readout stays as it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from covalign.arrays import ArrayLike
from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.normalization import Normalization
from covalign.data.normalization import normalization as named
from covalign.data.pixels import with_channels
from covalign.errors import InputError
from covalign.networks.filters import FilterBank
from covalign.networks.network import Layer, Network
from covalign.networks.readers.module import factorized_stages, unwrap
from covalign.networks.readers.opening import read_network
from covalign.progress import Told, untold
from covalign.report.columns import frame
from covalign.showing import Shown
from covalign.studies.inputs import layer_inputs
from covalign.studies.structure import hidden_layers
from covalign.studies.universal.columns import FilledRow
from covalign.studies.universal.filling import Target, check_count, check_names, fill
from covalign.studies.universal.record import UniversalEncoding, load_encoding
from covalign.studies.universal.whole import check_weights, take_over, working_copy
from covalign.training.spec import TrainingSpec

PHOTOGRAPHS = "photos"


@dataclass(frozen=True, repr=False)
class Initialization(Shown):
    """What `init_` did.

    Attributes:
        rows: layer by layer.
        normalization: how pixels are to enter the network.
        images: what it was aligned on.
        seed: of the draws.
    """

    rows: tuple[FilledRow, ...]
    normalization: Normalization
    images: str
    seed: int

    @property
    def table(self) -> pd.DataFrame:
        """A row per layer; columns as `FilledRow` declares them."""
        return frame(self.rows, FilledRow)

    @property
    def summary(self) -> list[str]:
        """Whether the scale of activations is right, and what else is to be said, in sentences."""
        scales = [row.received for row in self.rows]
        wrong = [f"{row.layer}: {row.remark}" for row in self.rows if row.remark]
        range_ = f"{min(scales):.2g} to {max(scales):.2g}"
        aligned = [row for row in self.rows if row.samples]
        said = [f"{len(self.rows)} layers filled; they receive root mean squares of {range_}"]
        if aligned:
            least = min(aligned, key=lambda row: row.alignment)
            said.append(
                f"aligned on {self.images}; correlation with the encoding's reference on held-out images from "
                f"{least.alignment:.2f} ({least.layer}) to {max(row.alignment for row in aligned):.2f}"
            )
        return [*said, *wrong]


def init_(
    module: nn.Module,
    encoding: UniversalEncoding | str | Path,
    images: Images | ArrayLike | None = None,
    *,
    layers: Sequence[str] | None = None,
    first: str = "auto",
    normalization: str | Normalization | None = None,
    max_images: int = 400,
    seed: int = 0,
    progress: Told = untold,
) -> Initialization:
    """Fill a module, in place, with neurons drawn from a universal encoding.

    Widths, kernel sizes and numbers of input channels are the module's own; depth and form must be the encoding's.

    Args:
        module: factorized or joint, as the encoding's networks are.
        encoding: the record, the path of its file, or the name of one that comes with the package.
        images: unlabelled images that the module will see, uint8 ``[n, c, h, w]``; a few hundred suffice. None takes
            the embedded photographs, which are RGB. The reference network sees their first three channels, or their
            only one three times.
        layers: names of those to fill, all hidden ones by default.
        first: "encoding" draws the first layer from the encoding, "images" from the closed form on the images
            (`covalign.studies.universal.drawing`), "auto" from the encoding where the module takes as many channels.
        normalization: how pixels enter the module; by default as the encoding's networks, or, with another number of
            channels, by mean and standard deviation of the images.
        max_images: at most so many images, drawn at random.
        seed: of everything random.
        progress: told the share that is done.

    Returns:
        What was done, with the scales of activations, layer by layer.

    Raises:
        InputError: a layer that the encoding does not have, images that the module cannot take, or an option that
            does not exist.
    """
    if first not in ("auto", "encoding", "images"):
        raise InputError(f"first: got {first!r}, expected auto, encoding or images")
    made = unwrap(module)
    check_weights(made)
    copied = working_copy(made)
    encoding = encoding if isinstance(encoding, UniversalEncoding) else load_encoding(encoding)
    given = load_images(PHOTOGRAPHS) if images is None else images
    pixels, name = _pixels(given, max_images, seed)
    reference = encoding.reference.network()
    network = read_network(copied, resolution=max(pixels.shape[2:]))
    pixels = _as_taken(pixels, network, embedded=images is None)
    network = read_network(network, normalization=_normalization(normalization, pixels, reference))
    assert network.normalization is not None
    target = _target(copied, network, encoding, layers, first)
    set_bank(copied, encoding)
    own = hidden_layers(reference)

    def coordinates(index: int, batch: Tensor) -> Tensor:
        return layer_inputs([(reference, own[index])], batch)[id(reference), own[index].name]

    _try(target, pixels)
    rows, _ = fill(target, encoding.layers, coordinates, pixels, for_reference(pixels), seed, progress)
    take_over(made, copied)
    return Initialization(tuple(rows), network.normalization, name, seed)


def _try(target: Target, pixels: UInt8[Tensor, "n c h w"]) -> None:
    """See that images pass through the whole network.

    Raises:
        InputError: they do not.
    """
    layer_inputs([(target.network, target.layers[-1])], pixels[:2])


def for_reference(pixels: UInt8[Tensor, "n c h w"]) -> UInt8[Tensor, "n 3 h w"]:
    """Return the images as RGB: their first three channels, or grey (the mean of fewer) three times."""
    if pixels.shape[1] >= 3:
        return pixels[:, :3].contiguous()
    grey = pixels.float().mean(1, keepdim=True).round().to(torch.uint8)
    return with_channels(grey, 3)


def set_bank(module: nn.Module, encoding: UniversalEncoding) -> None:
    """Give frozen stages the encoding's filters at their own kernel size, where they have as many."""
    if encoding.reference.bank is None:
        return
    bank = FilterBank(encoding.reference.bank.float(), {"name": "of an encoding"})
    for stage in factorized_stages(module):
        if 2 * len(bank.filters) == stage.slots:
            weight = stage.depthwise.weight
            signed = bank.resize(weight.shape[-1]).signed
            with torch.no_grad():
                weight.copy_(signed.repeat(len(weight) // stage.slots, 1, 1)[:, None])


def _pixels(images: Images | ArrayLike, most: int, seed: int) -> tuple[UInt8[Tensor, "n c h w"], str]:
    """Return pixels and the name of the images.

    Raises:
        InputError: what is no set of images.
    """
    if isinstance(images, Images):
        sample = images.sample(most, seed=seed)
        pixels, name = sample.pixels, f"{len(sample)} images of {images.name}"
    else:
        found = images if isinstance(images, Tensor) else torch.as_tensor(np.asarray(images))
        if found.ndim != 4 or found.dtype != torch.uint8:
            raise InputError(
                f"images: got {tuple(found.shape)} of {found.dtype}, expected uint8 pixels [n, c, h, w]"
            )
        order = torch.randperm(len(found), generator=torch.Generator().manual_seed(seed))[:most]
        pixels, name = found[order], f"{len(order)} images"
    check_count(len(pixels))
    return pixels, name


def _as_taken(
    pixels: UInt8[Tensor, "n c h w"], network: Network, *, embedded: bool
) -> UInt8[Tensor, "n k h w"]:
    """Return pixels with the channels that the module takes.

    Raises:
        InputError: channels that nothing can make up.
    """
    taken, given = network.intake.channels, pixels.shape[1]
    if taken is None or taken == given:
        return pixels
    if {taken, given} == {1, 3}:
        return with_channels(pixels, taken)
    what = "the embedded photographs have" if embedded else "these have"
    raise InputError(
        f"images: the network takes {taken} channels and {what} {given}; pass uint8 images [n, {taken}, h, w] as the "
        "network will see them (a few hundred, without labels)"
    )


def _normalization(
    stated: str | Normalization | None, pixels: UInt8[Tensor, "n c h w"], reference: Network
) -> Normalization:
    if isinstance(stated, str):
        return named(stated)
    if stated is not None:
        return stated
    if reference.normalization is not None and len(reference.normalization.mean) in (1, pixels.shape[1]):
        return reference.normalization
    values = pixels.double().movedim(1, 0).flatten(1) / 255
    mean, deviation = values.mean(1), values.std(1, correction=0).clamp(min=1e-3)
    return Normalization("of the images", tuple(mean.tolist()), tuple(deviation.tolist()))


def _target(
    module: nn.Module,
    network: Network,
    encoding: UniversalEncoding,
    chosen: Sequence[str] | None,
    first: str,
) -> Target:
    """Say which layers are filled from which.

    Raises:
        InputError: layers that the encoding does not have.
    """
    layers, spec = hidden_layers(network), TrainingSpec.of(encoding.reference.spec)
    check_names(chosen, [layer.name for layer in layers])
    encoded = encoding.layers
    if len(layers) != len(encoded):
        beyond = layers[len(encoded)].name if len(layers) > len(encoded) else "its last ones"
        raise InputError(
            f"init_: the network has {len(layers)} hidden layers, the encoding {len(encoded)} ({spec.architecture}): "
            f"it has no such layer as {beyond!r}; use an architecture of that depth, or build an encoding of yours"
        )
    for layer, part in zip(layers, encoded, strict=True):
        if layer.form != part.form or layer.groups > 1:
            kind = layer.kind if layer.groups > 1 else layer.form
            raise InputError(
                f"init_: layer {layer.name!r} is {kind} and the encoding's {part.name!r} {part.form}: it has no such "
                f"layer; use a {part.form} network, or build an encoding of {layer.form} ones"
            )
    own_first = _own_first(layers[0], encoding, first)
    pairs = [(layer, i) for i, layer in enumerate(layers) if chosen is None or layer.name in chosen]
    return Target(module, network, tuple(layer for layer, _ in pairs), tuple(i for _, i in pairs), own_first)


def _own_first(layer: Layer, encoding: UniversalEncoding, first: str) -> bool:
    """Whether the first layer is drawn from the encoding.

    Raises:
        InputError: that was asked for, and it reads something else.
    """
    part = encoding.layers[0]
    if first == "encoding" and layer.channels != part.channels:
        raise InputError(
            f"first: the encoding's first layer reads {part.channels} inputs and the network's {layer.channels}: it "
            "has no such layer; take first='images', the closed form on your own images"
        )
    return first != "images" and layer.channels == part.channels

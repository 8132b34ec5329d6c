"""How many of a layer's weight directions does the network's accuracy need?

One layer's weights are projected onto r orthonormal directions of its input space,

    W <- W U_r U_r^T,

nothing is retrained, no batch norm is computed anew, and the accuracy is measured (Guth & Menard 2024, figure 2,
bottom right). With U_r the leading eigenvectors of the weight covariance, which shrinkage does not alter, nearly
all accuracy lies in few directions; random directions, and the principal components of the layer's inputs, are
the controls.
"""

import copy
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn
from torch.nn import functional

from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.haar import haar_frame
from covalign.errors import InputError
from covalign.networks.activations import ModuleSource
from covalign.networks.network import Layer, Network
from covalign.networks.readers.tracing import evaluation
from covalign.progress import Told, untold
from covalign.studies.inputs import layer_inputs
from covalign.studies.subjects import Source, open_subject
from covalign.studies.truncation.record import Truncation

BASES = ("weights", "random", "activations")
BATCH_SIZE = 250
PATCH_BATCH = 50
"""Images whose patches are held at a time."""


def rank_truncation(
    network: Source,
    layer: str,
    ranks: Sequence[int],
    images: Images,
    *,
    basis: str = "weights",
    seed: int = 0,
    progress: Told = untold,
) -> Truncation:
    """Measure accuracy with one layer's weights projected onto r directions, for every r in ``ranks``.

    The network itself stays as it is.

    Args:
        network: what `compare` takes, with a forward pass.
        layer: name of an ungrouped convolution or a linear layer.
        ranks: numbers r of directions, from 0 (no weights) to the layer's dimension d. In the basis of the weights
            everything from min(neurons, d) on changes nothing.
        images: raw pixels with true labels, whose classes are the network's outputs in order; test images.
        basis: "weights" (eigenvectors of the weight covariance, by eigenvalue), "random" (nested orthonormal
            directions, Haar-distributed), or "activations" (eigenvectors of the uncentred second moment of what
            the layer receives for ``images``; no labels are used).
        seed: of the random directions.
        progress: told the share of the ranks that is done.

    Raises:
        InputError: an unknown layer or basis, a layer that cannot be projected, ranks outside 0 ... d, a network
            without forward pass or known normalization, or one with fewer outputs than there are classes.
    """
    found = open_subject(network).network
    target = found.layer(layer)
    _check(target, ranks, basis)
    module, normalization = _runnable(found)
    module = copy.deepcopy(module)
    part = dict(module.named_modules()).get(layer)
    if not isinstance(part, nn.Conv2d | nn.Linear):
        raise InputError(
            f"layer {layer!r}: its weights are stored within those of others, or in another layout; choose a layer "
            "with a convolution or a linear map of its own"
        )
    untruncated = accuracy(module, normalization, images)
    directions = _directions(found, target, images, basis, max(ranks), seed)
    rows = []
    for done, rank in enumerate(ranks, 1):
        leading = directions[:, :rank]
        projected = (target.matrix @ leading) @ leading.T
        with torch.no_grad():
            part.weight.copy_(projected.reshape(part.weight.shape))
        rows.append({"rank": rank, "accuracy": accuracy(module, normalization, images)})
        progress("ranks", done / len(ranks))
    depth = [entry.name for entry in found.layers].index(layer) + 1
    same = {"network": found.name, "layer": layer, "depth": depth, "basis": basis, "d": target.dimension}
    table = pd.DataFrame([{**same, **row, "untruncated": untruncated} for row in rows])
    return Truncation(table, {"images": images.name, "count": len(images), "seed": seed})


def accuracy(module: nn.Module, normalization: Normalization, images: Images) -> float:
    """Return the share of images whose largest output is at their label, in evaluation mode.

    Raises:
        InputError: the network has fewer outputs than the images have classes.
    """
    correct = 0
    with evaluation(module):
        for pixels, labels in _batches(images):
            scores = module(_normalized(normalization, pixels))
            if scores.shape[1] < len(images.classes):
                raise InputError(
                    f"accuracy on {images.name}: the network has {scores.shape[1]} outputs for "
                    f"{len(images.classes)} classes; give images of the classes it was trained on"
                )
            correct += int((scores.argmax(1) == labels).sum())
    return correct / len(images)


def input_moment(network: Network, layer: Layer, images: Images) -> Float64[Tensor, "d d"]:
    """Return the uncentred second moment of what each neuron of a layer sees (patches, for kernels), summed.

    Args:
        network: with a forward pass.
        layer: an ungrouped convolution or a linear layer of it.
        images: raw pixels.
    """
    total = torch.zeros(layer.dimension, layer.dimension, dtype=torch.float64)
    for pixels in images.pixels.split(PATCH_BATCH):
        received = layer_inputs([(network, layer)], pixels)[id(network), layer.name]
        if layer.weight[0, 0].numel() > 1:
            kernel = tuple(layer.weight.shape[2:])
            received = functional.unfold(received, kernel, layer.dilation, layer.padding, layer.stride)
        seen = received.flatten(2) if received.ndim > 2 else received[..., None]
        total += torch.einsum("nap,nbp->ab", seen, seen)
    return total


def _directions(
    network: Network, layer: Layer, images: Images, basis: str, count: int, seed: int
) -> Float64[Tensor, "d r"]:
    if basis == "weights":
        return weight_covariance(layer.matrix).eigenvectors
    if basis == "random":
        return haar_frame(layer.dimension, count, torch.Generator().manual_seed(seed))
    vectors: Tensor = torch.linalg.eigh(input_moment(network, layer, images)).eigenvectors
    return vectors.flip(1)


def _runnable(network: Network) -> tuple[nn.Module, Normalization]:
    if not isinstance(network.source, ModuleSource) or network.normalization is None:
        raise InputError(
            f"network {network.name!r}: truncation needs a module that runs and the normalization of its pixels; "
            "pass its architecture as module.path:factory and a normalization (imagenet, cifar or none)"
        )
    return network.source.module, network.normalization


def _check(layer: Layer, ranks: Sequence[int], basis: str) -> None:
    if basis not in BASES:
        raise InputError(f"basis: got {basis!r}, expected one of {', '.join(BASES)}")
    if layer.kind not in ("convolution", "linear"):
        raise InputError(
            f"layer {layer.name!r}: a {layer.kind} convolution has no input space that its neurons share; "
            "choose an ungrouped convolution or a linear layer"
        )
    if not ranks or min(ranks) < 0 or max(ranks) > layer.dimension:
        raise InputError(
            f"ranks: got {list(ranks)}, expected numbers from 0 to {layer.dimension}, the dimension of {layer.name!r}"
        )


def _batches(images: Images) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(images.pixels.split(BATCH_SIZE), images.labels.split(BATCH_SIZE), strict=True)


def _normalized(normalization: Normalization, pixels: Tensor) -> Float32[Tensor, "n c h w"]:
    return normalization(pixels).contiguous(memory_format=torch.channels_last)

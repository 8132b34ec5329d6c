"""Where does a training on data that no member has seen begin?

Images split into those that train, choose and judge, and networks of every start, their norms settled.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from covalign import UniversalEncoding, init_, vgg11
from covalign.data.images import Images
from covalign.data.loading import load_images
from covalign.data.normalization import normalization
from covalign.encoding.haar import haar_frame
from covalign.networks.filters import analytic_filters
from covalign.networks.readers.opening import read_network
from covalign.storage.streams import stream
from covalign.studies.inputs import layer_inputs
from covalign.studies.structure import hidden_layers
from covalign.studies.universal.drawing import drawn_rows
from covalign.studies.universal.filling import Target, settle_norms
from covalign.training.store import RunStore, load_run

ENTER = normalization("imagenet")
HELD = 50
"""Training images of every class that choose ridge and rate."""
ALIGNED_ON = 400
SLOTS = 2 * len(analytic_filters().filters)
"""Coordinates that a factorized layer has for every channel."""


@dataclass(frozen=True)
class Data:
    """Images to train on, those that choose, and those that judge; and which are drawn."""

    train: Images
    held: Images
    test: Images

    def few(self, per_class: int, seed: int) -> Images:
        """Draw so many images of every class; 0 takes all."""
        if not per_class:
            return self.train
        chosen = []
        for label in range(len(self.train.classes)):
            own = (self.train.labels == label).nonzero()[:, 0]
            chosen.append(
                own[torch.randperm(len(own), generator=stream(seed, "few", per_class, label))[:per_class]]
            )
        return self.train.take(torch.cat(chosen))

    def unlabelled(self, seed: int) -> Images:
        """Images on which networks are aligned and norms measured."""
        return self.train.sample(ALIGNED_ON, seed=seed)


@dataclass(frozen=True, eq=False)
class Sources:
    """Where starts come from."""

    encoding: UniversalEncoding
    store: RunStore
    members: tuple[str, ...]
    larger: tuple[str, ...] = ()


def data(images: str) -> Data:
    """Split a set."""
    train, test = (load_images(images, split, resolution=32) for split in ("train", "test"))
    held = torch.zeros(len(train), dtype=torch.bool)
    for label in range(len(train.classes)):
        held[(train.labels == label).nonzero()[-HELD:, 0]] = True
    return Data(train.take((~held).nonzero()[:, 0]), train.take(held.nonzero()[:, 0]), test)


def start(method: str, sources: Sources, images: Data, seed: int) -> nn.Module:
    """Return a network of a method, its norms settled; nothing of it has seen a label of this set."""
    classes, sample = len(images.test.classes), images.unlabelled(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7_000_003 + seed)
        module = vgg11(form="factorized", width=sources.encoding.reference.spec["width"], classes=classes)
    if method == "member":
        member = load_run(sources.members[seed % len(sources.members)], sources.store)
        own = {k: v for k, v in member.module().state_dict().items() if not k.startswith("head.")}
        module.load_state_dict({**module.state_dict(), **own})
        return module
    if method == "encoding":
        init_(module, sources.encoding, sample, seed=seed, max_images=ALIGNED_ON)
        return module
    network = read_network(module, normalization=ENTER)
    layers = hidden_layers(network)
    larger = None
    if method == "selection":
        larger = load_run(sources.larger[seed % len(sources.larger)], sources.store).module()
    target = Target(module, network, layers, (), own_first=True)
    with torch.no_grad():
        for index, layer in enumerate(layers):
            weight = module.get_submodule(layer.name).weight
            if method == "orthogonal":
                nn.init.orthogonal_(weight, generator=stream(seed, "orthogonal", index))
            elif larger is not None:
                weight.copy_(selected(larger.get_submodule(layer.name).weight, weight))
            elif method == "unaligned":
                weight.copy_(turned_at_random(sources.encoding, index, weight, seed))
            elif method == "whitening" and index == 0:
                inputs = layer_inputs([(network, layer)], sample.pixels)[id(network), layer.name]
                weight.copy_(whitening(inputs.movedim(1, -1).flatten(0, -2), weight))
    settle_norms(target, sample.pixels)
    return module


def turned_at_random(encoding: UniversalEncoding, index: int, weight: Tensor, seed: int) -> Tensor:
    """Draw a layer of the encoding whose covariance is turned at random; the first keeps its coordinates."""
    part, draw = encoding.layers[index], stream(seed, "unaligned", index)
    rotation = haar_frame(part.channels, part.channels, draw) if index else torch.eye(part.channels).double()
    rows, _ = drawn_rows(part, rotation, len(weight), part.kernel, draw)
    return rows.reshape(weight.shape)


def whitening(inputs: Tensor, weight: Tensor) -> Tensor:
    """Leading directions of what a layer receives over their standard deviations, and their negatives."""
    rows = inputs.double()
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    count = len(weight) // 2
    kept = (vectors / (values + 1e-4 * values[-1]).sqrt()).flip(1)[:, :count].T
    both = torch.cat([kept, -kept])
    return (both * weight.square().mean().sqrt() / both.square().mean().sqrt()).reshape(weight.shape)


def selected(larger: Tensor, weight: Tensor) -> Tensor:
    """Take evenly spaced neurons and channels of a larger layer, with all slots of a channel (Xu et al. 2024)."""
    neurons, channels = (
        torch.arange(few) * many // few
        for few, many in ((len(weight), len(larger)), (weight.shape[1] // SLOTS, larger.shape[1] // SLOTS))
    )
    return larger.unflatten(1, (-1, SLOTS))[neurons][:, channels].reshape(weight.shape)

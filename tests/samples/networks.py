"""Networks of two or three stages on 8x8 images, with planted structure and known relatives."""

import copy

import torch
from torch import nn

from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.networks.architectures.blocks import FactorizedStage, JointStage
from covalign.networks.architectures.vgg import VGG
from covalign.networks.filters import analytic_filters
from covalign.networks.network import Network
from covalign.studies.subjects import load_network
from samples.planted import generator, orthonormal, spiked

CLASSES = ("left", "right")
NORMALIZATION = Normalization("these images", (0.44,), (0.24,))


def images(count: int = 60, seed: int = 0, side: int = 8) -> Images:
    """Noise, brighter on the side that the label names."""
    labels = torch.randint(2, (count,), generator=generator(seed))
    pixels = torch.randint(200, (count, 3, side, side), generator=generator(seed + 1), dtype=torch.uint8)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        image[..., side // 2 * label : side // 2 * (label + 1)] += 50
    return Images(pixels, labels, CLASSES, "noise", "test")


def module(form: str = "factorized", widths=(6, 8, 8), seed: int = 0, spikes: int = 3, pool=False) -> VGG:
    """A network in evaluation mode; every stage has ``spikes`` strong directions of its own."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sizes = list(zip((3, *widths), widths, strict=False))
        if form == "factorized":
            stages = [FactorizedStage(a, b, analytic_filters(), pool=pool) for a, b in sizes]
        else:
            stages = [JointStage(a, b, 3, pool=pool) for a, b in sizes]
        network = VGG(stages, nn.Linear(widths[-1], len(CLASSES), bias=False))
    for index, stage in enumerate(network.stages):
        plant(learned(stage).weight, spikes, seed + index)
    settle(network)
    return network.eval()


def learned(stage: nn.Module) -> nn.Conv2d:
    return stage.pointwise if isinstance(stage, FactorizedStage) else stage.convolution


@torch.no_grad()
def plant(weight: nn.Parameter, spikes: int, seed: int) -> None:
    """Add spikes of 20 sqrt(gamma) and less to weights of variance 1 / (3 fan_in)."""
    rows = weight.flatten(1)
    n, d = rows.shape
    count = min(spikes, n, d)
    strength = torch.linspace(20, 10, count, dtype=torch.float64) * max(1.0, d / n) ** 0.5
    factors = torch.randn(n, count, generator=generator(seed), dtype=torch.float64) * strength.sqrt()
    signal = factors @ orthonormal(d, count, seed).T / (3 * d) ** 0.5
    weight += signal.to(weight).view_as(weight)


@torch.no_grad()
def settle(network: VGG) -> None:
    """Set the running averages of all batch norms to those of a batch."""
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    network.train()
    network(NORMALIZATION(images(64, seed=9).pixels))


@torch.no_grad()
def permuted(network: VGG, seed: int = 0) -> tuple[VGG, list[torch.Tensor]]:
    """A copy whose hidden channels are shuffled, by hand, so that it computes the same function."""
    twin = copy.deepcopy(network)
    orders = []
    for stage, following in zip(twin.stages, (*twin.stages[1:], None), strict=True):
        layer = learned(stage)
        order = torch.randperm(len(layer.weight), generator=generator(seed))
        orders.append(order)
        layer.weight.copy_(layer.weight[order].clone())
        if isinstance(stage, JointStage):  # its batch norm follows; a factorized one's precedes the channels
            shuffle_norm(stage.norm, order)
        if following is None:
            twin.head.weight.copy_(twin.head.weight[:, order].clone())
        elif isinstance(following, JointStage):
            following.convolution.weight.copy_(following.convolution.weight[:, order].clone())
        else:
            slots = slot_order(order, following.slots)
            following.pointwise.weight.copy_(following.pointwise.weight[:, slots].clone())
            shuffle_norm(following.norm, slots)
    return twin, orders


def slot_order(order: torch.Tensor, slots: int) -> torch.Tensor:
    """Coordinates of a factorized input whose channels are shuffled, the slots of a channel together."""
    return (order[:, None] * slots + torch.arange(slots)).flatten()


def shuffle_norm(norm: nn.BatchNorm2d, order: torch.Tensor) -> None:
    norm.running_mean.copy_(norm.running_mean[order].clone())
    norm.running_var.copy_(norm.running_var[order].clone())


def read(network: nn.Module, name: str = "net") -> Network:
    return load_network(network, name=name, normalization=NORMALIZATION)


def noisy(bulk: bool, seed: int = 0) -> nn.Module:
    """A network whose initializer is unknown: noise with spikes, or a spectrum without any bulk."""
    layer = nn.Conv2d(40, 30, 1, bias=False)
    noise = spiked(30, 40, 3, 8.0, seed=seed) * 0.02
    if not bulk:
        left, _, right = torch.linalg.svd(noise, full_matrices=False)
        noise = (left * torch.logspace(0, -3, 30, dtype=torch.float64)) @ right
    layer.weight.data = noise.float()[..., None, None]
    return nn.Sequential(nn.Conv2d(3, 40, 3, bias=False), nn.ReLU(), layer, nn.ReLU(), nn.Conv2d(30, 2, 1))

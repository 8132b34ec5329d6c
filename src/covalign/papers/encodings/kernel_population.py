"""Which joint networks show their kernels, and how is a sheet of small pictures drawn?

Figures 1 and 5 of Guth & Menard (2024) look at one population of joint networks: on the first data set two seeds with
true labels and one network with random labels at every kernel size, and on every other data set one network at the
smallest kernel size. A control trains on true labels with the recipe of the random ones, which takes few images at
some scales. Seeds differ between all of them, because networks of equal seed share their initial weights.
"""

from dataclasses import dataclass, replace
from itertools import count

from covalign.networks.architectures import vgg
from covalign.networks.network import Layer, Network
from covalign.papers.bench import Bench
from covalign.papers.exhibit import Training
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale

TRUE, RANDOM, CONTROL = "true labels", "random labels", "true labels, random recipe"
SEEDS = 2
"""Networks with true labels at every kernel size (our choice)."""

SMALLEST_MAP = 4
"""Side of the smallest maps on which patterns are compared; on 2x2 maps a kernel sees little but padding."""


@dataclass(frozen=True)
class Kernels:
    """What one network of the population was trained on."""

    data: str
    size: int
    labels: str
    seed: int

    @property
    def label(self) -> Label:
        """Its label among the trainings."""
        return Label(self.data, f"{self.size}x{self.size} {self.labels}", self.seed, "{data} {kind} {number}")


def population(scale: Scale) -> list[Kernels]:
    """Return every network, in the order of their seeds."""
    first, *others = scale.spatial
    found = [
        Kernels(first, size, labels, seed)
        for size in scale.kernel_sizes
        for labels, seeds in ((TRUE, SEEDS), (RANDOM, 1))
        for seed in range(seeds)
    ]
    smallest = min(scale.kernel_sizes)
    found.append(Kernels(first, smallest, CONTROL, 0))
    return found + [Kernels(data, smallest, TRUE, 0) for data in others]


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return the population by label; data sets beyond the first have linear heads, as the paper's at 32x32."""
    needed = {}
    for each, seed in zip(population(scale), count(200), strict=False):
        recipe = "kernels" if each.labels == TRUE else "kernels, random labels"
        spec = replace(scale.recipes[recipe], kernel_size=each.size, seed=seed)
        if each.labels == CONTROL:
            spec = replace(spec, labels="true")
        if each.data != scale.spatial[0]:
            spec = replace(spec, head="linear")
        needed[each.label] = Training(recipe, each.data, spec)
    return needed


def mosaic_training(scale: Scale) -> dict[Label, Training]:
    """Return the network whose 7x7 kernels are shown; where the recipes agree it is one of `trainings`."""
    label = Kernels(scale.spatial[0], 7, TRUE, 0).label
    shared = trainings(scale)[label]
    return {label: Training("mosaic", shared.data, replace(scale.recipes["mosaic"], seed=shared.spec.seed))}


def convolutions(bench: Bench, label: Label) -> Network:
    """Return the trained convolutions of a run, with their initial weights."""
    run = bench.runs[label]
    trained, initial = run.weights(), run.initial
    layers = (
        Layer(name.removesuffix(".weight"), "convolution", weight, initial=initial[name])
        for name, weight in sorted(trained.items())
        if weight.ndim == 4
    )
    return Network(str(label), tuple(layers))


def map_sides(bench: Bench, label: Label) -> list[int]:
    """Return the side of the maps that each layer of a run receives."""
    run = bench.runs[label]
    spec = run.spec
    return list(
        vgg.map_sides(spec.architecture, run.facts.resolution, spec.kernel_size, spec.first_stride)[:-1]
    )

"""Training step of a factorized VGG-11, forward and backward, against the literal form.

The rival is what the stage means, in PyTorch's own modules (the version is printed): grouped convolution, ReLU, batch
norm, 1x1 convolution and pool, in float32, on contiguous NCHW images. First both are run in float64 on a few images,
where losses and gradients must be equal; then both are timed in turn in one process. Peak memory is that of the
resident set above what the process had before the step, each form in a process of its own. The stated limit is the
measured rate of a square matrix product: the step's pointwise products, three for each stage, cannot be faster.

    python benchmarks/bench_training_step.py [--widths .25 .5 1] [--batch 128] [--threads 2] [--repeats 5]

Processor seconds are given beside seconds of the clock: on a machine that does other work only they mean something.
"""

import argparse
import copy
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from covalign.networks.architectures.blocks import FEWEST_IMAGES, FactorizedStage
from covalign.networks.architectures.vgg import VGG, map_sides, vgg11

SAME = 1e-9
"""Largest difference of two gradients in float64, relative to the largest entry, that counts as equal."""


class LiteralStage(nn.Module):
    """The rival: module by module."""

    def __init__(self, stage: FactorizedStage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, x: Tensor) -> Tensor:
        """Apply one after the other."""
        stage = self.stage
        maps: Tensor = stage.pool(stage.pointwise(stage.norm(torch.relu(stage.depthwise(x)))))
        return maps


def networks(width: float) -> dict[str, VGG]:
    """The same network in both forms, with weights of its own each."""
    torch.manual_seed(0)
    ours = vgg11("factorized", width)
    literal = copy.deepcopy(ours)
    for index, stage in enumerate(ours.stages):
        literal.stages[index] = LiteralStage(copy.deepcopy(stage))
    return {"ours": ours, "literal": literal}


def batch(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, 32, 32, generator=generator)
    return images, torch.randint(10, (size,), generator=generator)


def step(network: VGG, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Loss and gradients."""
    network.zero_grad()
    loss = functional.cross_entropy(network(images), labels)
    loss.backward()
    return [loss.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]


def difference(width: float) -> float:
    images, labels = batch(FEWEST_IMAGES)
    results = [step(network.double(), images.double(), labels) for network in networks(width).values()]
    pairs = zip(*results, strict=True)
    return max(float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)


def seconds(width: float, size: int, threads: int, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds by the clock and by the processors of each repeat, taken in turn."""
    torch.set_num_threads(threads)
    forms, data = networks(width), batch(size)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
    for repeat in range(repeats + 1):
        for name, network in forms.items():
            clock, processor = time.perf_counter(), time.process_time()
            step(network, *data)
            if repeat:
                found[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return found


def memory(name: str, width: float, size: int, threads: int) -> float:
    """Megabytes that the second step adds to the peak of one that had two images only."""
    torch.set_num_threads(threads)
    network = networks(width)[name]
    step(network, *batch(2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(network, *batch(size))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def product_rate(threads: int) -> float:
    """Best GFLOP/s of a product of 2048 x 2048 matrices in float32."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, 2048, 2048)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2e-9 * 2048**3 / min(times)


def products(width: float) -> float:
    """GFLOP of the pointwise products of one image: three for each stage."""
    stages = [stage for stage in networks(width)["ours"].stages if isinstance(stage, FactorizedStage)]
    sides = map_sides("vgg11", 32)
    return 6e-9 * sum(
        stage.pointwise.weight.numel() * side**2 for stage, side in zip(stages, sides[:-1], strict=True)
    )


def alone(function: Callable[..., object], *arguments: object) -> object:
    """Call in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(function, arguments)


def spread(values: list[float]) -> str:
    """Median and range, in milliseconds."""
    low, high = min(values) * 1e3, max(values) * 1e3
    return f"{statistics.median(values) * 1e3:.0f} ({low:.0f}-{high:.0f})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--widths", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    # Before this process grows: a child's peak begins with its parent's.
    peaks = {
        (name, width): float(str(alone(memory, name, width, options.batch, options.threads)))
        for width in options.widths
        for name in ("ours", "literal")
    }
    rate = product_rate(options.threads)
    print(f"PyTorch {torch.__version__}, {options.threads} threads, product of matrices {rate:.0f} GFLOP/s")
    print(
        "| width | ms | literal | ratio | processor ms | literal | ratio | of limit | MB | literal | ratio |"
    )
    print("|-|-|-|-|-|-|-|-|-|-|-|")
    for width in options.widths:
        apart = difference(width)
        assert apart < SAME, f"width {width}: both should be equal, differ by {apart:.0e}"
        times = seconds(width, options.batch, options.threads, options.repeats)
        columns = []
        for kind in range(2):
            ours, theirs = ([row[kind] for row in times[name]] for name in ("ours", "literal"))
            ratio = statistics.median(theirs) / statistics.median(ours)
            columns += [spread(ours), spread(theirs), f"{ratio:.2f}"]
        median = statistics.median(row[0] for row in times["ours"])
        limit = products(width) * options.batch / rate / median
        mine, literal = peaks["ours", width], peaks["literal", width]
        columns += [f"{limit:.0%}", f"{mine:.0f}", f"{literal:.0f}", f"{literal / mine:.1f}"]
        print(f"| {width} | " + " | ".join(columns) + " |", flush=True)


if __name__ == "__main__":
    main()

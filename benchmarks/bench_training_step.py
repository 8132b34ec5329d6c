"""Training step of a factorized VGG-11, forward and backward, against the literal form.

The rival is what the stage means, in PyTorch's own modules: grouped convolution, ReLU, batch
norm, 1x1 convolution and pool, in float32, on contiguous NCHW images. First both are run in float64 on a few images,
where losses and gradients must be equal. Then both are timed in turn, every time in a process of its own, since what
one leaves to the allocator is not the other's: seconds of the clock, median over the steps behind the first. Where
the machine computes in bfloat16, our step in it is timed as well, against the literal form in float32; there the
gradients of both differ by rounding (tests compare them with float64).

Peak memory is that of the resident set above what the process had before the step. The stated limit is the measured
rate of a square matrix product: the step's pointwise products, three for each stage, cannot be faster.

    python benchmarks/bench_training_step.py [--widths .25 .5 1] [--batch 128] [--threads 1 2] [--rounds 5]
"""

import argparse
import copy
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from harness import Row, write
from torch import Tensor, nn
from torch.nn import functional

from covalign.networks.architectures.blocks import FEWEST_IMAGES, FactorizedStage
from covalign.networks.architectures.vgg import VGG, map_sides, vgg11
from covalign.training.machine import fixed, resolve
from covalign.training.spec import TrainingSpec

SAME = 1e-9
"""Largest difference of two gradients in float64, relative to the largest entry, that counts as equal."""

STEPS = 3
"""Steps that are timed in one process, behind a first one."""

ASKED = {"float32": {0.25: 3.5, 0.5: 3.0, 1.0: 2.0}, "bfloat16": {0.25: 5.0, 0.5: 5.0, 1.0: 4.0}}


@dataclass(frozen=True)
class Form:
    """One way to compute the step: our stages or literal ones, in a precision, on so many threads."""

    literal: bool
    precision: str
    width: float
    threads: int
    batch: int


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


def network(width: float, literal: bool) -> VGG:
    """The same network in both forms."""
    torch.manual_seed(0)
    ours = vgg11("factorized", width)
    if literal:
        for index, stage in enumerate(ours.stages):
            ours.stages[index] = LiteralStage(copy.deepcopy(stage))
    return ours


def batch(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, 32, 32, generator=generator)
    return images, torch.randint(10, (size,), generator=generator)


def step(network: VGG, images: Tensor, labels: Tensor, precision: str = "float32") -> list[Tensor]:
    """Loss and gradients."""
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        scores = network(images)
    loss = functional.cross_entropy(scores.to(images.dtype), labels)
    loss.backward()
    return [loss.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]


def difference(width: float) -> float:
    images, labels = batch(FEWEST_IMAGES)
    results = [step(network(width, literal).double(), images.double(), labels) for literal in (False, True)]
    pairs = zip(*results, strict=True)
    return max(float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)


def threads_of(form: Form) -> AbstractContextManager[None]:
    """Hold of the machine what our training holds, and for the literal form the threads alone."""
    torch.set_num_threads(form.threads)
    spec = TrainingSpec(
        architecture="vgg11", form="factorized", images="none", threads=form.threads, batch_size=form.batch
    )
    return nullcontext() if form.literal else fixed(spec)


def seconds(form: Form) -> float:
    """Seconds of the clock of a step, median over some."""
    module, data, found = network(form.width, form.literal), batch(form.batch), []
    with threads_of(form):
        for _ in range(STEPS + 1):
            began = time.perf_counter()
            step(module, *data, form.precision)
            found.append(time.perf_counter() - began)
    return statistics.median(found[1:])


def memory(form: Form) -> float:
    """Megabytes that the second step adds to the peak of one that had two images only."""
    module = network(form.width, form.literal)
    with threads_of(form):
        step(module, *batch(2), form.precision)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        step(module, *batch(form.batch), form.precision)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def product_rate(precision: str, threads: int) -> float:
    """Best GFLOP/s of a product of 2048 x 2048 matrices."""
    torch.set_num_threads(threads)
    a, b = torch.randn(2, 2048, 2048).to(getattr(torch, precision))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(a, b)
        times.append(time.perf_counter() - start)
    return 2e-9 * 2048**3 / min(times)


def products(width: float) -> float:
    """GFLOP of the pointwise products of one image: three for each stage."""
    stages = [stage for stage in network(width, False).stages if isinstance(stage, FactorizedStage)]
    sides = map_sides("vgg11", 32)
    return 6e-9 * sum(
        stage.pointwise.weight.numel() * side**2 for stage, side in zip(stages, sides[:-1], strict=True)
    )


def alone(function: Callable[..., float], *arguments: object) -> float:
    """Call in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        return pool.apply(function, arguments)


def rival_of(form: Form) -> Form:
    """Return the literal form in float32."""
    return replace(form, literal=True, precision="float32")


def measured(form: Form, rounds: int, apart: float, peaks: dict[Form, float]) -> Row:
    """Measure one claim: a form of ours against the literal one in float32."""
    rival = rival_of(form)
    fast, slow = [], []
    for _ in range(rounds):
        fast.append(alone(seconds, form))
        slow.append(alone(seconds, rival))
    ratios = [b / a for a, b in zip(fast, slow, strict=True)]
    median, rate = statistics.median(fast), alone(product_rate, form.precision, form.threads)
    limit = products(form.width) * form.batch / rate
    threads = "thread" if form.threads == 1 else "threads"
    return Row(
        f"training step in {form.precision}, factorized VGG-11, width {form.width:g}, {form.threads} {threads}, wall",
        "PyTorch, module by module, float32",
        *(median, statistics.median(slow), statistics.median(ratios), min(ratios), max(ratios)),
        ASKED[form.precision].get(form.width, 1.0),
        *(peaks[form], peaks[rival]),
        f"{form.precision} products at {rate:.0f} GFLOP/s",
        *(limit / median, apart),
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--widths", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    spec = TrainingSpec(architecture="vgg11", images="none")
    precisions = dict.fromkeys(("float32", resolve(spec).precision))
    forms = [
        Form(False, precision, width, threads, options.batch)
        for width in options.widths
        for precision in precisions
        for threads in options.threads
    ]
    # Before this process grows: a child's peak begins with its parent's.
    peaks = {each: alone(memory, each) for form in forms for each in (form, rival_of(form))}
    apart = {width: difference(width) for width in options.widths}
    assert max(apart.values()) < SAME, f"both should be equal, differ by {apart}"
    rows = []
    for form in forms:
        rows.append(measured(form, options.rounds, apart[form.width], peaks))
        print(f"{rows[-1].work}: {rows[-1].ratio:.2f}x, {rows[-1].at_least:g}x asked", flush=True)
    write("training_step", rows)


if __name__ == "__main__":
    main()

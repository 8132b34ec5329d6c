"""What will a training cost, before it starts?

Time is measured, not looked up: one step of the very network on a few random images, on this machine. Memory and disk
follow from the sizes of weights, activations and images. All are estimates; other work on the machine adds to them.
"""

import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from covalign.training.machine import fixed, resolve
from covalign.training.run import build
from covalign.training.spec import TrainingSpec
from covalign.training.store import filter_bank

TIMED_PIXELS = 16 * 32 * 32
"""Pixels of the timed step: 16 images of 32x32, or fewer larger ones."""

DECISIVE = (
    "architecture",
    "form",
    "width",
    "kernel_size",
    "first_stride",
    "head",
    "norm",
    "in_channels",
    "filters",
    "precision",
    "device",
    "threads",
)
"""Fields that decide what a step costs; specs that differ in nothing else share one measurement."""


@dataclass(frozen=True)
class Cost:
    """An estimate: seconds of one process, bytes of memory while it runs, bytes on disk afterwards."""

    seconds: float
    memory: int
    disk: int


def training_cost(spec: TrainingSpec, images: int, classes: int, resolution: int) -> Cost:
    """Estimate one training from a timed step.

    Args:
        spec: what would be trained.
        images: training images, before ``max_images``.
        classes: outputs of the network.
        resolution: side of the images in pixels.
    """
    spec = resolve(spec)
    count = min(images, spec.max_images or images)
    step = _timed(TrainingSpec.of({name: getattr(spec, name) for name in DECISIVE}), classes, resolution)
    kept = 2 + len(spec.checkpoint_epochs)
    pixels = count * spec.in_channels * resolution**2
    number = 2 if spec.precision == "bfloat16" else 4
    return Cost(
        step.seconds * count * spec.epochs,
        int(3 * 4 * step.weights + 2 * number * step.activations * spec.batch_size + pixels),
        4 * kept * step.weights,
    )


@dataclass(frozen=True)
class _Step:
    """Of one image: seconds, forward and backward, and numbers that the layers put out. And all weights."""

    seconds: float
    activations: int
    weights: int


@lru_cache
def _timed(spec: TrainingSpec, classes: int, resolution: int) -> _Step:
    """Time two steps after a first one, and take the faster."""
    count = max(2, TIMED_PIXELS // resolution**2)
    with fixed(spec), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build(spec, classes, filter_bank(spec)).to(spec.device)
        batch = torch.randn(count, spec.in_channels, resolution, resolution, device=spec.device)
        batch = batch.contiguous(memory_format=torch.channels_last)
        outputs = _output_sizes(module.to(memory_format=torch.channels_last), batch)  # type: ignore[call-overload]
        seconds = [_step(spec, module, batch) for _ in range(3)]
    weights = sum(tensor.numel() for tensor in module.state_dict().values())
    return _Step(min(seconds[1:]) / count, outputs // count, weights)


def _output_sizes(module: nn.Module, batch: Tensor) -> int:
    """Count the numbers that all leaves put out in one pass."""
    total = 0

    def add(part: nn.Module, given: object, output: Tensor) -> None:
        nonlocal total
        total += output.numel()

    leaves = [part for part in module.modules() if not list(part.children())]
    handles = [part.register_forward_hook(add) for part in leaves]
    with torch.no_grad():
        module(batch)
    for handle in handles:
        handle.remove()
    return total


def _step(spec: TrainingSpec, module: nn.Module, batch: Tensor) -> float:
    started = time.perf_counter()
    bfloat16 = spec.precision == "bfloat16"
    with torch.autocast(torch.device(spec.device).type, torch.bfloat16, enabled=bfloat16):
        scores = module(batch).float()
    functional.cross_entropy(
        scores, torch.zeros(len(batch), dtype=torch.long, device=scores.device)
    ).backward()
    return time.perf_counter() - started

"""What does a start reach, with its readout alone or with all weights trained?

Budgets are few images a class, or all: how many a training sees, and at which rates it is tried.
"""

from dataclasses import dataclass
from typing import Any

import torch
from study_universal_own import RIDGES, ridge
from torch import Tensor, nn
from universal_starts import ENTER, Data, Sources, start

from covalign.data.augmentation import augment
from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.storage.streams import stream


@dataclass(frozen=True)
class Budget:
    """How many images a training sees, how many of them a step takes, and the rates that are tried."""

    shown: int
    batch: int
    rates: tuple[float, ...]


BUDGETS = {
    50: Budget(8000, 40, (0.003, 0.01, 0.03, 0.1)),
    10: Budget(8000, 40, (0.001, 0.003, 0.01, 0.03, 0.1)),
    0: Budget(60_000, 80, (0.01, 0.03, 0.06)),
}
"""By the number of different images a class; 0 means all 450."""
SEEDS = 5
READOUT = ("encoding", "default", "unaligned", "orthogonal", "member", "selection")
STARTS = ("default", "encoding", "member", "whitening", "orthogonal", "selection")


@dataclass(frozen=True, order=True)
class Cell:
    """One number that is measured: ``per_class`` 0 means all, ``rate`` 0 that only the readout is fitted."""

    part: str
    method: str
    per_class: int
    rate: float
    seed: int


def features(module: nn.Module, pixels: Tensor) -> Tensor:
    """Means over positions of the last stage, ``[n, d]``."""
    module.eval()
    with torch.no_grad():
        return torch.cat([module.stages(ENTER(part)).mean((2, 3)) for part in pixels.split(200)]).double()


def right(scores: Tensor, images: Images) -> float:
    """Share of images whose class has the highest score."""
    return float((scores.argmax(1) == images.labels).double().mean())


def fitted(seen: dict[str, Tensor], few: Images, images: Data) -> dict[str, float]:
    """Fit the readout, its strength chosen on held images, and judge it."""
    mean, deviation = seen["few"].mean(0), seen["few"].std(0) + 1e-8
    x, held, test = ((seen[name] - mean) / deviation for name in ("few", "held", "test"))
    y = nn.functional.one_hot(few.labels, len(few.classes)).double()
    y = y - y.mean(0)
    best = max((*RIDGES, 10.0), key=lambda strength: right(held @ ridge(x, y, strength), images.held))
    found = ridge(x, y, best)
    return {
        "accuracy": right(test @ found, images.test),
        "chosen_on": right(held @ found, images.held),
        "ridge": best,
    }


def judged(module: nn.Module, images: Images, enter: Normalization) -> float:
    """Accuracy of a whole network."""
    module.eval()
    with torch.no_grad():
        return right(torch.cat([module(enter(part)) for part in images.pixels.split(200)]), images)


def trained(
    module: nn.Module, cell: Cell, few: Images, images: Data, enter: Normalization = ENTER, marks: int = 0
) -> dict[str, Any]:
    """Train and judge, on held images also so many times along the way."""
    budget = BUDGETS[cell.per_class]
    steps = budget.shown // budget.batch
    optimizer = torch.optim.SGD(module.parameters(), lr=cell.rate, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, cell.rate, total_steps=steps, pct_start=0.25)
    draw, order = stream(cell.seed, "training", cell.per_class), torch.zeros(0, dtype=torch.int64)
    curve, loss = {}, torch.zeros(())
    for step in range(1, steps + 1):
        if len(order) < budget.batch:
            order = torch.randperm(len(few), generator=draw)
        now, order = order[: budget.batch], order[budget.batch :]
        module.train()
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(enter(augment(few.pixels[now], draw))), few.labels[now])
        loss.backward()
        optimizer.step()
        schedule.step()
        if marks and step * marks % steps == 0:
            curve[step * budget.batch] = judged(module, images.held, enter)
    return {
        "accuracy": judged(module, images.test, enter),
        "chosen_on": curve[budget.shown] if marks else judged(module, images.held, enter),
        "loss": float(loss.detach()),
        **({"curve": curve} if marks else {}),
    }


def readout(cell: Cell, sources: Sources, images: Data) -> dict[str, float]:
    """Fit the readout of one network."""
    module, few = start(cell.method, sources, images, cell.seed), images.few(cell.per_class, cell.seed)
    parts = {"few": few, "held": images.held, "test": images.test}
    return fitted({name: features(module, each.pixels) for name, each in parts.items()}, few, images)


def measured(cell: Cell, sources: Sources, images: Data, marks: int = 0) -> dict[str, Any]:
    """Return what is found of a cell; of a training also a curve, where marks are asked for."""
    if cell.part == "readout":
        return readout(cell, sources, images)
    module = start(cell.method, sources, images, cell.seed)
    return trained(module, cell, images.few(cell.per_class, cell.seed), images, marks=marks)

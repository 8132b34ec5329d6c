"""How is one network trained so that a kill changes nothing?

Stochastic gradient descent with cross-entropy. Every random draw (initialization, order of an epoch,
augmentation of a batch) comes from a stream that the seed and the position alone decide, so that weights, momentum
and position are the whole state: a training that resumes ends as one that never stopped, bit for bit on one machine.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn
from torch.nn import functional

from covalign.data.augmentation import augment
from covalign.data.images import Images
from covalign.data.normalization import normalization
from covalign.errors import InputError
from covalign.progress import Told, shown
from covalign.storage.streams import stream
from covalign.training.inputs import Pair, training_images
from covalign.training.machine import fixed, resolve
from covalign.training.run import (
    Epoch,
    Files,
    Memory,
    Run,
    build,
    epoch_name,
    packed,
    unpacked,
)
from covalign.training.schedule import learning_rate
from covalign.training.shelf import checkpoint_name
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore, filter_bank, identity

EVALUATION_BATCH = 100


def train(
    spec: TrainingSpec,
    store: RunStore | None = None,
    *,
    images: Pair | None = None,
    progress: Told | bool | None = True,
    on_epoch: Callable[[Epoch], object] = lambda row: None,
    checkpoint_seconds: float = 30.0,
    patience: float = math.inf,
) -> Run:
    """Train one network, or finish it, or return it if it is finished.

    Args:
        spec: what to train.
        store: where the run is kept; None keeps it in memory.
        images: training and test images with their true labels; None loads what the spec names.
        progress: what is told, or whether to show it; see `covalign.progress.shown`.
        on_epoch: called with every epoch that ends.
        checkpoint_seconds: longest time between two checkpoints; every epoch ends with one too.
        patience: seconds to wait for another process that trains the same.

    Raises:
        InputError: images and spec do not fit, or the training diverges (its last checkpoint is kept).
    """
    spec = resolve(spec)
    pair = training_images(spec, images)
    details = identity(spec, *pair)
    if store is None:
        files: Files = Memory({})
        _finish(files, details, spec, pair, progress, on_epoch, math.inf)
        return Run.open(files)
    if (run := store.standing(spec, *pair)) is not None:
        return run
    with store.lock(details["key"], patience):
        files = store.folder(details["key"])
        if "final.safetensors" not in files.files():
            _finish(files, details, spec, pair, progress, on_epoch, checkpoint_seconds)
        return Run.open(files)


@dataclass
class _Position:
    """Where a training is: everything that is neither weights nor momentum."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Training:
    """The state of a training in progress."""

    spec: TrainingSpec
    train: Images
    test: Images
    files: Files
    module: nn.Module
    optimizer: torch.optim.SGD
    position: _Position
    checkpoint_seconds: float


def _finish(
    files: Files,
    details: dict[str, Any],
    spec: TrainingSpec,
    images: Pair,
    progress: Told | bool | None,
    on_epoch: Callable[[Epoch], object],
    checkpoint_seconds: float,
) -> None:
    with fixed(spec), shown(progress) as told:
        training = _started(files, details, spec, images, checkpoint_seconds)
        title = f"{training.train.name} seed {spec.seed}"
        while training.position.epoch < spec.epochs:
            row = _epoch(training, partial(told, title))
            told(title, row.epoch / spec.epochs, _figures(row, spec.epochs))
            on_epoch(row)
        final = packed(training.module.state_dict())
        history = json.dumps(training.position.history, indent=1).encode()
        files.commit({"final.safetensors": final, "history.json": history}, drop=_checkpoints(files))


def _started(
    files: Files, details: dict[str, Any], spec: TrainingSpec, images: Pair, checkpoint_seconds: float
) -> _Training:
    """Draw the initial weights, keep them, and go to where the training stopped, if it did."""
    module = _initialized(spec, len(images[0].classes))
    kernels = [weight for weight in module.parameters() if weight.ndim == 4 and weight.requires_grad]
    for weight in kernels[: spec.frozen]:
        weight.requires_grad_(False)
    if "spec.json" not in files.files():
        text = json.dumps(details, indent=1).encode()
        files.commit({"spec.json": text, "initial.safetensors": packed(module.state_dict())})
    module = module.to(spec.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        [weight for weight in module.parameters() if weight.requires_grad],
        lr=spec.learning_rate,
        momentum=spec.momentum,
        weight_decay=spec.weight_decay,
    )
    training = _Training(spec, *images, files, module, optimizer, _Position(), checkpoint_seconds)
    _resume(training)
    return training


def _epoch(training: _Training, told: Callable[[float], None]) -> Epoch:
    """Train to the end of the current epoch, evaluate, and commit."""
    spec, position = training.spec, training.position
    order = torch.randperm(len(training.train), generator=stream(spec.seed, "order", position.epoch))
    started = saved = time.monotonic()
    before = position.seconds
    training.module.train()
    steps = _steps(training)
    while position.step < steps:
        _step(training, order)
        position.seconds = before + time.monotonic() - started
        told((position.epoch + position.step / steps) / spec.epochs)
        if time.monotonic() - saved >= training.checkpoint_seconds and position.step < steps:
            _checkpoint(training)
            saved = time.monotonic()
    test_loss, test_accuracy = _evaluate(training) if _is_due(training) else (None, None)
    row = Epoch(
        position.epoch + 1,
        learning_rate(spec, (position.epoch + 1) * steps - 1, steps),
        position.loss / position.seen,
        position.correct / position.seen,
        test_loss,
        test_accuracy,
        before + time.monotonic() - started,
    )
    training.position = _Position(epoch=row.epoch, history=[*position.history, asdict(row)])
    if row.epoch < spec.epochs:
        _checkpoint(training, keep=row.epoch in spec.checkpoint_epochs)
    return row


def _figures(row: Epoch, epochs: int) -> str:
    test = "" if row.test_accuracy is None else f", test {row.test_accuracy:.1%}"
    learned = f"loss {row.train_loss:.3f}, train {row.train_accuracy:.1%}{test}"
    return f"epoch {row.epoch}/{epochs}, {learned}, {row.seconds:.1f} s"


def _step(training: _Training, order: Tensor) -> None:
    """Take one step of gradient descent and advance the position."""
    spec, position, module = training.spec, training.position, training.module
    rate = learning_rate(spec, position.epoch * _steps(training) + position.step, _steps(training))
    training.optimizer.param_groups[0]["lr"] = rate
    batch = order[position.step * spec.batch_size : (position.step + 1) * spec.batch_size]
    generator = stream(spec.seed, "augmentation", position.epoch, position.step)
    pixels = augment(training.train.pixels[batch], generator, flip=spec.flip, crop_padding=spec.crop_padding)
    labels = training.train.labels[batch].to(spec.device)
    scores = _scores(spec, module, pixels)
    loss = functional.cross_entropy(scores, labels)
    value = loss.item()
    if not math.isfinite(value):
        raise InputError(
            f"training diverged: loss {value} at epoch {position.epoch + 1}, step {position.step + 1}, rate "
            f"{rate:.3g}; the last checkpoint is kept; lower learning_rate = {spec.learning_rate}"
        )
    training.optimizer.zero_grad()
    loss.backward()
    training.optimizer.step()
    position.step += 1
    position.seen += len(batch)
    position.loss += value * len(batch)
    position.correct += int((scores.argmax(1) == labels).sum())


def _scores(spec: TrainingSpec, module: nn.Module, pixels: Tensor) -> Float32[Tensor, "n classes"]:
    batch = normalization(spec.normalization)(pixels.to(spec.device))
    batch = batch.contiguous(memory_format=torch.channels_last)
    bfloat16 = spec.precision == "bfloat16"
    with torch.autocast(torch.device(spec.device).type, torch.bfloat16, enabled=bfloat16):
        scores: Tensor = module(batch).float()
    return scores


def _is_due(training: _Training) -> bool:
    """Say whether to pass the test images: after the last epoch, and once as many images were trained on.

    A training on few images of a large set would otherwise spend most of its time on the test images.
    """
    history = training.position.history
    since = next((i for i, row in enumerate(reversed(history)) if row["test_loss"] is not None), len(history))
    trained = (since + 1) * len(training.train)
    return trained >= len(training.test) or training.position.epoch + 1 == training.spec.epochs


@torch.no_grad()
def _evaluate(training: _Training) -> tuple[float, float]:
    """Return mean loss and accuracy on the test images."""
    training.module.eval()
    loss, correct = 0.0, 0
    parts = (each.split(EVALUATION_BATCH) for each in (training.test.pixels, training.test.labels))
    for pixels, labels in zip(*parts, strict=True):
        scores = _scores(training.spec, training.module, pixels).cpu()
        loss += functional.cross_entropy(scores, labels, reduction="sum").item()
        correct += int((scores.argmax(1) == labels).sum())
    return loss / len(training.test), correct / len(training.test)


def _checkpoint(training: _Training, keep: bool = False) -> None:
    """Commit weights, momentum and position; ``keep`` keeps the weights for good as well."""
    position = training.position
    tensors = {f"model.{name}": tensor for name, tensor in training.module.state_dict().items()}
    for index, weight in enumerate(training.optimizer.param_groups[0]["params"]):
        momentum = training.optimizer.state[weight].get("momentum_buffer")
        if momentum is not None:
            tensors[f"momentum.{index}"] = momentum
    name = f"checkpoint-{position.epoch:04d}-{position.step:06d}.safetensors"
    new = {name: packed(tensors, position=json.dumps(asdict(position)))}
    if keep:
        new[epoch_name(position.epoch)] = packed(training.module.state_dict())
    training.files.commit(new, drop=_checkpoints(training.files) - {name})


def _resume(training: _Training) -> None:
    """Continue from the committed checkpoint, if there is one."""
    name = checkpoint_name(training.files)
    if name is None:
        return
    tensors, metadata = unpacked(training.files, name)
    training.position = _Position(**json.loads(metadata["position"]))
    training.module.load_state_dict(
        {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    )
    for index, weight in enumerate(training.optimizer.param_groups[0]["params"]):
        if f"momentum.{index}" in tensors:
            buffer = torch.empty_like(weight).copy_(tensors[f"momentum.{index}"])
            training.optimizer.state[weight]["momentum_buffer"] = buffer


def _checkpoints(files: Files) -> frozenset[str]:
    name = checkpoint_name(files)
    return frozenset() if name is None else frozenset({name})


def _steps(training: _Training) -> int:
    batches = len(training.train) / training.spec.batch_size
    return math.floor(batches) if training.spec.drop_last else math.ceil(batches)


def _initialized(spec: TrainingSpec, classes: int) -> nn.Module:
    """Return the network with weights drawn from the seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(spec.seed, "initialization").initial_seed())
        return build(spec, classes, filter_bank(spec))

"""How near does each layer come to a reference while a network is trained?

R of every layer of the module in training with the layer of a reference that corresponds
(`covalign.studies.comparison.measure.compare`), a line of JSON for each layer and step. The module is read where it
is: its mode, gradients, hooks, buffers and all random state are afterwards as they were.
"""

import json
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.errors import InputError, unwritable
from covalign.networks.network import Network
from covalign.studies.comparison.measure import compare
from covalign.studies.pairing import Choice
from covalign.studies.subjects import Source, load_network

Record = TypeVar("Record")

TRAINED, REFERENCE = "in training", "reference"


@runtime_checkable
class Writer(Protocol):
    """What draws numbers against the step, such as ``torch.utils.tensorboard.SummaryWriter``."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Add a number."""
        ...


@dataclass(frozen=True)
class Tracked:
    """R of one layer at one step; numbers that are not known are NaN, and ``reason`` says why."""

    step: int
    layer: str
    R: float
    low: float
    high: float
    reason: str


class Tracker:
    """Log R of every layer to a reference along a training: call it with the module and the step.

    A call that is due appends a line of JSON for each layer, with the keys ``step, layer, R, low, high, reason``: R
    has no unit (0 unrelated, 1 the same learned weights), ``low`` and ``high`` are the ends of its 95 % interval, and
    what is not known is null. A file that is there is added to, so that a training that is resumed goes on in it.
    Steps of one training are no independent samples. Once a first call has succeeded, what cannot be measured, as
    with weights that are no longer finite, is a line with its reason (``layer`` is empty), and training goes on.

    Args:
        reference: another network: whatever `load_network` takes.
        images: what alignments are fitted to, uint8 ``[n, c, h, w]``, as for `compare`.
        path: of the file of JSON lines.
        every: calls at steps that are no multiple of it do nothing, unless ``now``.
        layers: see `covalign.studies.pairing.match_layers`.
        normalization: how the module's pixels are normalized; None takes the reference's.
        max_images: at most this many, drawn with ``seed``.
        seed: of everything random.
        writer: draws the same numbers, as ``R/layer``; such as ``torch.utils.tensorboard.SummaryWriter``.

    Raises:
        InputError: a reference that cannot be read, ``every`` below 1, or a path that cannot be written; when called
            first, a module that does not correspond to the reference.

    Example:
        >>> import json, tempfile, torch
        >>> from pathlib import Path
        >>> from covalign import load_images
        >>> _ = torch.manual_seed(0)
        >>> def network():
        ...     parts = torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 8, 3), torch.nn.ReLU()
        ...     return torch.nn.Sequential(*parts, torch.nn.Flatten(), torch.nn.Linear(128, 2))
        >>> images = load_images((torch.randint(256, (60, 3, 8, 8), dtype=torch.uint8), torch.arange(60) % 2))
        >>> path = tempfile.mkdtemp() + "/R.jsonl"
        >>> track = Tracker(network(), images, path, every=10, normalization="none")
        >>> module = network()
        >>> for step in range(11):  # a training loop
        ...     _ = track(module, step)
        >>> lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
        >>> [(line["step"], line["layer"]) for line in lines]
        [(0, '0'), (0, '2'), (10, '0'), (10, '2')]

    References:
        R is that of `debiased_similarity`, derived in ``docs/site/theory/debiased.md``.
    """

    def __init__(
        self,
        reference: Source,
        images: Images,
        path: str | Path,
        *,
        every: int = 1,
        layers: Choice | None = None,
        normalization: str | Normalization | None = None,
        max_images: int | None = 1000,
        seed: int = 0,
        writer: Writer | None = None,
    ) -> None:
        if every < 1:
            raise InputError(f"every: got {every}, expected a number of steps of at least 1")
        with undisturbed(reference if isinstance(reference, nn.Module) else nn.Module()):
            read = load_network(reference)
        self.normalization = normalization or read.normalization
        stated = read.normalization or self.normalization
        self.reference = detached(load_network(read, name=REFERENCE, normalization=stated))
        self.images = images.sample(max_images, seed=seed) if max_images else images
        self.path, self.every, self.layers, self.seed = Path(path), every, layers, seed
        self.writer = writer
        self.last: int | None = None
        append(self.path, ())

    def __call__(self, module: nn.Module, step: int, now: bool = False) -> list[Tracked]:
        """Measure and log, where the step is due and was not measured before.

        Args:
            module: the network in training; left as it is.
            step: of the training, from 0.
            now: measure whatever the step.

        Returns:
            What was logged; nothing where the step is not due.
        """
        if step == self.last or (step % self.every and not now):
            return []
        try:
            with undisturbed(module):
                found = self._measured(module, step)
        except InputError as error:
            if self.last is None:
                raise
            found = [Tracked(step, "", math.nan, math.nan, math.nan, str(error))]
        self.last = step
        append(self.path, found)
        if self.writer is not None:
            for each in found:
                draw(self.writer, each)
        return found

    def _measured(self, module: nn.Module, step: int) -> list[Tracked]:
        network = load_network(module, name=TRAINED, normalization=self.normalization)
        table = compare(
            {TRAINED: detached(network), REFERENCE: self.reference},
            self.images,
            self.layers,
            max_images=None,
            draws=1,
            seed=self.seed,
            controls=False,
            calibrate=False,
            curves=False,
            layer_map=False,
        ).table
        return [tracked(step, row) for row in table.to_dict("records")]


def tracked(step: int, row: dict[Any, Any]) -> Tracked:
    """Return what a row of `Comparison.table` says of R."""
    value, low, high = (float(row[name]) for name in ("debiased", "debiased_low", "debiased_high"))
    reason = row["debiased_reason"] or ("" if math.isfinite(value) else row["reason"])
    return Tracked(step, str(row["layer_a"]), value, low, high, str(reason))


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Leave random state of Python, NumPy and torch, and the buffers of a module, as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  others' draws, kept for them
    buffers = {buffer: buffer.detach().clone() for buffer in module.buffers()}
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        with torch.no_grad():
            for buffer, before in buffers.items():
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def detached(network: Network) -> Network:
    """Return a network whose weights are on the CPU and stay as they are now."""
    return replace(network, layers=tuple(map(_held, network.layers)))


def _held(record: Record) -> Record:
    changes: dict[str, Any] = {}
    for each in fields(record):  # type: ignore[arg-type]
        value = getattr(record, each.name)
        if isinstance(value, Tensor):
            changes[each.name] = value.detach().cpu()
        elif is_dataclass(value):
            changes[each.name] = _held(value)
    return replace(record, **changes)  # type: ignore[type-var]


def append(path: Path, found: Sequence[Tracked]) -> None:
    """Add a line of JSON for each; what a crash left of a line is ended first.

    Raises:
        InputError: it cannot be written.
    """
    lines = "".join(
        json.dumps({key: _known(value) for key, value in asdict(each).items()}) + "\n" for each in found
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, 2)
                lines = lines if file.read(1) == b"\n" else "\n" + lines
            file.write(lines.encode())
    except OSError as error:
        raise unwritable(path, error, "give a file in a writable folder") from error


def draw(writer: Writer, found: Tracked) -> None:
    """Hand a writer what is known."""
    for tag, value in (("R", found.R), ("R low", found.low), ("R high", found.high)):
        if math.isfinite(value):
            writer.add_scalar(f"{tag}/{found.layer}", value, found.step)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

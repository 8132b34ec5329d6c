"""What does a training leave behind?

A `Run`: the resolved spec, the history, the weights before and after, and those of the epochs that were kept.
Weights are read when they are asked for, from a folder of the store or from memory.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from covalign.data.normalization import normalization
from covalign.errors import InputError
from covalign.networks.architectures.resnet import resnet
from covalign.networks.architectures.vgg import vgg
from covalign.networks.filters import FilterBank
from covalign.networks.network import Layer, Network
from covalign.networks.readers.opening import read_network
from covalign.showing import Shown
from covalign.storage.folder import Folder
from covalign.storage.metadata import metadata_of
from covalign.training.facts import RunFacts
from covalign.training.shelf import history_of
from covalign.training.spec import TrainingSpec

Weights = dict[str, Tensor]


@runtime_checkable
class Files(Protocol):
    """Named byte strings that change together: a `Folder`, or `Memory`."""

    def files(self) -> dict[str, str]:
        """Return what is there: name to SHA-256."""
        ...

    def read(self, name: str) -> bytes:
        """Return the contents of one file."""
        ...

    def commit(self, new: Mapping[str, bytes], drop: frozenset[str] = frozenset()) -> None:
        """Add files and remove others, all at once."""
        ...


@dataclass(frozen=True, eq=False)
class Memory:
    """`Files` that end with the process."""

    contents: dict[str, bytes]

    def files(self) -> dict[str, str]:
        """Return what is there: name to SHA-256."""
        return {name: hashlib.sha256(content).hexdigest() for name, content in self.contents.items()}

    def read(self, name: str) -> bytes:
        """Return the contents of one file."""
        return self.contents[name]

    def commit(self, new: Mapping[str, bytes], drop: frozenset[str] = frozenset()) -> None:
        """Add files and remove others."""
        self.contents.update(new)
        for name in drop:
            del self.contents[name]


@dataclass(frozen=True)
class Epoch:
    """One row of the history.

    Attributes:
        epoch: 1 for the first.
        learning_rate: of its last step.
        train_loss: mean cross-entropy over the epoch, while the weights change.
        train_accuracy: likewise, between 0 and 1.
        test_loss: mean cross-entropy on the test images after the epoch; None where they were not passed.
        test_accuracy: likewise, between 0 and 1. Test labels are always the true ones.
        seconds: wall time, evaluation included.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float | None
    seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class Run(Shown):
    """A training: finished, or as far as its last checkpoint.

    Attributes:
        key: SHA-256 of everything that decides the weights.
        spec: the spec, with precision resolved.
        facts: what it saw: number and fingerprints of the images, class names.
        history: one row per epoch.
        files: where the weights are.
    """

    key: str
    spec: TrainingSpec
    facts: RunFacts
    history: tuple[Epoch, ...]
    files: Files

    @classmethod
    def open(cls, files: Files) -> "Run":
        """Read a run; its weights stay where they are."""
        document = json.loads(files.read("spec.json"))
        spec, history = TrainingSpec.of(document["spec"]), tuple(Epoch(**row) for row in history_of(files))
        return cls(document["key"], spec, RunFacts.of(document), history, files)

    @property
    def details(self) -> dict[str, Any]:
        """Everything that ``spec.json`` holds, environment included."""
        return dict(json.loads(self.files.read("spec.json")))

    @property
    def path(self) -> Path | None:
        """The run's folder; None where it lives in memory."""
        return self.files.path if isinstance(self.files, Folder) else None

    @property
    def complete(self) -> bool:
        """Whether the training reached its last epoch."""
        return "final.safetensors" in self.files.files()

    @property
    def name(self) -> str:
        """Short name for tables and captions: images (with random labels named) and seed."""
        return f"{self.facts.images} seed {self.spec.seed}"

    @property
    def initial(self) -> Weights:
        """All parameters and buffers before training."""
        return unpacked(self.files, "initial.safetensors")[0]

    @property
    def final(self) -> Weights:
        """All parameters and buffers after training."""
        if not self.complete:
            raise InputError(
                f"run {self.key[:12]}: stopped after epoch {len(self.history)} of {self.spec.epochs}; "
                "train the same spec again to finish it"
            )
        return unpacked(self.files, "final.safetensors")[0]

    def weights(self, epoch: int | None = None) -> Weights:
        """Return all parameters and buffers after an epoch (0: initial, None: final).

        Raises:
            InputError: that epoch's weights were not kept.
        """
        if epoch == 0:
            return self.initial
        if epoch is None or epoch == self.spec.epochs:
            return self.final
        if epoch_name(epoch) not in self.files.files():
            raise InputError(
                f"run {self.key[:12]}: weights of epoch {epoch} were not kept; kept: 0 and "
                f"{self.spec.epochs} and checkpoint_epochs = {list(self.spec.checkpoint_epochs)}"
            )
        return unpacked(self.files, epoch_name(epoch))[0]

    def module(self, epoch: int | None = None) -> nn.Module:
        """Return the network, in evaluation mode, with the weights after an epoch (None: final)."""
        weights = self.weights(epoch)
        module = build(self.spec, len(self.facts.classes), _bank(self.spec, weights))
        module.load_state_dict(weights)
        return module.eval()

    def at_epoch(self, epoch: int | None = None) -> Network:
        """Return layers and layer inputs of the network after an epoch (None: final).

        Each learned layer carries its initial weights and their variance, 1 / (3 fan_in) (PyTorch's default
        initialization; uniform on +-1/sqrt(fan_in)).
        """
        title = self.name if epoch is None else f"{self.name} epoch {epoch}"
        network = read_network(
            self.module(epoch), name=title, normalization=normalization(self.spec.normalization)
        )
        initial = self.initial
        return replace(
            network,
            layers=tuple(_with_initial(layer, initial) for layer in network.layers),
            resolution=self.facts.resolution,
            details={**network.details, "run": self.key, "spec": asdict(self.spec)},
        )

    @cached_property
    def network(self) -> Network:
        """The trained network, as `at_epoch` gives it."""
        return self.at_epoch()


def build(spec: TrainingSpec, classes: int, bank: FilterBank | None) -> nn.Module:
    """Return the untrained network of a spec, drawn from torch's global generator."""
    if spec.architecture == "resnet20":
        return resnet(20, classes, spec.in_channels)
    return vgg(
        spec.architecture,
        form=spec.form,
        width=spec.width,
        kernel_size=spec.kernel_size,
        classes=classes,
        head=spec.head,
        norm=spec.norm,
        in_channels=spec.in_channels,
        filters=bank,
        first_stride=spec.first_stride,
    )


def packed(tensors: Mapping[str, Tensor], **metadata: str) -> bytes:
    """Return tensors and text as one safetensors file."""
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata)


def unpacked(files: Files, name: str) -> tuple[Weights, dict[str, str]]:
    """Return the tensors and the text of one safetensors file."""
    content = files.read(name)
    try:
        return safetensors.torch.load(content), metadata_of(content)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{name}: not a safetensors file ({error})") from error


def epoch_name(epoch: int) -> str:
    """Return the name of the file that keeps an epoch's weights."""
    return f"epochs/{epoch:04d}.safetensors"


def _bank(spec: TrainingSpec, weights: Weights) -> FilterBank | None:
    """The frozen bank, from the weights themselves, so that its file is not needed again."""
    if spec.form == "joint":
        return None
    depthwise = weights["stages.0.depthwise.weight"]
    count = len(depthwise) // spec.in_channels // 2
    return FilterBank(depthwise[:count, 0], {"name": "from the run's weights"})


def _with_initial(layer: Layer, initial: Weights) -> Layer:
    weight = initial[f"{layer.name}.weight"].view_as(layer.weight)
    return replace(layer, initial=weight, init_variance=1 / (3 * layer.dimension))

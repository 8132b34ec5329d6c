"""What does a person mean by a network: a record, a module, a stored run, or the name of something to be read?

The one opener: whatever a study is given becomes a `Subject`, a network with its name and, where a training of ours
made it, the run.
"""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from covalign.data.normalization import Normalization
from covalign.networks.network import Network
from covalign.networks.readers.opening import read_network
from covalign.networks.stream import fold_token_norms
from covalign.storage.folder import MANIFEST
from covalign.training.run import Run
from covalign.training.store import RunStore, default_store, load_run

RUN_KEY = re.compile(r"[0-9a-f]{1,64}")
SURELY_A_KEY = 6
"""Digits from which a name is a run's key, whether or not the store has it."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network that is looked at.

    Attributes:
        name: unique among those that are looked at together.
        network: its layers.
        run: the training that it came from; None for a stranger.
    """

    name: str
    network: Network
    run: Run | None = None

    def on(self, device: str) -> "Subject":
        """Return the subject with its network on a device."""
        return Subject(self.name, self.network.on(device), self.run)

    @property
    def as_read(self) -> "Subject":
        """The subject with norms of tokens folded into what reads them (`covalign.networks.stream`)."""
        return Subject(self.name, fold_token_norms(self.network), self.run)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was recorded epoch by epoch; empty where no training is known."""
        return [asdict(epoch) for epoch in self.run.history] if self.run else []


Source: TypeAlias = Subject | Network | Run | nn.Module | str | Path
"""Whatever `open_subject` takes."""


def open_subject(
    source: Source,
    architecture: str | nn.Module | None = None,
    *,
    name: str | None = None,
    normalization: str | Normalization | None = None,
    resolution: int | None = None,
    layout: str | None = None,
    store: RunStore | None = None,
    inside: str | None = None,
    insist: Collection[str] = (),
) -> Subject:
    """Open a run by its folder or key, and anything else by `covalign.networks.readers.opening.read_network`.

    Args:
        source: a subject, a network, a run or a module; a run's folder or the first digits of its key;
            a weight file; ``timm:NAME``, ``torchvision:NAME``; ``module.path:factory``.
        architecture: for weight files, the module that they are the weights of, or what builds it.
        name: in tables and captions; the default is taken from the source.
        normalization: of the network's input pixels, where the source does not say.
        resolution: side of the images on which a module is looked at, where the source does not say.
        layout: of the images it takes: "first" ([n, c, h, w]) or "last"; None finds out.
        store: where run keys are looked up; None takes `covalign.training.store.default_store`.
        inside: of weight files, the prefix of the weights that are meant, where there are several sets.
        insist: of weight files, names of tensors that are layers, whatever they look like.

    Raises:
        InputError: what cannot be found, read or trusted.
    """
    if isinstance(source, Subject):
        return Subject(name or source.name, source.network, source.run)
    run = source if isinstance(source, Run) else None
    if isinstance(source, str | Path) and architecture is None and _names_a_run(source, store):
        run = load_run(source, store)
    if run is not None:  # a training says how its pixels are normalized
        source, normalization = run.network, None
    network = read_network(
        source,
        architecture,
        name=name,
        normalization=normalization,
        resolution=resolution,
        layout=layout,
        inside=inside,
        insist=insist,
    )
    return Subject(network.name, network, run)


def load_network(
    source: Source,
    architecture: str | nn.Module | None = None,
    *,
    name: str | None = None,
    normalization: str | Normalization | None = None,
    resolution: int | None = None,
    layout: str | None = None,
    inside: str | None = None,
    insist: Collection[str] = (),
) -> Network:
    """Read a network from wherever it is.

    Args:
        source: an `nn.Module`; a file (``.safetensors``; ``.pt``, ``.pth`` and other PyTorch weight files;
            ``.npz``; ``.h5``, ``.keras``; ``.onnx``), or a shard, an index or a folder of shards; a run, its folder
            or its key; ``timm:NAME``; ``torchvision:NAME``; ``module.path:factory``; or a `Network`, to which the
            options are applied.
        architecture: for weight files, what they are the weights of: a module (it is filled), or a name as
            above. Without it there are no layer inputs, and order and kinds are inferred.
        name: short name for tables and captions; the default is taken from the source.
        normalization: how this network's input pixels are normalized, by record or by name; the default is
            what the source itself says (timm, torchvision, runs).
        resolution: side of the images on which a module is looked at, where the source does not say; common sides
            are tried by default.
        layout: where its images have their channels, "first" ([n, c, h, w]) or "last" ([n, h, w, c]); found out by
            default.
        inside: of weight files, the prefix of the weights that are meant, where a file holds several sets (raw
            and averaged, generator and discriminator). By default one set is chosen; ``.details["inside"]`` says
            which, and ``.skipped`` lists the others with their prefixes.
        insist: of weight files, names of tensors that are layers, whatever they look like; ``.skipped`` says
            what was left out as doubtful.

    Returns:
        The network; ``.skipped`` says what was left out and why, ``.details`` how it was read. The layer
        inputs of a module come from the module itself: read it again after further training.

    Raises:
        InputError: what cannot be found, read or trusted; always one line that says what to do.
    """
    return open_subject(
        source,
        architecture,
        name=name,
        normalization=normalization,
        resolution=resolution,
        layout=layout,
        inside=inside,
        insist=insist,
    ).network


def subjects(networks: Sequence[Source] | Mapping[str, Source]) -> list[Subject]:
    """Open several sources, and give them unique names.

    Args:
        networks: what `open_subject` takes; a mapping gives them names.
    """
    items = networks.items() if isinstance(networks, Mapping) else [(None, source) for source in networks]
    found: list[Subject] = []
    for given, source in items:
        subject = open_subject(source)
        name, taken = given or subject.name, {each.name for each in found}
        others = (f"{name} ({copy})" for copy in itertools.count(2))
        unique = name if name not in taken else next(other for other in others if other not in taken)
        found.append(Subject(unique, subject.network, subject.run))
    return found


def _names_a_run(source: str | Path, store: RunStore | None) -> bool:
    path, key = Path(source), str(source)
    if (path / MANIFEST).is_file():
        return True
    if RUN_KEY.fullmatch(key) is None or path.exists():
        return False
    return len(key) >= SURELY_A_KEY or (store or default_store()).has(key)

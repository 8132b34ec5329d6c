"""What does an exhibit measure with: trained networks, their images, and a place to keep what was costly?"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from covalign.data.images import Images
from covalign.data.loading import load_split
from covalign.errors import InputError
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale
from covalign.progress import Told, untold
from covalign.storage.atomic import write_durably
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore

MEASUREMENT_VERSION = 5
"""Raised whenever the same networks and images would no longer give the same measurements."""


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything that is there once the trainings of an exhibit are done.

    Attributes:
        scale: how large all is.
        sources: DATA by role, where the command line names it.
        store: of the trainings; costly measurements are kept beside them.
        runs: trained networks by label.
        seed: of everything random in the measurements.
        progress: told the stage and the share of it that is done.
    """

    scale: Scale
    sources: Mapping[str, str]
    store: RunStore
    runs: Mapping[Label, Run] = field(default_factory=dict)
    seed: int = 0
    progress: Told = untold
    loaded: dict[tuple[str, str], Images] = field(default_factory=dict)

    def read_from(self, spec: TrainingSpec, data: str) -> TrainingSpec:
        """Return the spec with the images of a data set filled in; nothing is read (see `prepare`)."""
        entry = self.scale.data[data]
        if entry.transform is not None:
            return replace(spec, images=str(self._derived(data)))
        return replace(
            spec, images=self._source(data), classes=self._classes(data), resolution=entry.resolution
        )

    def images(self, data: str, split: str = "train") -> Images:
        """Return a data set, read once."""
        if (data, split) not in self.loaded:
            self.prepare(data)
            spec = self.read_from(TrainingSpec(), data)
            found = load_split(spec.images, split, resolution=spec.resolution, classes=spec.classes)
            self.loaded[data, split] = found
        return self.loaded[data, split]

    def prepare(self, data: str) -> None:
        """Write a data set that is made of another one to its file, once, so that workers can read it."""
        entry = self.scale.data[data]
        if entry.transform is None or self._derived(data).exists():
            return
        load = partial(
            load_split, self._source(data), resolution=entry.resolution, classes=self._classes(data)
        )
        made = entry.transform(load("train"), load("test"))
        arrays: dict[str, np.ndarray] = {"classes": np.array(made[0].classes)}
        for split, images in zip(("train", "test"), made, strict=True):
            arrays |= {f"{split}_images": images.pixels.numpy(), f"{split}_labels": images.labels.numpy()}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        write_durably(self._derived(data), buffer.getbuffer())

    def kept(self, *parts: object) -> Path:
        """Return the folder of a measurement, named by what decides it."""
        digest = hashlib.sha256(repr((MEASUREMENT_VERSION, *parts)).encode()).hexdigest()
        return self.store.root / "measurements" / digest[:16]

    def _source(self, data: str) -> str:
        entry = self.scale.data[data]
        source = self.sources.get(entry.role, entry.source)
        if source is None:
            raise InputError(f"{data}: no images; give them by --images {entry.role}=DATA")
        return source

    def _classes(self, data: str) -> int | tuple[int, ...] | tuple[str, ...] | None:
        entry = self.scale.data[data]
        if entry.drawn is not None and entry.role not in self.sources:
            return entry.drawn
        return entry.classes

    def _derived(self, data: str) -> Path:
        """Return the file of a data set that is made of another one."""
        entry = self.scale.data[data]
        made = (entry.transform.func.__name__, entry.transform.keywords) if entry.transform else None
        identity = (self._source(data), self._classes(data), entry.resolution, made)
        name = hashlib.sha256(repr(identity).encode()).hexdigest()[:16]
        return self.store.root / "derived" / f"{name}.npz"

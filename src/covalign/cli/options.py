"""What do several commands take, and how do they say where the result is?"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from cyclopts import Parameter

from covalign.errors import InputError
from covalign.storage.provenance import environment
from covalign.studies.result import Result
from covalign.studies.subjects import Subject, open_subject
from covalign.training.store import RunStore
from covalign.version import __version__

Out = Annotated[Path, Parameter(help="folder for report.html, results.json and the tables.")]
Layers = Annotated[list[str] | None, Parameter(help="names of layers; all by default.")]
Architectures = Annotated[
    list[str] | None,
    Parameter(
        help="module.path:factory that a weight file belongs to; one for all, or one per model in order."
    ),
]
Normalization = Annotated[
    str | None,
    Parameter(
        help="imagenet, cifar, none, or MEAN/STD (0.5/0.25; 0.5,0.4,0.4/0.2,0.2,0.3), for models that do not "
        "say how their pixels are normalized."
    ),
]
Split = Annotated[str, Parameter(help="which images to use.")]
LabelColumn = Annotated[str | None, Parameter(help="which label column to read, where a set has several.")]
Seed = Annotated[int, Parameter(help="of everything random.")]
Threads = Annotated[int | None, Parameter(help="Threads of the tensor library; its own choice by default.")]
Store = Annotated[
    Path, Parameter(help="Folder of stored trainings.", env_var="COVALIGN_STORE", show_env_var=True)
]
STORE = Path("covalign-runs")


def opened(
    models: Sequence[str], architectures: list[str] | None, store: Path, normalization: str | None = None
) -> list[Subject]:
    """Open each MODEL, with the architecture that belongs to it."""
    factories = one_each(architectures, len(models))
    return [
        open_subject(model, factory, normalization=normalization, store=RunStore(store))
        for model, factory in zip(models, factories, strict=True)
    ]


def one_each(architectures: list[str] | None, count: int) -> list[str | None]:
    """Return an architecture for each model: none, the same, or its own."""
    if not architectures:
        return [None] * count
    if len(architectures) == 1:
        return [*architectures] * count
    if len(architectures) != count:
        raise InputError(
            f"--architecture: got {len(architectures)} for {count} models, expected one, or one per model"
        )
    return [*architectures]


def set_threads(threads: int | None) -> None:
    """Set the threads of the tensor library."""
    if threads is None:
        return
    if threads < 1:
        raise InputError(f"--threads: got {threads}, expected at least 1")
    torch.set_num_threads(threads)


def typed() -> str:
    """Return what was typed."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])


def provenance() -> dict[str, Any]:
    """Return what a result keeps of how it came about."""
    return {"command": typed(), "covalign": __version__, "environment": environment()}


def write(result: Result, out: Path) -> None:
    """Save tables and report, and say where they are."""
    result.save(out, report=True)
    print(out / "report.html")

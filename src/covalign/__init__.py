"""covalign: do two neural networks learn the same thing? Compare their learned weights."""

import ast
import os
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

# Left alone, Intel's library chooses its kernels by the memory alignment of their arguments, and the same command
# gives other last bits from call to call. This has to be set before its first use.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

_MOVED = {
    "Calibration": "covalign.encoding.calibration.estimate",
    "CrossLayerMap": "covalign.studies.cross_layer.measure",
    "analytic_filters": "covalign.networks.filters",
    "calibrated_similarity": "covalign.encoding.calibration.estimate",
    "corrected_eigenvector_cosines": "covalign.encoding.calibration.estimate",
    "cross_layer_map": "covalign.studies.cross_layer.measure",
    "cross_validated_eigenvalues": "covalign.encoding.shrinkage",
    "filter_bank": "covalign.studies.spatial.bank",
    "fold_batch_norm": "covalign.networks.folding",
    "matched_cosines": "covalign.encoding.spatial",
    "mixture": "covalign.data.mixture",
    "open_source": "covalign.studies.subjects",
    "random_labels": "covalign.data.labels",
    "rank_truncation": "covalign.studies.truncation.measure",
    "resnet": "covalign.networks.architectures.resnet",
    "resnet20": "covalign.networks.architectures.resnet",
    "resnet32": "covalign.networks.architectures.resnet",
    "resnet44": "covalign.networks.architectures.resnet",
    "resnet56": "covalign.networks.architectures.resnet",
    "select_classes": "covalign.data.labels",
    "subspace_overlap": "covalign.encoding.spatial",
    "train_population": "covalign.training.many",
    "trajectory": "covalign.studies.trajectory.measure",
    "vgg": "covalign.networks.architectures.vgg",
}
"""Names that version 0.1.0 offered here; they still work, and warn."""

_RENAMED = {"open_source": "open_subject"}


def _homes() -> dict[str, str]:
    """Return the module of every public name, as ``__init__.pyi`` states it."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = (part for part in stub.body if isinstance(part, ast.ImportFrom))
    return {alias.name: str(part.module) for part in imports for alias in part.names}


_HOME = _homes()
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that the command line starts without torch."""
    if name in _HOME:
        globals()[name] = getattr(import_module(_HOME[name]), name)
        return globals()[name]
    if name not in _MOVED:
        raise AttributeError(f"module 'covalign' has no attribute {name!r}")
    now = _RENAMED.get(name, name)
    said = f"covalign.{name} is deprecated: use `from {_MOVED[name]} import {now}`"
    warnings.warn(said, DeprecationWarning, stacklevel=2)
    return getattr(import_module(_MOVED[name]), now)


def __dir__() -> list[str]:
    return __all__

"""covalign: do two neural networks learn the same thing? Compare their learned weights."""

import os
import warnings
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

# Left alone, Intel's library chooses its kernels by the memory alignment of their arguments, and the same command
# gives other last bits from call to call. This has to be set before its first use.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

_MOVED = {
    "covalign.data.labels": "random_labels select_classes",
    "covalign.data.mixture": "mixture",
    "covalign.encoding.calibration.estimate": "Calibration calibrated_similarity corrected_eigenvector_cosines",
    "covalign.encoding.shrinkage": "cross_validated_eigenvalues",
    "covalign.encoding.spatial": "matched_cosines subspace_overlap",
    "covalign.networks.architectures.resnet": "resnet",
    "covalign.networks.architectures.vgg": "vgg",
    "covalign.networks.filters": "analytic_filters",
    "covalign.networks.folding": "fold_batch_norm",
    "covalign.studies.cross_layer.measure": "cross_layer_map",
    "covalign.studies.cross_layer.record": "CrossLayerMap",
    "covalign.studies.spatial.bank": "filter_bank",
    "covalign.studies.subjects": "open_source",
    "covalign.studies.trajectory.measure": "trajectory",
    "covalign.studies.truncation.measure": "rank_truncation",
    "covalign.training.many": "train_population",
}
"""Names that version 0.1.0 offered here, by where they are now; they still work, and warn."""

_RENAMED = {"open_source": "open_subject"}


@cache
def _homes() -> dict[str, str]:
    """Return the module of every public name, as ``__init__.pyi`` states it; read when one is first asked for."""
    import ast  # not at the top: the command line starts without it

    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = (part for part in stub.body if isinstance(part, ast.ImportFrom))
    return {alias.name: str(part.module) for part in imports for alias in part.names}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that the command line starts without torch."""
    if name == "__all__":
        return sorted(_homes())
    if name in _homes():
        globals()[name] = getattr(import_module(_homes()[name]), name)
        return globals()[name]
    home = next((module for module, names in _MOVED.items() if name in names.split()), None)
    if home is None:
        raise AttributeError(f"module 'covalign' has no attribute {name!r}")
    now = _RENAMED.get(name, name)
    said = f"covalign.{name} is deprecated: use `from {home} import {now}`"
    warnings.warn(said, DeprecationWarning, stacklevel=2)
    return getattr(import_module(home), now)


def __dir__() -> list[str]:
    return sorted(_homes())

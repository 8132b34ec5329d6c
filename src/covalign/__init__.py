"""covalign: do two neural networks learn the same thing? Compare their learned weights."""

import os
from importlib import import_module
from typing import Any

# Left alone, Intel's library chooses its kernels by the memory alignment of their arguments, and the same command
# gives other last bits from call to call. This has to be set before its first use.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

__version__ = "0.1.0"

_PUBLIC = {
    "covalign.errors": ("InputError",),
    "covalign.data.images": ("Images",),
    "covalign.data.loading": ("load_images",),
    "covalign.data.labels": ("random_labels", "select_classes"),
    "covalign.data.mixture": ("mixture",),
    "covalign.data.normalization": ("Normalization",),
    "covalign.networks.filters": ("FilterBank", "analytic_filters"),
    "covalign.networks.network": ("Layer", "Network"),
    "covalign.studies.subjects": ("load_network", "open_subject"),
    "covalign.networks.folding": ("fold_batch_norm",),
    "covalign.networks.architectures.resnet": ("resnet", "resnet20", "resnet32", "resnet44", "resnet56"),
    "covalign.networks.architectures.vgg": ("vgg", "vgg11"),
    "covalign.training.loop": ("train",),
    "covalign.training.many": ("train_population",),
    "covalign.training.spec": ("TrainingSpec", "preset"),
    "covalign.training.run": ("Run",),
    "covalign.training.store": ("RunStore", "load_run"),
    "covalign.encoding.alignment": ("Alignment", "procrustes"),
    "covalign.studies.comparison.record": ("load_comparison",),
    "covalign.encoding.bures": ("bures_wasserstein_cosine", "bures_wasserstein_distance"),
    "covalign.encoding.calibration.estimate": (
        "Calibration",
        "calibrated_similarity",
        "corrected_eigenvector_cosines",
    ),
    "covalign.studies.comparison.measure": ("Comparison", "align", "compare"),
    "covalign.encoding.covariance": ("WeightCovariance", "weight_covariance"),
    "covalign.studies.cross_layer.measure": ("CrossLayerMap", "cross_layer_map"),
    "covalign.studies.difference.measure": ("Difference", "diff"),
    "covalign.encoding.shrinkage": ("cross_validated_eigenvalues", "shrink_eigenvalues"),
    "covalign.encoding.similarity": ("Similarity", "eigenvector_cosines", "normalized_similarity"),
    "covalign.studies.spatial.measure": ("SpatialSummary", "spatial_summary"),
    "covalign.studies.trajectory.measure": ("trajectory",),
    "covalign.studies.truncation.measure": ("rank_truncation",),
    "covalign.encoding.spatial": (
        "SpatialCovariance",
        "matched_cosines",
        "spatial_covariance",
        "subspace_overlap",
    ),
    "covalign.studies.spatial.bank": ("filter_bank",),
    "covalign.first_layer.energy": ("EnergyProfile", "energy_profile"),
    "covalign.first_layer.patches": ("PatchCovariance", "patch_covariance"),
    "covalign.studies.first_layer.measure": ("FirstLayerSummary", "first_layer_summary"),
    "covalign.first_layer.prediction": ("fit_energy", "predicted_energy"),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that the command line starts without torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'covalign' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""What is known of a first layer: measured, predicted, or both?"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
from jaxtyping import Float
from torch import Tensor

from covalign.first_layer.dependence import LabelDependence, Verdict
from covalign.first_layer.energy import EnergyProfile, profile_correlation, sampling_limit
from covalign.first_layer.fourier import FourierAgreement
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import EnergyFit
from covalign.first_layer.whitening import Autocorrelation
from covalign.storage.atomic import write_durably

SCHEMA_VERSION = 1


@dataclass(frozen=True, eq=False)
class FirstLayerSummary:
    """A first layer beside its prediction; without a network, the prediction alone.

    Attributes:
        images: what the images are called.
        patches: their patch covariance.
        predictions: predicted profiles by name.
        network: what the network is called; empty without one.
        weight: its first-layer filters.
        profile: their measured energy profile, less the initial weights where they are known.
        before: profile of the initial weights, where they are known.
        fit: of the published formula to the measured profile.
        scaled_time: tau lambda_1^2 of all predictions: fitted, or as asked for.
        linear_cnn_time: the same that rate, width, steps and positions of the training imply for a linear
            CNN; None where the training is not known.
        fourier: how close the components are to Fourier modes.
        autocorrelations: by name, of the images and of filters' responses to them.
        dependence: correlations of classes with components; None with fewer than two classes.
        verdict: whether labels will change the profile; None with fewer than two classes.
        provenance: JSON-serializable.
    """

    images: str
    patches: PatchCovariance
    predictions: Mapping[str, EnergyProfile] = field(default_factory=dict)
    network: str = ""
    weight: Float[Tensor, "K c k k"] | None = None
    profile: EnergyProfile | None = None
    before: EnergyProfile | None = None
    fit: EnergyFit | None = None
    scaled_time: float | None = None
    linear_cnn_time: float | None = None
    fourier: FourierAgreement | None = None
    autocorrelations: Mapping[str, Autocorrelation] = field(default_factory=dict)
    dependence: LabelDependence | None = None
    verdict: Verdict | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def profiles(self) -> dict[str, EnergyProfile]:
        """Measured, fitted and predicted profiles by name, the measured one first."""
        known = {
            "measured": self.profile,
            "before training": self.before,
            "formula, fitted": self.fit.predicted if self.fit else None,
        }
        return {name: profile for name, profile in known.items() if profile} | dict(self.predictions)

    @property
    def agreements(self) -> dict[str, float]:
        """Correlation of the measured profile with each of the others; empty without a network."""
        if self.profile is None:
            return {}
        others = {name: profile for name, profile in self.profiles.items() if name != "measured"}
        return {name: profile_correlation(self.profile, other) for name, other in others.items()}

    @property
    def sampling_limit(self) -> float | None:
        """What the fit can be expected to reach at most, given the number of filters."""
        return sampling_limit(self.profile, self.fit.predicted) if self.profile and self.fit else None

    @property
    def table(self) -> pd.DataFrame:
        """A row per patch component: its standard deviation and every profile, not normalized."""
        columns = {name: profile.energy.tolist() for name, profile in self.profiles.items()}
        rank = range(1, self.patches.dimension + 1)
        deviations = self.patches.standard_deviations.tolist()
        return pd.DataFrame({"component": rank, "standard deviation": deviations, **columns})

    def save(self, folder: str | Path) -> Path:
        """Write ``results.json``, the table (parquet and CSV) and tensors (safetensors) into a folder."""
        target = Path(folder)
        write_durably(target / "profiles.parquet", self.table.to_parquet(index=False))
        write_durably(target / "profiles.csv", self.table.to_csv(index=False).encode())
        write_durably(target / "tensors.safetensors", safetensors.torch.save(self._tensors()))
        document = {"schema_version": SCHEMA_VERSION, "kind": "first layer", **self.numbers()}
        text = json.dumps(document, indent=1, allow_nan=False)
        write_durably(target / "results.json", text.encode())
        return target

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML page."""
        from covalign.studies.first_layer.page import write_report

        return write_report(self, path)

    def numbers(self) -> dict[str, Any]:
        """Return every figure that is not in the table, JSON-serializable."""
        patches, fit = self.patches, self.fit
        return {
            "network": self.network,
            "images": self.images,
            "patches": {
                "count": patches.patches,
                "images": patches.images,
                "kernel_size": patches.kernel_size,
                "centred": patches.centred,
                "frequency_rank_correlation": self.fourier and self.fourier.rank_correlation,
            },
            "filters": None if self.weight is None else len(self.weight),
            "initial_weights_subtracted": self.before is not None,
            "fit": fit
            and {
                "tau": fit.tau,
                "correlation": fit.correlation,
                "p_value": fit.p_value,
                "baseline_mean": fit.baseline.mean,
                "baseline_spread": fit.baseline.spread,
                "baseline": fit.baseline.correlations.tolist(),
                "sampling_limit": self.sampling_limit,
            },
            "scaled_time": self.scaled_time,
            "linear_cnn_time": self.linear_cnn_time,
            "agreements": self.agreements,
            "verdict": self.verdict and asdict(self.verdict),
            "autocorrelations": {
                name: {"horizontal": curve.horizontal.tolist(), "vertical": curve.vertical.tolist()}
                for name, curve in self.autocorrelations.items()
            },
            "provenance": self.provenance,
        }

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"components": self.patches.components, "weight": self.weight}
        return {name: value.contiguous() for name, value in tensors.items() if value is not None}

"""What is known of a first layer: measured, predicted, or both?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar

import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from covalign.first_layer.dependence import LabelDependence
from covalign.first_layer.energy import EnergyProfile, profile_correlation, sampling_limit
from covalign.first_layer.fourier import FourierAgreement
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import Baseline, EnergyFit
from covalign.first_layer.verdict import Verdict
from covalign.first_layer.whitening import Autocorrelation
from covalign.report.page import Page
from covalign.storage.results import Stored
from covalign.studies.first_layer.figures import energy_profiles
from covalign.studies.first_layer.first_schema import first_schema
from covalign.studies.first_layer.page import first_layer_page
from covalign.studies.first_layer.words import BEFORE, FITTED, MEASURED
from covalign.studies.result import Result


@dataclass(frozen=True, eq=False, repr=False)
class FirstLayerSummary(Result):
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

    KIND: ClassVar[str] = "first layer"
    PARTS: ClassVar[tuple[type, ...]] = (
        PatchCovariance,
        EnergyProfile,
        EnergyFit,
        Baseline,
        FourierAgreement,
        Autocorrelation,
        LabelDependence,
        Verdict,
    )

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
            MEASURED: self.profile,
            BEFORE: self.before,
            FITTED: self.fit.predicted if self.fit else None,
        }
        return {name: profile for name, profile in known.items() if profile} | dict(self.predictions)

    @property
    def agreements(self) -> dict[str, float]:
        """Correlation of the measured profile with each of the others; empty without a network."""
        if self.profile is None:
            return {}
        others = {name: profile for name, profile in self.profiles.items() if name != MEASURED}
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

    def figure(self) -> Figure | None:
        """Return the profiles, measured and predicted; None where there are none."""
        if not self.profiles:
            return None
        figure = Figure(layout="constrained")
        energy_profiles(self.profiles, figure.subplots())
        return figure

    def numbers(self) -> dict[str, Any]:
        """Return agreements, the number of filters, and what the fit can reach, as version 0.1 wrote them."""
        limit = self.sampling_limit
        return {
            "agreements": {name: value for name, value in self.agreements.items() if isfinite(value)},
            "filters": None if self.weight is None else len(self.weight),
            "initial_weights_subtracted": self.before is not None,
            "sampling_limit": limit if limit is not None and isfinite(limit) else None,
        }

    def page(self) -> Page:
        """Return the summary as a page."""
        return first_layer_page(
            self.images,
            self.patches,
            self.profiles,
            self.table,
            network=self.network,
            weight=self.weight,
            fit=self.fit,
            scaled_time=self.scaled_time,
            linear_cnn_time=self.linear_cnn_time,
            fourier=self.fourier,
            autocorrelations=self.autocorrelations,
            dependence=self.dependence,
            verdict=self.verdict,
            provenance=self.provenance,
        )

    def derived(self) -> dict[str, bytes]:
        """Return the table of profiles, as parquet and CSV."""
        table = self.table
        return {
            "profiles.parquet": table.to_parquet(index=False),
            "profiles.csv": table.to_csv(index=False).encode(),
        }

    @classmethod
    def first_schema(cls, stored: Stored) -> dict[str, Any]:
        """Return the fields, from what version 0.1 wrote; `first_schema` of this folder says what that lacks."""
        return first_schema(stored)

"""What of a first layer did version 0.1 keep?

Profiles, patch components and their standard deviations, filters, the fit, the verdict and the autocorrelations.
Not kept were the mean patch, the covariance of average patches and the classes' correlations with the components:
the first two are read as NaN, the third as None, so that the page leaves out its plot. The stride, not kept either,
is read as 0; off-diagonal shares of profiles as None. How components agree with Fourier modes follows from them.
"""

from typing import Any

import torch
from torch import Tensor

from covalign.first_layer.energy import EnergyProfile
from covalign.first_layer.fourier import fourier_agreement
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import Baseline, EnergyFit
from covalign.first_layer.verdict import Verdict
from covalign.first_layer.whitening import Autocorrelation
from covalign.storage.results import Stored
from covalign.studies.first_layer.words import BEFORE, FITTED, MEASURED


def first_schema(stored: Stored) -> dict[str, Any]:
    """Return the fields of a `FirstLayerSummary`, from what version 0.1 wrote."""
    document, table = stored.document, stored.tables["profiles"]
    energies = {name: torch.tensor(table[name].to_numpy(copy=True)) for name in table.columns[1:]}
    patches = _patches(document["patches"], energies.pop("standard deviation"), stored.tensors["components"])
    fit = document["fit"]
    fitted = energies.pop(FITTED, None)
    profiles = {
        name: EnergyProfile(energy, document["filters"] if name in (MEASURED, BEFORE) else None)
        for name, energy in energies.items()
    }
    same = ("images", "network", "scaled_time", "linear_cnn_time", "provenance")
    return {
        **{name: document[name] for name in same},
        "patches": patches,
        "profile": profiles.pop(MEASURED, None),
        "before": profiles.pop(BEFORE, None),
        "predictions": profiles,
        "weight": stored.tensors.get("weight"),
        "fit": None if fit is None or fitted is None else _fit(fit, fitted),
        "fourier": fourier_agreement(patches),
        "autocorrelations": {name: _curve(kept) for name, kept in document["autocorrelations"].items()},
        "verdict": document["verdict"] and Verdict(**document["verdict"]),
    }


def _patches(kept: dict[str, Any], deviations: Tensor, components: Tensor) -> PatchCovariance:
    unknown = torch.full((len(deviations),), torch.nan, dtype=torch.float64)
    return PatchCovariance(
        standard_deviations=deviations,
        eigenvectors=components.flatten(1).T,
        mean=unknown,
        average_covariance=unknown.expand(len(unknown), -1),
        images=kept["images"],
        positions=kept["count"] // kept["images"],
        kernel_size=kept["kernel_size"],
        channels=components.shape[1],
        stride=0,
        centred=kept["centred"],
    )


def _fit(kept: dict[str, Any], predicted: Tensor) -> EnergyFit:
    draws = torch.tensor(kept["baseline"], dtype=torch.float64)
    baseline = Baseline(draws, kept["baseline_mean"], kept["baseline_spread"])
    return EnergyFit(kept["tau"], kept["correlation"], EnergyProfile(predicted), baseline, kept["p_value"])


def _curve(kept: dict[str, list[float]]) -> Autocorrelation:
    return Autocorrelation(
        *(torch.tensor(kept[way], dtype=torch.float64) for way in ("horizontal", "vertical"))
    )

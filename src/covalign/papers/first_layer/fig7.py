"""Figure 7 of Chowers & Weiss (2023): how well does the formula's curve follow the learned one?"""

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from covalign.figures.style import journal
from covalign.first_layer.prediction import predicted_energy
from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, Training, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import profiles
from covalign.papers.first_layer.population import CHOICES, TRUE
from covalign.papers.first_layer.table3 import FITS
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale

SHORT = {TRUE: "VGG"}
NEAR = 3
"""Our bound: the two curves have their maxima within so many components."""


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return a VGG of true labels on every data set, and a residual network on the first."""
    every = population.true_trainings(scale)
    first = {training.data: label for label, training in reversed(every.items())}
    return {label: every[label] for label in reversed(first.values())} | population.residual_training(scale)


def measure(bench: Bench) -> Measurements:
    """Fit the last profile of each network."""
    patches = population.patches_of(bench, bench.scale.first_layers)
    layers = [
        layer for layer in population.first_layers(bench, trainings(bench.scale), patches) if layer.last
    ]
    fits = population.fits(layers, patches)
    table = population.curves(layers, patches)
    predicted = []
    for row in fits.itertuples():
        covariance = patches[row.data]
        tau = row.scaled_time / float(covariance.standard_deviations[0]) ** 2
        energy = predicted_energy(covariance, tau).energy
        predicted += (energy / energy.max()).tolist()
    return Measurements(
        {"curves": table.assign(predicted=predicted), "fits": fits, "networks": accuracies(bench)}
    )


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw a panel for each network: what it learned, and the formula at the time that fits."""
    table, fits = measured.tables["curves"], measured.tables["fits"].set_index("a")
    networks = list(dict.fromkeys(table["network"]))
    with matplotlib.rc_context(journal(columns=0.72 * len(networks), ratio=0.8 / len(networks))):
        figure = Figure(layout="constrained")
        axes = figure.subplots(1, len(networks), squeeze=False, sharey=True)[0]
        for network, ax in zip(networks, axes, strict=True):
            rows = table[table["network"] == network].set_index("component")
            profiles({"learned": rows["energy"], "formula": rows["predicted"]}, ax)
            kind = rows["kind"].iloc[0]
            ax.set_title(
                f"{rows['data'].iloc[0]}, {SHORT.get(kind, kind)}: r = {fits.loc[network, 'value']:.2f}"
            )
            ax.label_outer()
        axes[0].legend()
        return {"first-layer-fig7": figure}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 7."""
    fits = measured.tables["fits"]
    return [_follows(fits), _peaks_together(measured.tables["curves"])]


def _follows(fits: pd.DataFrame) -> Claim:
    listed = ", ".join(
        f"{row.a} {row.value:.2f} (random filters {row.baseline:.2f} +- {row.baseline_sd:.2f})"
        for row in fits.itertuples()
    )
    return Claim(
        "The curve computed from the images follows the learned one in every network.",
        ".96 for VGG11 on CIFAR-10, .97 on CelebA, .92 for ResNet18 on ImageNet (figure 7)",
        float(fits["value"].min()),
        None,
        holds(bool((fits["value"] >= FITS).all())),
        f"lowest of {len(fits)} correlations against our bound {FITS}: {listed}",
    )


def _peaks_together(table: pd.DataFrame) -> Claim:
    peaks = table.groupby("network")[["energy", "predicted"]].agg(lambda values: values.argmax() + 1)
    distance = (peaks["energy"] - peaks["predicted"]).abs()
    listed = ", ".join(f"{name}: {row.energy} and {row.predicted}" for name, row in peaks.iterrows())
    return Claim(
        "Both curves have their maximum at about the same component.",
        "components 8 and 5, from the plotted curves (figure 7a)",
        float(distance.max()),
        None,
        holds(bool((distance <= NEAR).all())),
        f"largest distance in components against our bound {NEAR}; learned and predicted: {listed}",
    )


EXHIBIT = Exhibit(
    "first-layer-fig7",
    "learned profiles beside the formula",
    "Chowers & Weiss (2023), figure 7",
    trainings,
    measure,
    draw,
    claims,
    (
        *CHOICES,
        "the residual network is ResNet-20 on 3x3 patches of the first data set, not ResNet-18 on 7x7 of ImageNet",
    ),
)

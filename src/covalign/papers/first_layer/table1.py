"""Table 1 of Chowers & Weiss (2023): do first layers agree across seeds, widths and architectures?"""

import math

import pandas as pd
from matplotlib.figure import Figure

from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, Training, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import table
from covalign.papers.first_layer.population import (
    ARCHITECTURES,
    CHOICES,
    INITIALS,
    SEEDS,
    WIDTHS,
    averaged,
    interval,
    summarized,
)
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale

START = "true labels and initial weights"
PUBLISHED = {
    ("cifar10", SEEDS): (0.99, 0.0),
    ("cifar100", SEEDS): (0.97, 0.0),
    ("cifar10", WIDTHS): (0.98, 0.0),
    ("cifar10", ARCHITECTURES): (0.87, 0.0),
    ("cifar10", START): (-0.13, 0.18),
    ("cifar100", START): (-0.04, 0.04),
}
SEEDS_AGREE, WIDTHS_AGREE, ARCHITECTURES_AGREE, UNRELATED = 0.95, 0.9, 0.8, 0.3
"""Our bounds; half the width has so few filters that sampling alone costs some hundredths."""


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return networks of true labels on every data set, a narrower and a residual one on the first."""
    return (
        population.true_trainings(scale)
        | population.narrow_training(scale)
        | population.residual_training(scale)
    )


def measure(bench: Bench) -> Measurements:
    """Compare the profiles of all networks of a data set, epoch by epoch."""
    patches = population.patches_of(bench, bench.scale.first_layers)
    layers = population.first_layers(bench, trainings(bench.scale), patches)
    values = population.agreements(layers, population.PAIRS)
    return Measurements({"values": values, "summary": summarized(values), "networks": accuracies(bench)})


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw the table at the end of training, and how networks agree on the way."""
    values = measured.tables["values"]
    during = values[values["quantity"].isin([SEEDS, WIDTHS, ARCHITECTURES])]
    figure = table(values, PUBLISHED, during, SEEDS_AGREE, "correlation of energy profiles")
    return {"first-layer-table1": figure}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about table 1."""
    summary = measured.tables["summary"]
    last = summary[summary["last"]]
    found = []
    for data in dict.fromkeys(last["data"]):
        rows = last[last["data"] == data].set_index("quantity")
        found.append(
            _agree(
                rows,
                SEEDS,
                f"Networks that differ in their seed have the same profile ({data}).",
                SEEDS_AGREE,
            )
        )
        found.append(_unlike_initial(rows.loc[START], data))
        if WIDTHS in rows.index:
            sentence = f"So have networks of half the width ({data})."
            found.append(_agree(rows, WIDTHS, sentence, WIDTHS_AGREE))
            sentence = f"So have a VGG and a residual network ({data})."
            found.append(_agree(rows, ARCHITECTURES, sentence, ARCHITECTURES_AGREE))
    return found


EXPECTED = {
    SEEDS: ".99, .97 and .99 on CIFAR-10, CIFAR-100 and CelebA (table 1)",
    WIDTHS: ".98 on all three (table 1; widths not stated)",
    ARCHITECTURES: ".87, .80 and .92 for ResNet-18 (table 1)",
}


def _agree(rows: pd.DataFrame, quantity: str, sentence: str, bound: float) -> Claim:
    found = rows.loc[quantity]
    level = rows.loc[INITIALS]["mean"] if INITIALS in rows.index else math.nan
    return Claim(
        sentence,
        EXPECTED[quantity],
        float(found["mean"]),
        interval(found),
        holds(bool(found["mean"] >= bound)),
        f"{averaged(found)}, against our bound {bound}; sampling alone allows {found['limit']:.2f}; "
        f"initial weights of two networks {level:.2f}",
    )


def _unlike_initial(found: pd.Series, data: str) -> Claim:
    return Claim(
        f"What is learned is not the initial profile ({data}).",
        "-.13 +- .18, -.04 +- .04 and -.18 +- .13 (table 1)",
        float(found["mean"]),
        interval(found),
        holds(bool(abs(found["mean"]) <= UNRELATED)),
        f"correlation of the learned change and the initial weights, {averaged(found)}, against our bound "
        f"+-{UNRELATED}",
    )


EXHIBIT = Exhibit(
    "first-layer-table1",
    "energy profiles across seeds, widths and architectures",
    "Chowers & Weiss (2023), table 1",
    trainings,
    measure,
    draw,
    claims,
    (*CHOICES, "the residual network is ResNet-20 instead of ResNet-18; a second width is half of the first"),
)

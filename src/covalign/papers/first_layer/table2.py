"""Table 2 of Chowers & Weiss (2023): do random labels teach the first layer the same as true ones?"""

import pandas as pd
from matplotlib.figure import Figure

from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, Training, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import table
from covalign.papers.first_layer.population import (
    CHOICES,
    FITTED,
    INITIALS,
    LABELS,
    RANDOM,
    SEEDS,
    SEEDS_RANDOM,
    averaged,
    interval,
    summarized,
)
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale

START = "random labels and initial weights"
PUBLISHED = {
    ("cifar10", LABELS): (0.90, 0.02),
    ("cifar100", LABELS): (0.91, 0.01),
    ("cifar10", START): (0.03, 0.22),
    ("cifar100", START): (0.14, 0.13),
}
AGREE, UNRELATED = 0.85, 0.3
"""Our bounds: profiles agree from here on; a profile says nothing about the other one below."""


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return networks of true and of permuted labels on every data set."""
    return population.true_trainings(scale) | population.random_trainings(scale)


def measure(bench: Bench) -> Measurements:
    """Compare the profiles of all networks of a data set, epoch by epoch."""
    needed = trainings(bench.scale)
    patches = population.patches_of(bench, bench.scale.first_layers)
    layers = population.first_layers(bench, needed, patches)
    values = population.agreements(layers, population.PAIRS)
    return Measurements({"values": values, "summary": summarized(values), "networks": accuracies(bench)})


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw the table at the end of training, and how true and random labels agree on the way."""
    values = measured.tables["values"]
    during = values[values["quantity"].isin([LABELS, SEEDS, SEEDS_RANDOM])]
    return {"first-layer-table2": table(values, PUBLISHED, during, AGREE, "correlation of energy profiles")}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about table 2, on every data set."""
    summary, networks = measured.tables["summary"], measured.tables["networks"]
    last = summary[summary["last"]].set_index(["data", "quantity"])
    data_sets = dict.fromkeys(summary["data"])
    agree = [_agree(last, networks, data) for data in data_sets]
    return agree + [_unlike_initial(last, networks, data) for data in data_sets]


def _agree(last: pd.DataFrame, networks: pd.DataFrame, data: str) -> Claim:
    found = last.loc[data, LABELS]
    fit = fitted(networks, data)
    levels = ", ".join(
        f"{quantity} {last.loc[data, quantity]['mean']:.2f}"
        for quantity in (SEEDS, SEEDS_RANDOM, INITIALS)
        if (data, quantity) in last.index
    )
    return Claim(
        f"Networks of true and of random labels have the same energy profile ({data}).",
        ".90 +- .02 on CIFAR-10, .91 +- .01 on CIFAR-100, .96 +- .03 on CelebA (table 2)",
        float(found["mean"]),
        interval(found),
        holds(bool(found["mean"] >= AGREE)) if fit >= FITTED else "not testable",
        f"{averaged(found)}, against our bound {AGREE}, judged where random-label networks fit {FITTED:.0%} of "
        f"their training images: they fit {fit:.0%}; sampling alone allows {found['limit']:.2f}; for "
        f"comparison {levels}",
    )


def _unlike_initial(last: pd.DataFrame, networks: pd.DataFrame, data: str) -> Claim:
    found = last.loc[data, START]
    return Claim(
        f"What a random-label network learns is not its initial profile ({data}).",
        ".03 +- .22 on CIFAR-10, .14 +- .13 on CIFAR-100, .08 +- .07 on CelebA (table 2)",
        float(found["mean"]),
        interval(found),
        holds(bool(abs(found["mean"]) <= UNRELATED)),
        f"correlation of the learned change and the initial weights, {averaged(found)}, against our bound "
        f"+-{UNRELATED}; training accuracy {fitted(networks, data):.0%}",
    )


def fitted(networks: pd.DataFrame, data: str) -> float:
    """Return the lowest training accuracy of the random-label networks of a data set."""
    chosen = networks[(networks["data"] == data) & (networks["kind"] == RANDOM)]
    return float(chosen["train_accuracy"].min())


EXHIBIT = Exhibit(
    "first-layer-table2",
    "energy profiles of true and of random labels",
    "Chowers & Weiss (2023), table 2",
    trainings,
    measure,
    draw,
    claims,
    CHOICES,
)

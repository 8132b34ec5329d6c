"""Table 3 of Chowers & Weiss (2023): does the formula predict what the first layer learns?"""

import pandas as pd
from matplotlib.figure import Figure

from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, Training, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import table
from covalign.papers.first_layer.population import BINARY, CHOICES, TRUE, averaged, interval, summarized
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale

PUBLISHED = {
    ("cifar10", TRUE): (0.94, 0.01),
    ("car-truck", BINARY): (0.93, 0.01),
    ("dog-frog", BINARY): (0.91, 0.02),
    ("cat-dog", BINARY): (0.95, 0.01),
    ("bird-plane", BINARY): (0.96, 0.005),
    ("boat-plane", BINARY): (0.96, 0.01),
}
FITS = 0.9
"""Our bound, below every mean of the paper."""


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return networks of true and of permuted labels on every data set, and of two classes."""
    return (
        population.true_trainings(scale)
        | population.random_trainings(scale)
        | population.binary_trainings(scale)
    )


def measure(bench: Bench) -> Measurements:
    """Fit every profile at every epoch that was kept."""
    needed = trainings(bench.scale)
    patches = population.patches_of(bench, (each.data for each in needed.values()))
    fits = population.fits(population.first_layers(bench, needed, patches), patches)
    return Measurements({"fits": fits, "summary": summarized(fits), "networks": accuracies(bench)})


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw the table at the end of training, and the fits on the way."""
    fits = measured.tables["fits"]
    during = fits[fits["quantity"] != BINARY]
    return {"first-layer-table3": table(fits, PUBLISHED, during, FITS, "correlation of profile and formula")}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about table 3: on every data set, on pairs of classes, and against chance."""
    fits, summary = measured.tables["fits"], measured.tables["summary"]
    data_sets = dict.fromkeys(summary[summary["quantity"] == TRUE]["data"])
    return [*(_predicted(summary, data) for data in data_sets), _pairs(summary), _chance(fits)]


def _predicted(summary: pd.DataFrame, data: str) -> Claim:
    rows = summary[(summary["data"] == data) & (summary["quantity"] == TRUE)]
    found = rows[rows["last"]].iloc[0]
    best = rows.loc[rows["mean"].idxmax()]
    return Claim(
        f"A formula of one parameter, computed from the images alone, predicts the energy profile ({data}).",
        ".94 +- .01 on CIFAR-10, .96 +- .01 on CelebA, .90 +- .01 on ImageNet (table 3)",
        float(found["mean"]),
        interval(found),
        holds(bool(found["mean"] >= FITS)),
        f"at the end of training, {averaged(found)}, against our bound {FITS}; sampling alone allows "
        f"{found['limit']:.2f}; best after epoch {best['epoch']:.0f} "
        f"({best['mean']:.2f})",
    )


def _pairs(summary: pd.DataFrame) -> Claim:
    found = summary[(summary["quantity"] == BINARY) & summary["last"]]
    listed = ", ".join(f"{row.data} {row.mean:.2f}" for row in found.itertuples())
    return Claim(
        "It also predicts the profiles of networks of two classes.",
        ".91 to .96 for five pairs (table 3)",
        float(found["mean"].min()),
        None,
        holds(len(found) > 0 and bool((found["mean"] >= FITS).all())),
        f"lowest of {len(found)} pairs, a network each, at the end of training, against our bound {FITS}: {listed}",
    )


def _chance(fits: pd.DataFrame) -> Claim:
    found = fits[fits["last"] & (fits["quantity"] != "random labels")]
    margin = found["value"] - found["baseline_95"]
    return Claim(
        "The fit is far better than that to random filters.",
        ".10 +- .15 for random initializations (table 3)",
        float(found["baseline"].mean()),
        None,
        holds(bool((margin > 0).all())),
        f"mean fit to random filters (standard deviation {found['baseline_sd'].mean():.2f}); every trained network "
        f"must exceed their 95 % quantile, here by {margin.min():.2f} or more, largest p-value "
        f"{found['p_value'].max():.3f}; in the authors' range of times trained networks fit "
        f"{found['authors'].mean():.2f} on average; lambda alone, without any fit, {found['unfitted'].mean():.2f}",
    )


EXHIBIT = Exhibit(
    "first-layer-table3",
    "the formula fitted to energy profiles",
    "Chowers & Weiss (2023), table 3",
    trainings,
    measure,
    draw,
    claims,
    (
        *CHOICES,
        "fits are judged at the end of training, as true and random labels are; the paper fits after 30 epochs",
        "the row of ImageNet networks is left out: their initial weights are not published",
    ),
)

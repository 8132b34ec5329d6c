"""Figure 3 of Chowers & Weiss (2023): what do profiles of true and of random labels look like?"""

import math

import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure

from covalign.figures.style import GREY, journal
from covalign.first_layer.energy import correlation
from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import by_data, profiles
from covalign.papers.first_layer.population import CHOICES, FITTED, RANDOM, TRUE, mean_curves
from covalign.papers.first_layer.table2 import AGREE, fitted, trainings

UNREAD = math.nan
READ = {
    TRUE: (
        *(0.16, 0.41, 0.56, 0.67, 0.58, 0.85, 0.95, 0.98, 0.63, 0.66, 0.58, 0.53, 0.52, 0.19),
        *(0.14, 0.10, 0.25, UNREAD, 0.05, 0.09, 0.06, 0.04, 0.03, UNREAD, 0.01, 0.01, UNREAD),
    ),
    RANDOM: (
        *(0.38, 0.66, 0.82, 0.86, 0.67, 0.80, 0.99, 0.76, 0.44, 0.45, 0.42, 0.35, 0.14, 0.15),
        *(0.14, 0.09, 0.23, 0.08, 0.05, 0.07, 0.05, 0.03, 0.03, 0.02, 0.02, 0.01, 0.00),
    ),
}
"""CIFAR-10 curves read off the published figure, within 0.03."""


def measure(bench: Bench) -> Measurements:
    """Take the profiles of all networks, and the times that fit them."""
    patches = population.patches_of(bench, bench.scale.first_layers)
    layers = population.first_layers(bench, trainings(bench.scale), patches)
    return Measurements(
        {
            "curves": population.curves(layers, patches),
            "fits": population.fits([layer for layer in layers if layer.last], patches, draws=1),
            "networks": accuracies(bench),
        }
    )


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw a panel for each data set: means of true and of random labels, single networks faintly."""
    table = measured.tables["curves"]
    with matplotlib.rc_context(journal()):
        figure, axes = by_data(table)
        for data, ax in axes.items():
            rows = table[table["data"] == data]
            means, single = {}, {}
            for kind in (TRUE, RANDOM):
                means[kind] = mean_curves(rows)[data, kind]
                single[kind] = rows[rows["kind"] == kind].pivot_table("energy", "component", "network")
            profiles(means, ax, single)
            if data == "cifar10":
                for kind, style in ((TRUE, "-"), (RANDOM, "--")):
                    values, label = READ[kind], f"paper, {kind}"
                    ax.plot(range(1, len(values) + 1), values, style, color=GREY, linewidth=0.8, label=label)
            ax.legend()
        return {"first-layer-fig3": figure}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 3, and compare its curves with ours."""
    table, fits, networks = (measured.tables[name] for name in ("curves", "fits", "networks"))
    data_sets = list(dict.fromkeys(table["data"]))
    found = [_same_shape(table, networks, data) for data in data_sets]
    found.append(_random_is_earlier(fits))
    return found + [_like_published(table, kind) for kind in (TRUE, RANDOM) if "cifar10" in data_sets]


def _same_shape(table: pd.DataFrame, networks: pd.DataFrame, data: str) -> Claim:
    means, fit = mean_curves(table), fitted(networks, data)
    agreement = float(means[data, TRUE].corr(means[data, RANDOM]))
    return Claim(
        f"Profiles of true and of random labels have the same shape ({data}).",
        ".88 on CIFAR-10, .89 and .98 on the other two panels, from the plotted curves (figure 3)",
        agreement,
        None,
        holds(bool(agreement >= AGREE)) if fit >= FITTED else "not testable",
        f"correlation of the two mean profiles against our bound {AGREE}, judged where random-label networks fit "
        f"{FITTED:.0%} of their training images: they fit {fit:.0%}",
    )


def _random_is_earlier(fits: pd.DataFrame) -> Claim:
    times = fits.groupby(["data", "quantity"])["scaled_time"].median().unstack()
    ratio = times[RANDOM] / times[TRUE]
    listed = ", ".join(f"{data} {row[RANDOM]:.3g} and {row[TRUE]:.3g}" for data, row in times.iterrows())
    return Claim(
        "Random labels look like an earlier time of the formula.",
        "tau lambda_1^2 of 24 to 41 for random and 59 to 114 for true labels, fitted by us to the plotted curves",
        float(ratio.max()),
        None,
        holds(bool((ratio < 1).all())),
        f"largest ratio over data sets of the median fitted times, random over true labels; {listed}",
    )


def _like_published(table: pd.DataFrame, kind: str) -> Claim:
    ours = torch.tensor(mean_curves(table)["cifar10", kind].to_numpy())
    theirs = torch.tensor(READ[kind], dtype=torch.float64)
    read = ~theirs.isnan()
    agreement = correlation(ours[read], theirs[read])
    return Claim(
        f"Our profile is the one that the paper shows (cifar10, {kind}).",
        "1, less the error of reading a figure",
        agreement,
        None,
        holds(bool(agreement >= 0.9)),
        "correlation of our mean profile with the published curve, read off within .03, against our bound 0.9",
    )


EXHIBIT = Exhibit(
    "first-layer-fig3",
    "energy profiles of true and of random labels",
    "Chowers & Weiss (2023), figure 3",
    trainings,
    measure,
    draw,
    claims,
    CHOICES,
)

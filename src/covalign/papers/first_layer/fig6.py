"""Figure 6 of Chowers & Weiss (2023): does the first layer whiten its images?"""

from collections.abc import Iterator

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from covalign.figures.style import GREY, journal, series
from covalign.first_layer.whitening import autocorrelation, whitening_filters
from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import by_data, legend_below
from covalign.papers.first_layer.population import CHOICES, first_weight
from covalign.papers.first_layer.transformations import CIFAR

PIXELS, UNTRAINED, TRAINED = "pixels", "initial filters", "trained filters"
CHANGE, WHITENER = "learned change of the filters", "whitener of 3x3 patches"
IMAGES, FAR = 1000, 10
"""Test images, and the distance in pixels at which the paper compares."""
SAME, HALF = 0.05, 0.5
"""Our bounds: difference of two equal autocorrelations; share of the pixels' that a whitening layer leaves."""


def measure(bench: Bench) -> Measurements:
    """Take the autocorrelation of test images and of the responses of all filters to them."""
    patches = population.patches_of(bench, bench.scale.first_layers)
    tables = []
    for data, covariance in patches.items():
        images = bench.images(data, "test").sample(IMAGES, seed=bench.seed)
        sources = [(PIXELS, "", None), (WHITENER, "", whitening_filters(covariance))]
        for source, network, weight in [*sources, *_filters(bench, data)]:
            found = autocorrelation(images, weight, normalization=CIFAR)
            columns = {
                "data": data,
                "source": source,
                "network": network,
                "distance": range(len(found.horizontal)),
                "horizontal": found.horizontal.tolist(),
                "vertical": found.vertical.tolist(),
            }
            tables.append(pd.DataFrame(columns))
    return Measurements(
        {"autocorrelations": pd.concat(tables, ignore_index=True), "networks": accuracies(bench)}
    )


def _filters(bench: Bench, data: str) -> Iterator[tuple[str, str, Tensor]]:
    for label, training in population.true_trainings(bench.scale).items():
        if training.data == data:
            before, after = first_weight(bench.runs[label], 0), first_weight(bench.runs[label])
            for source, weight in ((UNTRAINED, before), (TRAINED, after), (CHANGE, after - before)):
                yield source, str(label), weight


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean over both directions and all networks: a row per data set and distance, a column per source."""
    both = table.assign(value=(table["horizontal"] + table["vertical"]) / 2)
    return both.pivot_table("value", ["data", "distance"], "source", sort=False)


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw a panel for each data set: autocorrelation against distance."""
    table = measured.tables["autocorrelations"]
    with matplotlib.rc_context(journal()):
        figure, axes = by_data(table)
        for data, ax in axes.items():
            curves = means(table).loc[data]
            for index, source in enumerate((PIXELS, UNTRAINED, TRAINED, CHANGE, WHITENER)):
                ax.plot(curves.index, curves[source], label=source, **series(index))
            ax.axhline(0, color=GREY, linewidth=0.6)
            ax.axvline(FAR, color=GREY, linewidth=0.6, linestyle=":")
            ax.set(xlabel="distance (pixels)", ylabel="autocorrelation")
        legend_below(figure, ax, 5)
        return {"first-layer-fig6": figure}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 6."""
    far = means(measured.tables["autocorrelations"]).xs(FAR, level="distance")
    return [_random_leaves_it(far), _learned_whitens(far)]


def _random_leaves_it(far: pd.DataFrame) -> Claim:
    difference = (far[UNTRAINED] - far[PIXELS]).abs()
    listed = ", ".join(f"{data} {row[UNTRAINED]:.2f} and {row[PIXELS]:.2f}" for data, row in far.iterrows())
    return Claim(
        "Random filters leave the autocorrelation of the pixels as it is.",
        "about that of the pixels, above .5, at 10 pixels (figure 6)",
        float(difference.max()),
        None,
        holds(bool(difference.max() <= SAME)),
        f"largest difference over data sets at 10 pixels against our bound {SAME}; filters and pixels: {listed}",
    )


def _learned_whitens(far: pd.DataFrame) -> Claim:
    ratio = far[TRAINED] / far[PIXELS]
    listed = "; ".join(
        f"{data} {row[TRAINED]:.2f} of {row[PIXELS]:.2f}, learned change alone {row[CHANGE]:.2f}, whitener "
        f"{row[WHITENER]:.2f}"
        for data, row in far.iterrows()
    )
    return Claim(
        "Learned filters whiten: little of the autocorrelation is left.",
        "about .2 where the pixels have more than .5, at 10 pixels (figure 6)",
        float(ratio.max()),
        None,
        holds(bool(ratio.max() <= HALF)),
        f"largest share over data sets of the pixels' autocorrelation at 10 pixels that is left, our bound {HALF}: "
        f"{listed}",
    )


EXHIBIT = Exhibit(
    "first-layer-fig6",
    "autocorrelation before and after the first layer",
    "Chowers & Weiss (2023), figure 6",
    population.true_trainings,
    measure,
    draw,
    claims,
    (*CHOICES, "no mean is removed from the responses; the paper does not say; both directions are averaged"),
)

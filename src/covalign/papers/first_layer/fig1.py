"""Figure 1 of Chowers & Weiss (2023): which components of the images does a first layer learn?"""

import math

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from covalign.figures.style import journal
from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import by_data, profiles
from covalign.papers.first_layer.population import CHOICES, TRUE, mean_curves

END, FLAT = 0.5, 2.0
"""Our bounds: both ends of a profile lie below this share of its maximum; an initial profile scatters by at most this
multiple of what so few random filters do."""


def measure(bench: Bench) -> Measurements:
    """Take the profiles of all networks of true labels, before and after training."""
    patches = population.patches_of(bench, bench.scale.first_layers)
    layers = population.first_layers(bench, population.true_trainings(bench.scale), patches)
    return Measurements({"curves": population.curves(layers, patches), "networks": accuracies(bench)})


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw a panel for each data set: trained and initial profiles, single networks faintly."""
    table = measured.tables["curves"]
    columns = {"trained": "energy", "initial": "initial"}
    with matplotlib.rc_context(journal()):
        figure, axes = by_data(table)
        for data, ax in axes.items():
            rows = table[table["data"] == data]
            profiles(
                {name: mean_curves(rows, column)[data, TRUE] for name, column in columns.items()},
                ax,
                {name: rows.pivot_table(column, "component", "network") for name, column in columns.items()},
            )
            ax.legend()
        return {"first-layer-fig1": figure}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 1."""
    table = measured.tables["curves"]
    data_sets = list(dict.fromkeys(table["data"]))
    return [*(_peaks_between(table, data) for data in data_sets), _starts_flat(table)]


def _peaks_between(table: pd.DataFrame, data: str) -> Claim:
    curve = mean_curves(table)[data, TRUE]
    tail = curve.iloc[-len(curve) // 3 :].max()
    return Claim(
        f"Trained first layers respond most to intermediate components ({data}).",
        ".16 of the maximum at component 1, .98 at component 8, at most .1 from component 19 (figure 1)",
        float(max(curve.iloc[0], tail)),
        None,
        holds(bool(max(curve.iloc[0], tail) < END)),
        f"mean profile: {curve.iloc[0]:.2f} of the maximum at component 1, at most {tail:.2f} in the last third, our "
        f"bound for both {END}; the maximum is at component {curve.idxmax()}",
    )


def _starts_flat(table: pd.DataFrame) -> Claim:
    scatter = table.groupby("network")[["initial", "energy"]].agg(lambda values: values.std() / values.mean())
    filters = table.groupby("network")["filters"].first()
    relative = scatter["initial"] * (2 * filters).map(math.sqrt)
    return Claim(
        "Before training the profile is flat.",
        "a flat line (figure 1)",
        float(relative.max()),
        None,
        holds(bool(relative.max() <= FLAT)),
        f"largest standard deviation over components, in units of the 1 / sqrt(2 K) that K random filters scatter "
        f"by, against our bound {FLAT:g}; relative to the mean it is {scatter['initial'].mean():.2f} before and "
        f"{scatter['energy'].mean():.2f} after training",
    )


EXHIBIT = Exhibit(
    "first-layer-fig1",
    "energy profiles before and after training",
    "Chowers & Weiss (2023), figure 1",
    population.true_trainings,
    measure,
    draw,
    claims,
    CHOICES,
)

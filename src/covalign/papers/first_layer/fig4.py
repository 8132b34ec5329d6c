"""Figure 4 of Chowers & Weiss (2023): what does the formula predict as training goes on?"""

import math
from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from covalign.figures.style import journal, series
from covalign.first_layer.prediction import predicted_energy
from covalign.papers.bench import Bench
from covalign.papers.exhibit import Claim, Exhibit, Measurements, Training, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import at_components, by_data, legend_below
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale

TIMES = (0.5, 5.0, 50.0, 500.0, 5000.0)
"""tau lambda_1^2."""
SLOPE = 0.1
"""Our bound on how far a log-log slope is from its limit."""


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return nothing: the formula needs images only."""
    return {}


def measure(bench: Bench) -> Measurements:
    """Evaluate the formula on the patches of every data set."""
    tables = []
    for data, covariance in population.patches_of(bench, bench.scale.first_layers).items():
        deviations = covariance.standard_deviations
        for time in TIMES:
            energy = predicted_energy(covariance, time / float(deviations[0]) ** 2).energy
            columns = {
                "data": data,
                "scaled_time": time,
                "component": range(1, len(energy) + 1),
                "deviation": (deviations / deviations[0]).tolist(),
                "energy": (energy / energy.max()).tolist(),
            }
            tables.append(pd.DataFrame(columns))
    return Measurements({"predictions": pd.concat(tables, ignore_index=True)})


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw a panel for each data set, a line a time, on a logarithmic scale."""
    table = measured.tables["predictions"]
    with matplotlib.rc_context(journal()):
        figure, axes = by_data(table)
        for data, ax in axes.items():
            for index, (time, rows) in enumerate(table[table["data"] == data].groupby("scaled_time")):
                label = rf"$\tau\lambda_1^2$ = {time:g}"
                ax.plot(rows["component"], rows["energy"], label=label, **series(index))
            ax.set(ylabel="predicted energy / maximum", yscale="log")
            at_components(ax, int(table["component"].max()))
        legend_below(figure, ax, len(TIMES))
        return {"first-layer-fig4": figure}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 4."""
    table = measured.tables["predictions"]
    return [_rises_then_falls(table), _moves(table)]


def _rises_then_falls(table: pd.DataFrame) -> Claim:
    scaled = table["scaled_time"] * table["deviation"] ** 2
    deviations, counted = [], 0
    for slope, chosen in ((1.0, scaled < 0.1), (-1.0, scaled > 5)):
        for _, rows in table[chosen & (table["deviation"] > 0)].groupby(["data", "scaled_time"]):
            if len(rows) >= 2:
                measured = np.polyfit(np.log(rows["deviation"]), np.log(rows["energy"]), 1)[0]
                deviations.append(abs(float(measured) - slope))
                counted += len(rows)
    worst = max(deviations, default=math.nan)
    return Claim(
        "Components that were hardly reached grow like lambda, those that were learned fall like 1 / lambda.",
        "log-log slopes +1 and -1 (theorems 4.2 and 4.3)",
        worst,
        None,
        holds(bool(worst <= SLOPE)),
        "largest distance of a log-log slope from +1 where tau lambda^2 < 0.1, and from -1 where it is above 5, "
        f"over {len(deviations)} stretches of {counted} components, against our bound {SLOPE}",
    )


def _moves(table: pd.DataFrame) -> Claim:
    peaks = {
        data: [
            int(rows.loc[rows["energy"].idxmax(), "component"]) for _, rows in found.groupby("scaled_time")
        ]
        for data, found in table.groupby("data", sort=False)
    }
    later = all(a <= b for found in peaks.values() for a, b in pairwise(found))
    moved = min(found[-1] - found[0] for found in peaks.values())
    listed = "; ".join(f"{data} {', '.join(map(str, found))}" for data, found in peaks.items())
    return Claim(
        "The longer the training, the later the component with the highest energy.",
        "the maximum moves to the right (figure 4)",
        float(moved),
        None,
        holds(later and moved > 0),
        f"smallest move, in components, from tau lambda_1^2 = {TIMES[0]:g} to {TIMES[-1]:g}, never backwards; "
        f"maxima: {listed}",
    )


EXHIBIT = Exhibit(
    "first-layer-fig4",
    "the formula at several training times",
    "Chowers & Weiss (2023), figure 4",
    trainings,
    measure,
    draw,
    claims,
    ("the times are ours; the paper's are not stated",),
)

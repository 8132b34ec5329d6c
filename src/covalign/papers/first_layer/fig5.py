"""Figure 5 of Chowers & Weiss (2023): do labels correlate with the components of patches?"""

import math

import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure

from covalign.figures.style import GREY, PALETTE, journal
from covalign.first_layer.dependence import holm, label_dependence
from covalign.first_layer.labelings import patch_energies
from covalign.first_layer.linear_cnn import one_hot
from covalign.papers.bench import Bench
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.fig4 import trainings
from covalign.papers.first_layer.panels import at_components, by_data, legend_below
from covalign.papers.first_layer.population import PATCH_IMAGES
from covalign.papers.first_layer.transformations import CIFAR

COEFFICIENT, ENERGY = "coefficient of the average patch", "energy of the patches"
SMALL, BEYOND = 0.1, 0.05
"""Our bounds: mean |r| that is small; share of correlations beyond chance that chance itself gives."""


def measure(bench: Bench) -> Measurements:
    """Correlate every class, one against the others, with every component's coefficient and energy."""
    tables = []
    for data, covariance in population.patches_of(bench, bench.scale.first_layers).items():
        images = bench.images(data).sample(PATCH_IMAGES, seed=bench.seed)
        energies = patch_energies(images, covariance, CIFAR)
        targets = one_hot(images.labels, len(images.classes)).T
        of_energy = torch.corrcoef(torch.cat([targets, energies.T]))[: len(targets), len(targets) :]
        of_coefficient = label_dependence(images, covariance, CIFAR).correlations
        for quantity, found in ((COEFFICIENT, of_coefficient), (ENERGY, of_energy)):
            p_values = holm(torch.erfc(found.abs() * math.sqrt(len(images) / 2)))
            rows, columns = found.shape
            tables.append(
                pd.DataFrame(
                    {
                        "data": data,
                        "quantity": quantity,
                        "images": len(images),
                        "class": [row for row in range(rows) for _ in range(columns)],
                        "component": [column + 1 for _ in range(rows) for column in range(columns)],
                        "correlation": found.flatten().tolist(),
                        "p_value": p_values.flatten().tolist(),
                    }
                )
            )
    return Measurements({"correlations": pd.concat(tables, ignore_index=True)})


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw a panel for each data set: a point for each class and component, and what random labels give."""
    table = measured.tables["correlations"]
    with matplotlib.rc_context(journal()):
        figure, axes = by_data(table)
        for data, ax in axes.items():
            rows = table[table["data"] == data]
            band = 1.96 / math.sqrt(rows["images"].iloc[0])
            ax.axhspan(-band, band, color=GREY, alpha=0.3, linewidth=0, label="95 % of random labels")
            marks = ((COEFFICIENT, "o", -0.18), (ENERGY, "^", 0.18))
            for colour, (quantity, marker, shift) in zip(PALETTE, marks, strict=False):
                chosen = rows[rows["quantity"] == quantity]
                x, y = chosen["component"] + shift, chosen["correlation"]
                ax.plot(x, y, marker, color=colour, markersize=2, alpha=0.5, linewidth=0, label=quantity)
            ax.set_ylabel("correlation with a class")
            at_components(ax, int(table["component"].max()))
        legend_below(figure, ax, 3)
        return {"first-layer-fig5": figure}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 5: that correlations are small, and that they are chance."""
    table = measured.tables["correlations"]
    return [_small(table), _chance(table)]


def _small(table: pd.DataFrame) -> Claim:
    sizes = table.assign(size=table["correlation"].abs()).groupby(["data", "quantity"], sort=False)["size"]
    means, largest = sizes.mean(), sizes.max()
    listed = "; ".join(
        f"{data}, {quantity} {value:.3f}, largest {largest[data, quantity]:.2f}"
        for (data, quantity), value in means.items()
    )
    return Claim(
        "Correlations of labels with patch components are around 0.",
        "around 0 (figure 5)",
        float(means.max()),
        None,
        holds(bool(means.max() <= SMALL)),
        f"largest mean |r| over classes and components against our bound {SMALL}: {listed}",
    )


def _chance(table: pd.DataFrame) -> Claim:
    shares = (table["p_value"] < 0.05).groupby([table["data"], table["quantity"]], sort=False).mean()
    listed = "; ".join(f"{data}, {quantity} {value:.0%}" for (data, quantity), value in shares.items())
    return Claim(
        "They are as small as those of random labels, as the theorem assumes.",
        "class-average patches are equal (assumption of section 4)",
        float(shares.max()),
        None,
        holds(bool(shares.max() <= BEYOND)),
        f"largest share of correlations beyond chance (Holm's correction, level 5 %), our bound {BEYOND:.0%}; random "
        f"labels scatter by {1 / math.sqrt(table['images'].iloc[0]):.3f}: {listed}",
    )


EXHIBIT = Exhibit(
    "first-layer-fig5",
    "correlation of labels with patch components",
    "Chowers & Weiss (2023), figure 5",
    trainings,
    measure,
    draw,
    claims,
    ("coefficient and energy are both shown, since the paper's caption and text disagree on which is meant",),
)

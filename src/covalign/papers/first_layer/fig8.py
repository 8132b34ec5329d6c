"""Figure 8 of Chowers & Weiss (2023): which labels make the first layer depend on them?

Appendix D.1: images are labelled by deciles of their energy along one patch component. Appendix D.2, where a
component is amplified instead, is drawn beside it (`covalign.papers.first_layer.amplified`).
"""

from dataclasses import replace

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from covalign.figures.style import GREY, journal, series
from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, Training, holds
from covalign.papers.first_layer import amplified, population
from covalign.papers.first_layer.panels import at_components
from covalign.papers.first_layer.population import CHOICES, DECILES, OWN, RANDOM, mean_curves
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale

UNRELATED = 0.3
"""Our bound for profiles that do not agree."""
FEW = 3
"""Components below which a rank correlation says nothing."""


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return a network for every labelled component, one of the images' own labels, random labels, and those of D.2.

    Random labels are those of the other exhibits, which take fewer images at some scales; the network of the images'
    own labels shows how much of a difference that makes.
    """
    data, recipe = next(iter(scale.first_layers)), scale.recipes["deciles"]
    made = {
        Label(data, DECILES, component): Training(
            "deciles", f"deciles {component}", replace(recipe, seed=2000 + component)
        )
        for component in scale.deciles
    }
    made[Label(data, OWN, 0)] = Training("deciles", data, replace(recipe, seed=2000))
    others = population.true_trainings(scale) | population.random_trainings(scale)
    same = {label: training for label, training in others.items() if training.data == data}
    return made | same | amplified.trainings(scale)


def measure(bench: Bench) -> Measurements:
    """Take all profiles over the components of the first data set, and those of appendix D.2 over their own."""
    data = next(iter(bench.scale.first_layers))
    needed = {
        label: replace(each, data=data)
        for label, each in trainings(bench.scale).items()
        if each.recipe != "amplified"
    }
    patches = population.patches_of(bench, [data])
    layers = population.first_layers(bench, needed, patches)
    stronger, fits = amplified.measure(bench)
    return Measurements(
        {
            "curves": population.curves(layers, patches),
            "amplified": stronger,
            "amplified_fits": fits,
            "networks": accuracies(bench),
        }
    )


def mean_of(table: pd.DataFrame, kind: str) -> pd.Series:
    """Return the mean profile of one kind of networks."""
    return mean_curves(table[table["kind"] == kind]).iloc[:, 0]


def agreements(table: pd.DataFrame) -> pd.DataFrame:
    """Return, by labelled component: agreement with random labels, and energy there over the profile's maximum.

    The energy is that of the network itself, of random labels, and of the images' own labels.
    """
    random, own = mean_of(table, RANDOM), mean_of(table, OWN)
    rows = []
    for network, found in table[table["kind"] == DECILES].groupby("network", sort=False):
        component, curve = int(found["number"].iloc[0]), found.set_index("component")["energy"]
        rows.append(
            {
                "network": network,
                "component": component,
                "agreement": curve.corr(random),
                "energy": curve[component],
                "random": random[component],
                "own": own[component],
            }
        )
    return pd.DataFrame(rows)


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw the profiles of labelled components, and their agreement with random labels."""
    table = measured.tables["curves"]
    found = agreements(table)
    random = mean_of(table, RANDOM)
    with matplotlib.rc_context(journal(columns=2.0, ratio=0.36)):
        figure = Figure(layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
        left.plot(random.index, random, color=GREY, linewidth=2.5, alpha=0.6, label="random labels")
        for index, row in enumerate(found.itertuples()):
            curve = table[table["network"] == row.network].set_index("component")["energy"]
            style = series(index)
            left.plot(curve.index, curve, label=f"deciles of component {row.component}", **style)
            right.plot(
                row.component, row.agreement, linestyle="", **{k: style[k] for k in ("color", "marker")}
            )
        right.axhline(own_agreement(table), color=GREY, linestyle="--", label="the images' own labels")
        right.axhline(0, color=GREY, linewidth=0.6)
        left.set(ylabel="energy / maximum", ylim=(0, 1.08))
        at_components(left, len(random))
        left.legend(fontsize="x-small")
        right.set(
            xlabel="component that makes the labels", ylabel="agreement with random labels", ylim=(None, 1.02)
        )
        right.set_xticks(found["component"])
        right.legend(fontsize="x-small")
        second = amplified.draw(measured.tables["amplified"])
        return {"first-layer-fig8": figure, "first-layer-fig8-amplified": second}


def own_agreement(table: pd.DataFrame) -> float:
    """Return the correlation of the profiles of the images' own and of random labels."""
    return float(mean_of(table, OWN).corr(mean_of(table, RANDOM)))


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 8 and appendix D.1."""
    table = measured.tables["curves"]
    found = agreements(table)
    fit = measured.tables["networks"].set_index("network")["train_accuracy"]
    listed = "; ".join(
        f"{row.component}: {row.agreement:.2f} (fits {fit[row.network]:.0%})" for row in found.itertuples()
    )
    lowest = found.loc[found["agreement"].idxmin()]
    order = (
        float(spearmanr(found["agreement"], found["random"]).statistic) if len(found) >= FEW else float("nan")
    )
    gains = found["energy"] - found["own"]
    return [
        Claim(
            "Labels made of the energy of one component can undo the agreement with random labels.",
            "agreement with random labels falls to about 0 for component 15 (figure 8)",
            float(lowest["agreement"]),
            None,
            holds(bool(lowest["agreement"] <= UNRELATED)),
            f"lowest agreement, at component {lowest['component']:.0f}, against our bound {UNRELATED}; labels of the "
            f"images themselves, trained alike, {own_agreement(table):.2f}; by component {listed}",
        ),
        Claim(
            "They change it most where random labels would learn little.",
            "the fall is larger for components that random-label networks do not learn (appendix D.1)",
            order,
            None,
            holds(bool(order > 0)) if len(found) >= FEW else "not testable",
            f"rank correlation, over {len(found)} components, of the agreement and of the energy that random labels "
            f"give the component; by component {listed}",
        ),
        Claim(
            "The first layer learns the component that makes the labels.",
            "no number in the paper",
            float(gains.min()),
            None,
            holds(bool((gains > 0).all())),
            "smallest gain of the component's energy over labels of the images themselves, trained alike, both "
            "relative to their maxima; gains: "
            + ", ".join(f"{c} {gain:+.2f}" for c, gain in zip(found["component"], gains, strict=True)),
        ),
        *amplified.claims(measured.tables["amplified"], measured.tables["amplified_fits"], fit),
    ]


EXHIBIT = Exhibit(
    "first-layer-fig8",
    "labels made of the energy of one patch component, and images with one amplified",
    "Chowers & Weiss (2023), figures 8, 17 and 18, appendix D",
    trainings,
    measure,
    draw,
    claims,
    (
        *CHOICES,
        "deciles of test images are their own",
        "appendix D.2: which components are amplified, and by how much (to the fifth place), is not stated there",
        "amplified images are kept in 256 steps over the range that they need, which raises the smallest deviations",
    ),
)

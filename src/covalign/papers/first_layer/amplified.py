"""Figures 17 and 18 of Chowers & Weiss (2023), appendix D.2: what if one patch component were stronger?

Amplifying a component changes its deviation and little else (the range that eight bits must hold raises the smallest
deviations), so the formula says beforehand what the first layer will learn instead, whatever the labels.
"""

from dataclasses import replace

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from covalign.figures.style import GREY, journal
from covalign.first_layer.labelings import amplified_covariance
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import predicted_energy
from covalign.papers.bench import Bench
from covalign.papers.exhibit import Claim, Training, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import legend_below, profiles
from covalign.papers.first_layer.population import FITTED, RANDOM, TRUE
from covalign.papers.first_layer.table2 import AGREE
from covalign.papers.first_layer.table3 import FITS
from covalign.papers.first_layer.transformations import PLACE, amplification, first_patches
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale

AMPLIFIED, UNCHANGED = "amplified", "unchanged"
FORMULA = "formula"


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return a network of true and one of permuted labels for every amplified component."""
    recipe, needed = scale.recipes["amplified"], {}
    for component in scale.amplified:
        data = f"amplified {component}"
        for kind, spec in ((TRUE, recipe), (RANDOM, replace(recipe, labels="permuted"))):
            seed = (3000 if kind == TRUE else 3100) + component
            needed[Label(data, kind, 0)] = Training("amplified", data, replace(spec, seed=seed))
    return needed


def statistics(bench: Bench, component: int) -> tuple[PatchCovariance, PatchCovariance]:
    """Return the patch statistics where a component (counted from 1) is amplified: before, and amplified."""
    origin, place = next(iter(bench.scale.first_layers)), component - 1
    before = first_patches(
        bench.images(origin).sample(bench.scale.data[f"amplified {component}"].count, seed=0)
    )
    return before, amplified_covariance(before, place, amplification(before, place))


def measure(bench: Bench) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take profiles over the components in the order of the amplified images.

    Returns:
        Profiles: as `population.curves` gives them, ``images`` says whether the network saw
        `AMPLIFIED` or `UNCHANGED` ones, ``changed`` which component is amplified; of the kind `FORMULA`, the
            prediction at the time that fits random labels.
        Fits: as `population.fits` gives them, with ``unchanged``, the fit of the formula with the
        deviations of the images as they were.
    """
    origin = next(iter(bench.scale.first_layers))
    others = population.true_trainings(bench.scale) | population.random_trainings(bench.scale)
    curves, fits = [], []
    for component in bench.scale.amplified:
        data = f"amplified {component}"
        before, patches = statistics(bench, component)
        own = {label: each for label, each in trainings(bench.scale).items() if each.data == data}
        moved = {label: replace(each, data=data) for label, each in others.items() if each.data == origin}
        layers = [each for each in population.first_layers(bench, own, {data: patches}) if each.last]
        unmoved = [each for each in population.first_layers(bench, own, {data: before}) if each.last]
        fitted = population.fits(layers, {data: patches})
        fits.append(fitted.assign(unchanged=population.fits(unmoved, {data: before}, draws=1)["value"]))
        plain = population.first_layers(bench, moved, {data: patches})
        time = float(fitted.set_index("quantity").loc[RANDOM, "scaled_time"])
        energy = predicted_energy(patches, time / float(patches.standard_deviations[0]) ** 2).energy
        predicted = {"component": range(1, len(energy) + 1), "energy": (energy / energy.max()).tolist()}
        formula = {"data": data, "kind": FORMULA, "network": FORMULA, "images": AMPLIFIED}
        parts = (
            population.curves(layers, {data: patches}).assign(images=AMPLIFIED),
            population.curves(plain, {data: patches}).assign(images=UNCHANGED),
            pd.DataFrame({**formula, **predicted}),
        )
        curves.append(pd.concat(parts).assign(changed=component))
    return pd.concat(curves, ignore_index=True), pd.concat(fits, ignore_index=True)


def draw(table: pd.DataFrame) -> Figure:
    """Draw a panel for each amplified component; a line marks the place that it takes."""
    components = list(dict.fromkeys(table["changed"]))
    with matplotlib.rc_context(journal(columns=2.0, ratio=0.4)):
        figure = Figure(layout="constrained")
        axes = figure.subplots(1, len(components), squeeze=False, sharey=True)[0]
        for component, ax in zip(components, axes, strict=True):
            rows = table[table["changed"] == component]
            curves = rows.pivot_table("energy", "component", ["images", "kind"], sort=False)
            before = curves[UNCHANGED, RANDOM]
            label = "random labels, images unchanged"
            ax.plot(before.index, before / before.max(), color=GREY, linewidth=2.5, alpha=0.5, label=label)
            profiles({kind: curves[AMPLIFIED, kind] for kind in (TRUE, RANDOM, FORMULA)}, ax)
            ax.axvline(PLACE, color=GREY, linewidth=0.6, linestyle=":")
            ax.set_title(f"component {component} amplified to place {PLACE}")
            ax.label_outer()
        legend_below(figure, axes[0], 4)
        return figure


def claims(table: pd.DataFrame, fits: pd.DataFrame, accuracy: pd.Series) -> list[Claim]:
    """Judge what the paper says about appendix D.2.

    Args:
        table: profiles.
        fits: of the formula.
        accuracy: training accuracy by network.
    """
    amplified = table[table["images"] == AMPLIFIED]
    curves = amplified.pivot_table("energy", ["data", "component"], "kind", sort=False)
    agreement = curves.groupby("data", sort=False).apply(lambda rows: rows[TRUE].corr(rows[RANDOM]))
    there = table[(table["component"] == PLACE) & (table["kind"] != FORMULA)]
    strongest = there.groupby(["data", "kind", "images"], sort=False)["energy"].max().unstack("images")
    gain = strongest[AMPLIFIED] - strongest[UNCHANGED]
    listed = ", ".join(f"{row.a} {row.value:.2f} ({row.unchanged:.2f})" for row in fits.itertuples())
    least = float(accuracy[fits["a"]].min())
    foreseen = (fits["value"] >= FITS) & (fits["value"] > fits["unchanged"])
    return [
        Claim(
            "Where a component is amplified, true and random labels still teach the same.",
            "true and random labels agree (appendix D.2, no number)",
            float(agreement.min()),
            None,
            holds(bool((agreement >= AGREE).all())) if least >= FITTED else "not testable",
            f"lowest correlation of profiles against our bound {AGREE}, of networks that fit at least {least:.0%}: "
            + ", ".join(f"{name} {value:.2f}" for name, value in agreement.items()),
        ),
        Claim(
            "An amplified component is learned more.",
            "as the formula says with the changed deviation (appendix D.2, no number)",
            float(gain.min()),
            None,
            holds(bool((gain > 0).all())),
            "smallest gain of its energy, relative to the maximum, over all networks of the same labels on unchanged "
            "images: "
            + ", ".join(
                f"{data}, {kind} {row[UNCHANGED]:.2f} to {row[AMPLIFIED]:.2f}"
                for (data, kind), row in strongest.iterrows()
            ),
        ),
        Claim(
            "The formula foresees it from the deviations alone.",
            "predicted with f on the changed deviations (appendix D.2, no number)",
            float(fits["value"].min()),
            None,
            holds(bool(foreseen.all())),
            f"lowest correlation against our bound {FITS}; each has to exceed what the deviations of the unchanged "
            f"images give, in brackets: {listed}",
        ),
    ]

"""Figures 17 and 18 of Chowers & Weiss (2023), appendix D.2: what if one patch component were stronger?

Amplifying a component changes nothing but its deviation, so the formula says beforehand what the first layer will
learn instead, whatever the labels.
"""

from dataclasses import replace

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from covalign.figures.style import GREY, journal
from covalign.first_layer.labelings import amplified_covariance
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import predicted_energy
from covalign.papers import first_layer
from covalign.papers.bench import Bench
from covalign.papers.exhibit import Claim, Training, holds
from covalign.papers.first_layer import RANDOM, TRUE
from covalign.papers.first_layer_panels import legend_below, profiles
from covalign.papers.first_layer_table2 import AGREE
from covalign.papers.first_layer_table3 import FITS
from covalign.papers.scale import Scale
from covalign.papers.transformations import PLACE, amplification, first_patches

BEFORE, FORMULA = "random labels, images unchanged", "formula"


def trainings(scale: Scale) -> dict[str, Training]:
    """Return a network of true and one of permuted labels for every amplified component."""
    recipe, needed = scale.recipes["amplified"], {}
    for component in scale.amplified:
        data = f"amplified {component}"
        for kind, spec in ((TRUE, recipe), (RANDOM, replace(recipe, labels="permuted"))):
            seed = (3000 if kind == TRUE else 3100) + component
            needed[f"{data}, {kind} 0"] = Training("amplified", data, replace(spec, seed=seed))
    return needed


def statistics(bench: Bench, data: str) -> tuple[PatchCovariance, PatchCovariance]:
    """Return the patch statistics behind an amplified data set: of its images before, and amplified."""
    origin, component = next(iter(bench.scale.first_layers)), int(data.split()[-1]) - 1
    before = first_patches(bench.images(origin).sample(bench.scale.data[data].count, 0))
    return before, amplified_covariance(before, component, amplification(before, component))


def measure(bench: Bench) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take profiles over the components in the order of the amplified images.

    Returns:
        Profiles: a row per ``data, kind, component`` with ``energy``, its maximum 1; kinds are those of the networks,
        `BEFORE`, and `FORMULA` at the time that fits random labels.
        Fits: as `covalign.papers.first_layer.fits` gives them, with ``unchanged``, the fit of the formula with the
        deviations of the images as they were.
    """
    plain_random = {
        label: training
        for label, training in first_layer.random_trainings(bench.scale).items()
        if training.data == next(iter(bench.scale.first_layers))
    }
    curves, fits = [], []
    for component in bench.scale.amplified:
        data = f"amplified {component}"
        before, patches = statistics(bench, data)
        own = {label: each for label, each in trainings(bench.scale).items() if each.data == data}
        layers = [each for each in first_layer.first_layers(bench, own, {data: patches}) if each.last]
        unmoved = [each for each in first_layer.first_layers(bench, own, {data: before}) if each.last]
        fitted = first_layer.fits(layers, {data: patches})
        fits.append(fitted.assign(unchanged=first_layer.fits(unmoved, {data: before})["value"]))
        curves.append(first_layer.curves(layers, {data: patches}))
        moved = {label: replace(each, data=data) for label, each in plain_random.items()}
        others = first_layer.first_layers(bench, moved, {data: patches})
        curves.append(first_layer.curves(others, {data: patches}).assign(kind=BEFORE))
        time = float(fitted.set_index("quantity").loc[RANDOM, "scaled_time"])
        energy = predicted_energy(patches, time / float(patches.standard_deviations[0]) ** 2).energy
        curves.append(
            pd.DataFrame(
                {
                    "data": data,
                    "kind": FORMULA,
                    "component": range(1, len(energy) + 1),
                    "energy": energy.tolist(),
                }
            )
        )
    means = pd.concat(curves).groupby(["data", "kind", "component"], sort=False)["energy"].mean()
    largest = means.groupby(["data", "kind"]).transform("max")
    return (means / largest).reset_index(), pd.concat(fits, ignore_index=True)


def draw(table: pd.DataFrame) -> Figure:
    """Draw a panel for each amplified component; a line marks the place that it takes."""
    names = list(dict.fromkeys(table["data"]))
    with matplotlib.rc_context(journal(columns=2.0, ratio=0.4)):
        figure = Figure(layout="constrained")
        axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for name, ax in zip(names, axes, strict=True):
            curves = table[table["data"] == name].pivot_table("energy", "component", "kind", sort=False)
            ax.plot(curves.index, curves[BEFORE], color=GREY, linewidth=2.5, alpha=0.5, label=BEFORE)
            profiles({kind: curves[kind] for kind in (TRUE, RANDOM, FORMULA)}, ax)
            ax.axvline(PLACE, color=GREY, linewidth=0.6, linestyle=":")
            ax.set_title(f"component {name.split()[-1]} amplified to place {PLACE}")
            ax.label_outer()
        legend_below(figure, axes[0], 4)
        return figure


def claims(table: pd.DataFrame, fits: pd.DataFrame) -> list[Claim]:
    """Judge what the paper says about appendix D.2."""
    curves = table.pivot_table("energy", ["data", "component"], "kind", sort=False)
    agreement = curves.groupby("data", sort=False).apply(lambda rows: rows[TRUE].corr(rows[RANDOM]))
    there = curves.xs(PLACE, level="component")
    gain = there[[TRUE, RANDOM]].min(axis=1) - there[BEFORE]
    listed = ", ".join(f"{row.a} {row.value:.2f} ({row.unchanged:.2f})" for row in fits.itertuples())
    return [
        Claim(
            "Where a component is amplified, true and random labels still teach the same.",
            "true and random labels agree (appendix D.2, no number)",
            float(agreement.min()),
            None,
            holds(bool((agreement >= AGREE).all())),
            f"lowest correlation of profiles against our bound {AGREE}: "
            + ", ".join(f"{name} {value:.2f}" for name, value in agreement.items()),
        ),
        Claim(
            "The amplified component is learned in place of weaker ones.",
            "the formula with the changed deviation (appendix D.2, no number)",
            float(gain.min()),
            None,
            holds(bool((gain > 0).all())),
            "smallest gain of its energy over that of unchanged images, relative to the maxima: "
            + ", ".join(
                f"{name} {before:.2f} to {before + more:.2f}"
                for name, before, more in zip(gain.index, there[BEFORE], gain, strict=True)
            ),
        ),
        Claim(
            "The formula foresees it from the deviations alone.",
            "predicted with f on the changed deviations (appendix D.2, no number)",
            float(fits["value"].min()),
            None,
            holds(bool((fits["value"] >= FITS).all())),
            f"lowest correlation against our bound {FITS}, in brackets with the deviations left unchanged: {listed}",
        ),
    ]

"""What does a person read about a first layer and its prediction?

`first_layer_page` arranges patches, profiles and predictions as a `Page`. Without a network it is the prediction
alone.
"""

import html
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from covalign.figures.first_layer import mosaic
from covalign.first_layer.dependence import LabelDependence
from covalign.first_layer.energy import EnergyProfile
from covalign.first_layer.fourier import FourierAgreement
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import EnergyFit
from covalign.first_layer.verdict import Verdict
from covalign.first_layer.whitening import Autocorrelation
from covalign.report.columns import Heading
from covalign.report.page import Download, Gallery, Notes, Page, Panel, Part, Plots, Raster, Section
from covalign.report.plots import legend, line, logarithmic, shorten_escaped
from covalign.report.provenance import origin_section
from covalign.report.tables import csv_bytes, frame_table, left_out
from covalign.storage.plain import json_bytes
from covalign.studies.first_layer.words import LINEAR_ONLY, MEASURED, answers, findings, label_sentence

PICTURES = 64


def first_layer_page(
    images: str,
    patches: PatchCovariance,
    profiles: Mapping[str, EnergyProfile],
    table: pd.DataFrame,
    *,
    network: str = "",
    weight: Float[Tensor, "K c k k"] | None = None,
    fit: EnergyFit | None = None,
    scaled_time: float | None = None,
    linear_cnn_time: float | None = None,
    fourier: FourierAgreement | None = None,
    autocorrelations: Mapping[str, Autocorrelation] | None = None,
    dependence: LabelDependence | None = None,
    verdict: Verdict | None = None,
    provenance: dict[str, Any] | None = None,
) -> Page:
    """Arrange a first layer beside its prediction as a page; without a network, the prediction alone.

    Args:
        images: what they are called.
        patches: their patch covariance.
        profiles: measured, fitted and predicted ones by name.
        table: a row per component, all profiles.
        network, weight, fit, scaled_time, linear_cnn_time, fourier, autocorrelations, dependence, verdict,
            provenance: as in `FirstLayerSummary`.
    """
    curves = autocorrelations or {}
    numbers = {
        "network": network,
        "images": images,
        "scaled_time": scaled_time,
        "linear_cnn_time": linear_cnn_time,
        "patches": {"count": patches.patches, "images": patches.images, "kernel_size": patches.kernel_size},
        **measured_numbers(fit, verdict, curves),
        "provenance": provenance or {},
    }
    sections = (
        profile_section(patches, profiles, table, fourier, fit),
        picture_section(patches, weight),
        whitening_section(curves),
        label_section(dependence, verdict),
        Section(
            "method",
            "How this was measured",
            (),
            (Notes(("energy", "prediction", "whitening", "labels", "references")),),
        ),
        origin_section(files(table, numbers), provenance or {}),
    )
    return Page(
        kicker="first-layer report",
        title="What did the first layer learn, and could it be foreseen?"
        if network
        else "What will a first layer learn from these images?",
        subtitle=f"{network} on {images}" if network else images,
        summary=findings(network, profiles, fit, scaled_time, linear_cnn_time, curves, verdict),
        facts=(
            ("Images", f"{images}, {patches.images:,}"),
            ("Patches", f"{patches.patches:,} of {patches.kernel_size} × {patches.kernel_size} pixels"),
            ("Components", f"{patches.dimension:,}"),
            ("Filters", "none" if weight is None else f"{len(weight):,}"),
        ),
        sections=tuple(section for section in sections if section is not None),
        answers=answers(network, fit, verdict),
    )


def measured_numbers(
    fit: EnergyFit | None, verdict: Verdict | None, curves: Mapping[str, Autocorrelation]
) -> dict[str, Any]:
    """Return what a first layer was judged by, JSON-serializable."""
    return {
        "fit": fit
        and {
            "tau": fit.tau,
            "correlation": fit.correlation,
            "p_value": fit.p_value,
            "baseline_mean": fit.baseline.mean,
            "baseline_spread": fit.baseline.spread,
            "baseline": fit.baseline.correlations.tolist(),
        },
        "verdict": verdict and asdict(verdict),
        "autocorrelations": {
            name: {"horizontal": curve.horizontal.tolist(), "vertical": curve.vertical.tolist()}
            for name, curve in curves.items()
        },
    }


def files(table: pd.DataFrame, numbers: dict[str, Any]) -> tuple[Download, ...]:
    """Return the numbers as files."""
    meaning = "fit, baseline, autocorrelation, provenance"
    return (
        Download("profiles.csv", "text/csv", csv_bytes(table), "every component, all profiles"),
        Download("results.json", "application/json", json_bytes(numbers), meaning),
    )


def profile_section(
    patches: PatchCovariance,
    profiles: Mapping[str, EnergyProfile],
    table: pd.DataFrame,
    fourier: FourierAgreement | None,
    fit: EnergyFit | None,
) -> Section:
    """Measured and predicted profiles on one plot, the fit's baseline, and the table."""
    parts: list[Part] = []
    if profiles:
        caption = (
            "Energy profiles, each divided by its maximum, over the principal components of the patches."
        )
        parts.append(Plots((profile_panel(profiles),), caption, legend(list(profiles))))
    panels = [deviation_panel(patches)]
    caption = "Standard deviation of the patches along each component, from which the formula is computed."
    if fourier is not None:
        caption += (
            f" Components are nearly Fourier modes: one mode holds {fourier.shares.median():.0%} of a "
            f"component’s power (median); rank and frequency correlate {fourier.rank_correlation:.2f}."
        )
    if fit is not None:
        panels.append(baseline_panel(fit))
        draws = len(fit.baseline.correlations)
        caption += f" Right: the fit’s correlation among those of {draws} random initializations."
    parts.append(Plots(tuple(panels), caption))
    headings: tuple[Heading, ...] = (Heading("component", 0, "component", ""),)
    headings += tuple(Heading(name, 4, name, "") for name in table.columns[1:])
    parts.append(frame_table(table, headings, "Every component; energies are not normalized."))
    title = "Measured and predicted" if MEASURED in profiles else "The prediction"
    return Section("profile", title, (), tuple(parts))


def profile_panel(profiles: Mapping[str, EnergyProfile]) -> Panel:
    """Plot profiles over component rank, each divided by its maximum; predictions without markers."""
    data = []
    for index, (name, profile) in enumerate(profiles.items()):
        energy = (profile.energy / profile.energy.max().clamp(min=1e-300)).tolist()
        hover = f"{shorten_escaped(name)}<br>component %{{x}}: <b>%{{y:.3f}}</b>"
        mode = "lines" if profile.filters is None else "lines+markers"
        data.append(line(index, list(range(1, len(energy) + 1)), energy, hover, mode=mode))
    layout = {
        "xaxis": component_axis(max(len(profile.energy) for profile in profiles.values())),
        "yaxis": {"title": {"text": "energy / maximum"}, "rangemode": "tozero"},
    }
    return Panel(tuple(data), layout, "Energy profiles over the patch components.", height=420)


def component_axis(count: int) -> dict[str, Any]:
    """Return an axis over patch components, counted from 1."""
    return {"title": {"text": "patch component"}, "range": [0.4, count + 0.6]}


def deviation_panel(patches: PatchCovariance) -> Panel:
    """Plot the standard deviations of the patches by component."""
    values = [value for value in patches.standard_deviations.tolist() if value > 0]
    hover = "component %{x}: <b>%{y:.4g}</b>"
    data = line(0, list(range(1, len(values) + 1)), values, hover)
    data["marker"] |= {"size": 4}
    layout = {"xaxis": component_axis(patches.dimension), "yaxis": logarithmic("", values)}
    return Panel((data,), layout, "Standard deviation by component.", "Standard deviation", height=240)


def baseline_panel(fit: EnergyFit) -> Panel:
    """Plot the correlations of the fit on random weights, and the measured one."""
    counts, edges = np.histogram(fit.baseline.correlations.numpy(), bins=20)
    bars = {
        "type": "bar",
        "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
        "y": counts.tolist(),
        "width": float(edges[1] - edges[0]),
        "marker": {"color": "rgba(127,127,127,.4)"},
        "hovertemplate": "random weights, correlation %{x:.2f}: %{y}<extra></extra>",
    }
    measured = line(
        1, [fit.correlation] * 2, [0, int(counts.max())], "measured: <b>%{x:.3f}</b>", mode="lines"
    )
    layout = {
        "xaxis": {"title": {"text": "correlation"}, "range": [-0.3, 1.02]},
        "yaxis": {"title": {"text": "draws"}},
    }
    return Panel(
        (bars, measured), layout, "The fit on random weights.", "The same fit on random weights", height=240
    )


def picture_section(patches: PatchCovariance, weight: Float[Tensor, "K c k k"] | None) -> Section:
    """Filters and patch components as pictures."""
    galleries = []
    if weight is not None:
        caption = "The filters of the first layer, each on its own scale; mid-grey is zero."
        galleries.append(picture_gallery("Filters", weight, caption, "filters"))
    caption = "Principal components of the patches, the strongest first; their sign is a convention."
    galleries.append(picture_gallery("Patch components", patches.components, caption, "components"))
    return Section("pictures", "Filters and patch components", (), tuple(galleries))


def picture_gallery(heading: str, filters: Tensor, caption: str, noun: str) -> Gallery:
    """Return filters as numbered colour pictures, at most 64.

    Args:
        heading: of the row.
        filters: shape ``[K, c, k, k]``.
        caption: of the gallery.
        noun: what they are, in the plural.
    """
    tiles = tuple(
        Raster(mosaic(kernel[None], 1), f"{heading}, number {rank}.", str(rank))
        for rank, kernel in enumerate(filters[:PICTURES], 1)
    )
    return Gallery(((heading, tiles),), caption + left_out(len(filters), PICTURES, noun), size=52)


def whitening_section(curves: Mapping[str, Autocorrelation]) -> Section | None:
    """Autocorrelation against distance."""
    if not curves:
        return None
    data = []
    for index, (name, curve) in enumerate(curves.items()):
        values = ((curve.horizontal + curve.vertical) / 2).tolist()
        hover = f"{shorten_escaped(name)}<br>%{{x}} pixels: <b>%{{y:.3f}}</b>"
        data.append(line(index, list(range(len(values))), values, hover))
    layout = {
        "xaxis": {"title": {"text": "distance (pixels)"}},
        "yaxis": {"title": {"text": "autocorrelation"}},
    }
    panel = Panel(tuple(data), layout, "Autocorrelation against distance.", height=360)
    caption = (
        "Channel-summed autocorrelation, mean of both directions; for a perfect whitener a delta at zero."
    )
    return Section("whitening", "Does it whiten?", (), (Plots((panel,), caption, legend(list(curves))),))


def label_section(dependence: LabelDependence | None, verdict: Verdict | None) -> Section | None:
    """Correlation of classes with components, and the verdict."""
    if dependence is None:
        return None
    components = list(range(1, dependence.correlations.shape[1] + 1))
    points = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": components,
            "y": values,
            "marker": {"size": 4.5, "opacity": 0.65, "color": "#0072B2"},
            "hovertemplate": f"class {html.escape(str(index))}, component %{{x}}: <b>%{{y:.3f}}</b><extra></extra>",
        }
        for index, values in enumerate(dependence.correlations.tolist(), 1)
    ]
    reach = 1.96 * dependence.chance
    band = {
        "type": "rect",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": -reach,
        "y1": reach,
        "line": {"width": 0},
        "fillcolor": "rgba(127,127,127,.3)",
        "layer": "below",
    }
    layout = {
        "xaxis": component_axis(len(components)),
        "yaxis": {"title": {"text": "correlation with a class"}},
        "shapes": [band],
    }
    panel = Panel(tuple(points), layout, "Correlation of every class with every component.", height=340)
    caption = (
        "Correlation of every class with the average patch’s component. Grey: where 95 % of them would lie for "
        f"random labels, n = {dependence.images:,}."
    )
    prose = () if verdict is None else (label_sentence(verdict), LINEAR_ONLY)
    return Section("labels", "Will labels change it?", prose, (Plots((panel,), caption),))

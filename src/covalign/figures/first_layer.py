"""What does the first layer look like beside its prediction?

Energy profiles are divided by their maximum where they are drawn; the records keep them as measured. Filters
and patch components are drawn on scales symmetric about zero, so that mid-grey is zero in every picture.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.axes import Axes

from covalign.arrays import ArrayLike, as_float64
from covalign.figures.style import GREY, PALETTE, plain, series
from covalign.first_layer.dependence import LabelDependence
from covalign.first_layer.energy import EnergyProfile
from covalign.first_layer.patches import PatchCovariance
from covalign.first_layer.prediction import EnergyFit, predicted_energy
from covalign.first_layer.whitening import Autocorrelation


def energy_profiles(profiles: Mapping[str, EnergyProfile], ax: Axes) -> Axes:
    """Draw energy profiles over component rank, each divided by its maximum; predictions without markers."""
    for index, (name, profile) in enumerate(profiles.items()):
        energy = profile.energy / profile.energy.max().clamp(min=1e-300)
        style: dict[str, Any] = {**series(index), **({"marker": ""} if profile.filters is None else {})}
        ax.plot(range(1, len(energy) + 1), energy.tolist(), label=plain(name), **style)
    ax.set(xlabel="patch component", ylabel="energy / maximum", ylim=(0, 1.05))
    ax.legend()
    return ax


def predicted_times(patches: PatchCovariance, scaled_times: Sequence[float | int], ax: Axes) -> Axes:
    """Draw the one-parameter form at several times, given as tau lambda_1^2, on a logarithmic scale."""
    leading = float(patches.standard_deviations[0]) ** 2
    for index, time in enumerate(scaled_times):
        energy = predicted_energy(patches, time / leading).energy
        relative = (energy / energy.max()).tolist()
        style: dict[str, Any] = {**series(index), "marker": "", "label": rf"$\tau\lambda_1^2$ = {time:g}"}
        ax.plot(range(1, len(relative) + 1), relative, **style)
    ax.set(xlabel="patch component", ylabel="predicted energy / maximum", yscale="log")
    ax.legend()
    return ax


def fit_baseline(fit: EnergyFit, ax: Axes) -> Axes:
    """Draw the fit's correlation among those of random initializations."""
    baseline = fit.baseline
    ax.hist(baseline.correlations.tolist(), bins=20, color=GREY, alpha=0.6, label="random initializations")
    ax.axvline(fit.correlation, color=PALETTE[1], label=f"measured, r = {fit.correlation:.2f}")
    ax.set(xlabel="correlation with the best prediction", ylabel="draws", xlim=(min(-0.2, *ax.get_xlim()), 1))
    ax.legend()
    return ax


def filter_mosaic(weight: ArrayLike, ax: Axes, columns: int = 8) -> Axes:
    """Draw filters as pictures, in rows: three channels in colour, otherwise the channels' mean in grey.

    Args:
        weight: shape ``[K, c, k, k]``.
        ax: where to draw.
        columns: pictures in a row.
    """
    ax.imshow(mosaic(weight, columns), interpolation="nearest")
    ax.set_axis_off()
    return ax


def patch_components(patches: PatchCovariance, ax: Axes, columns: int = 9) -> Axes:
    """Draw the eigenvectors of the patch covariance as pictures, leading one first."""
    return filter_mosaic(patches.components, ax, columns)


def autocorrelations(curves: Mapping[str, Autocorrelation], ax: Axes) -> Axes:
    """Draw horizontal autocorrelations against distance; a perfect whitener is a delta at zero."""
    for index, (name, curve) in enumerate(curves.items()):
        values = curve.horizontal.tolist()
        style: dict[str, Any] = {**series(index), "label": plain(name)}
        ax.plot(range(len(values)), values, **style)
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.set(xlabel="distance (pixels)", ylabel="autocorrelation")
    ax.legend()
    return ax


def consistency(table: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the agreement of pairs by what they differ in, with their means and sampling limits.

    Args:
        table: as `covalign.first_layer.energy.consistency_table` gives it.
        ax: where to draw.
    """
    names = list(dict.fromkeys(table["varied"]))
    for row, name in enumerate(names):
        pairs = table[table["varied"] == name]
        ax.plot(pairs["correlation"], [row] * len(pairs), "o", color=PALETTE[0], alpha=0.4)
        ax.plot(pairs["correlation"].mean(), row, "D", color=PALETTE[1], label=None if row else "mean")
        label = None if row else "sampling limit"
        ax.plot(pairs["sampling_limit"].mean(), row, "|", markersize=10, color=GREY, label=label)
    ax.set_yticks(range(len(names)), [plain(name) for name in names])
    ax.set(xlabel="correlation of energy profiles", xlim=(min(0, table["correlation"].min() - 0.05), 1.02))
    ax.invert_yaxis()
    ax.legend()
    return ax


def label_correlations(dependence: LabelDependence, ax: Axes) -> Axes:
    """Draw class-component correlations over component rank, with the band that random labels fill."""
    ranks = range(1, dependence.correlations.shape[1] + 1)
    for values in dependence.correlations.tolist():
        ax.plot(ranks, values, "o", color=PALETTE[0], markersize=2, alpha=0.5)
    band = 1.96 * dependence.chance
    ax.axhspan(-band, band, color=GREY, alpha=0.3, label=f"95 % of random labels, n = {dependence.images}")
    ax.set(xlabel="patch component", ylabel="correlation with a class")
    ax.legend()
    return ax


def mosaic(weight: ArrayLike, columns: int) -> UInt8[np.ndarray, "h w rgb"]:
    """Return filters as one picture with white gaps, each scaled to its largest absolute weight."""
    filters = as_float64(weight, "weight", "K c k k").cpu()
    count, channels, height, width = filters.shape
    if channels != 3:
        filters = filters.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    reach = filters.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-300)
    pictures = (127.5 + 127.5 * filters / reach).round().permute(0, 2, 3, 1).numpy().astype(np.uint8)
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 255, dtype=np.uint8)
    for index, picture in enumerate(pictures):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        sheet[top : top + height, left : left + width] = picture
    return sheet

"""Figure 5 of Guth & Menard (2024): are learned 7x7 kernels smooth, and alike?"""

import math

import matplotlib
import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.encoding.spatial import spatial_covariance
from covalign.figures.style import GREY, journal, series
from covalign.papers.bench import Bench
from covalign.papers.encodings import kernel_population
from covalign.papers.encodings.population import accuracies
from covalign.papers.encodings.sheet import sheet
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds

SHOWN = 16
"""Output and input channels of a mosaic, the first ones."""

LEADING = 5
UPDATE, WEIGHTS, NOISE = "W - W0", "W", "white noise"


def measure(bench: Bench) -> Measurements:
    """Take the first kernels of every layer, and how smooth and how redundant all its kernels are."""
    (label,) = kernel_population.mosaic_training(bench.scale)
    spatial = kernel_population.convolutions(bench, label).layers
    rows, mosaics = [], {}
    for depth, (layer, side) in enumerate(
        zip(spatial, kernel_population.map_sides(bench, label), strict=True), 1
    ):
        initial = torch.zeros_like(layer.weight) if layer.initial is None else layer.initial
        noise = torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(bench.seed))
        for of, weight in ((UPDATE, layer.weight - initial), (WEIGHTS, layer.weight), (NOISE, noise)):
            spectrum = spatial_covariance(weight).eigenvalues
            rows.append(
                {
                    "of": of,
                    "depth": depth,
                    "side": side,
                    "kernels": weight.shape[0] * weight.shape[1],
                    "smooth": low_frequency_share(weight),
                    "redundant": float(spectrum[:LEADING].sum() / spectrum.sum()),
                }
            )
            if of != NOISE:
                shown = weight[:SHOWN, :SHOWN]
                mosaics[f"{of}|{depth}"] = (shown / shown.abs().max().clamp(min=1e-30)).half()
    return Measurements({"layers": pd.DataFrame(rows), "networks": accuracies(bench)}, mosaics)


def low_frequencies(size: int) -> Float64[Tensor, "6 k k"]:
    """Return the cosines of `low_frequency_share`, of unit norm: degree 0, 1 and 2 in both directions together."""
    places = (torch.arange(size, dtype=torch.float64) + 0.5) * math.pi / size
    waves = [torch.nn.functional.normalize(torch.cos(u * places), dim=0) for u in range(3)]
    return torch.stack([torch.outer(waves[u], waves[v]) for u in range(3) for v in range(3 - u)])


def low_frequency_share(weight: ArrayLike) -> float:
    """Return how much of the squared weights lies in the six lowest cosines of the kernels' plane.

    These are cos(pi u (x + 1/2) / k) cos(pi v (y + 1/2) / k) with u + v <= 2: the average, two slopes and three
    curvatures. White noise has 6 / k^2 there.

    Args:
        weight: ``[c_out, c_in, k, k]``.
    """
    values = as_float64(weight, "weight", "c_out c_in k k")
    along = torch.einsum("oixy,fxy->oif", values, low_frequencies(values.shape[-1]))
    return float(along.square().sum() / values.square().sum())


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw a mosaic a layer, of what training added and of the weights; and both shares against depth."""
    with matplotlib.rc_context(journal(columns=2.1)):
        return {
            "encodings-fig5": _mosaics(measured, UPDATE),
            "encodings-fig5-weights": _mosaics(measured, WEIGHTS),
            "encodings-fig5-shares": _shares(measured.tables["layers"]),
        }


def _mosaics(measured: Measurements, of: str) -> Figure:
    depths = sorted(set(measured.tables["layers"]["depth"]))
    columns = -(-len(depths) // 2)
    figure = Figure(layout="constrained", figsize=(1.8 * columns, 4.1))
    for ax, depth in zip(figure.subplots(2, columns, squeeze=False).flat, depths, strict=False):
        mosaic(measured.tensors[f"{of}|{depth}"], ax).set_title(f"layer {depth}")
    return figure


def mosaic(weight: Tensor, ax: Axes) -> Axes:
    """Draw the kernels of one layer, a row an output channel, on one scale symmetric about zero.

    The scale ends at three root mean squares, so that few large weights do not pale the others.

    Args:
        weight: ``[c_out, c_in, k, k]``, not all zero.
        ax: where to draw.
    """
    reach = 3 * float(weight.float().square().mean().sqrt())
    levels = (128 + 127 * (weight.float() / reach).clamp(-1, 1)).round().numpy().astype(np.uint8)
    gap = 1 / weight.shape[-1]
    sheet([list(row) for row in levels], (gap, gap), ax, pixels=weight.shape[-1], framed=False)
    ax.set(xticks=[], yticks=[])
    return ax


def _shares(layers: pd.DataFrame) -> Figure:
    figure = Figure(layout="constrained", figsize=(5.4, 2.3))
    titles = {
        "smooth": "in the six lowest frequencies",
        "redundant": f"in the {LEADING} leading eigenvectors",
    }
    for ax, (share, title) in zip(figure.subplots(1, 2, sharey=True), titles.items(), strict=True):
        for index, of in enumerate((UPDATE, WEIGHTS, NOISE)):
            rows = layers[layers["of"] == of]
            ax.plot(rows["depth"], rows[share], label=of, **series(index))
        ax.axhline(0.5, color=GREY, linewidth=0.6, linestyle=":", zorder=0)
        ax.set(xlabel="layer", title=title, ylim=(0, 1))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.axes[0].set_ylabel("share of squared weights")
    figure.axes[0].legend()
    return figure


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 5."""
    layers = measured.tables["layers"]
    return [
        _share(
            layers, "smooth", "Beyond the first layer kernels are smooth.", "in the six lowest frequencies"
        ),
        _share(
            layers,
            "redundant",
            "Beyond the first layer kernels are redundant: few patterns make up most of them.",
            f"in the {LEADING} leading spatial eigenvectors",
        ),
    ]


def _share(layers: pd.DataFrame, share: str, sentence: str, where: str) -> Claim:
    beyond = layers[layers["depth"] > 1]
    found = {of: rows.set_index("depth") for of, rows in beyond.groupby("of")}
    compared = found[UPDATE][found[UPDATE]["side"] > 7][share]
    listed = ", ".join(f"{depth}: {value:.2f}" for depth, value in found[UPDATE][share].items())
    raw = ", ".join(f"{depth}: {value:.2f}" for depth, value in found[WEIGHTS][share].items())
    return Claim(
        sentence,
        "figure 5, in words; our bound: more than half of the squared weights at every layer on maps larger than 7x7",
        float(compared.min()),
        None,
        holds(bool((compared > 0.5).all())),
        f"smallest share of W - W0 {where}, where white noise has {found[NOISE][share].mean():.2f}; by layer "
        f"{listed}; of all weights {raw}; one network",
    )


EXHIBIT = Exhibit(
    "encodings-fig5",
    "mosaics of 7x7 kernels, layer by layer",
    "Guth & Menard (2024), figure 5",
    kernel_population.mosaic_training,
    measure,
    draw,
    claims,
    (
        "Drawn are kernels of W - W0, what training added, and beside them those of W, which the paper shows; "
        "after short trainings W is mostly initial noise.",
    ),
)

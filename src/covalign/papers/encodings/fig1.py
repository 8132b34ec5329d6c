"""Figure 1 of Guth & Menard (2024): do all layers of all networks use the same spatial patterns?

Compared are layers 2 and beyond whose maps are at least 4x4 (layers 2-6 at 32x32, as in the paper); layers 7 and 8
and the first one are reported beside them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import matplotlib
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from covalign.encoding.spatial import SpatialCovariance
from covalign.figures.spatial import greys
from covalign.figures.style import GREY, journal, plain, series
from covalign.networks.network import Network
from covalign.papers.bench import Bench
from covalign.papers.encodings import kernel_population
from covalign.papers.encodings.kernel_population import CONTROL, RANDOM, SMALLEST_MAP, TRUE, Kernels
from covalign.papers.encodings.population import accuracies
from covalign.papers.encodings.sheet import sheet
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds
from covalign.papers.intervals import Estimate, over_networks
from covalign.studies.spatial.measure import spatial_summary
from covalign.studies.spatial.record import SpatialSummary

RANKS = (3, 5, 6)
SHOWN = 9
"""Eigenvectors of a layer that are drawn: all at 3x3, the first nine of larger kernels, as in the paper."""

UPDATE, WEIGHTS, INITIAL = "W - W0", "W", "W0"
COMPARED, TO_THE_LAST, FIRST = "compared layers", "layers 2 to the last", "layer 1 and the compared layers"
SHORT = {TRUE: "true", RANDOM: "random", CONTROL: "true\nrandom recipe"}
ROOMY = "layers on maps larger than the kernel"


def measure(bench: Bench) -> Measurements:
    """Compare the spatial eigenvectors of all layers of all networks."""
    population = kernel_population.population(bench.scale)
    networks = {str(each.label): kernel_population.convolutions(bench, each.label) for each in population}
    sides = {str(each.label): kernel_population.map_sides(bench, each.label) for each in population}
    found = patterns(population, networks, sides)
    return Measurements({**found.tables, "networks": accuracies(bench)}, found.tensors)


def patterns(
    population: Sequence[Kernels], networks: Mapping[str, Network], sides: Mapping[str, Sequence[int]]
) -> Measurements:
    """Return what is known of the patterns that training added, beside those of all weights and of the initial ones.

    Args:
        population: what the networks were trained on.
        networks: by the text of their labels, with initial weights.
        sides: of the maps that each convolution of each network receives, likewise.
    """
    known = {str(each.label): each for each in population}
    sizes = {name: each.size for name, each in known.items()}
    layers, pairs = [], []
    update = spatial_summary(networks, ranks=RANKS, subtract_initial=True)
    untrained = {name: _untrained(network) for name, network in networks.items()}
    for of, summary in (
        (UPDATE, update),
        (WEIGHTS, spatial_summary(networks, ranks=RANKS)),
        (INITIAL, spatial_summary(untrained, ranks=RANKS)),
    ):
        own = summary.layers.assign(of=of)
        for name in ("data", "size", "labels", "seed"):
            own[name] = [getattr(known[network], name) for network in own["network"]]
        layers.append(own.drop(columns=["kernel", "first", "layer"]))
        between = by_networks(summary.table, sides, sizes).assign(of=of)
        ends = zip(between["a"], between["b"], strict=True)
        between["control"] = [CONTROL in (known[a].labels, known[b].labels) for a, b in ends]
        pairs.append(between)
    tables = {"layers": pd.concat(layers, ignore_index=True), "pairs": pd.concat(pairs, ignore_index=True)}
    tables["spectra"] = _spectra(update, sides, population)
    return Measurements(tables, {**_pictures(update), **_overlaps(update, population)})


def by_networks(
    table: pd.DataFrame, sides: Mapping[str, Sequence[int]], sizes: Mapping[str, int]
) -> pd.DataFrame:
    """Return overlaps by pair of networks: ``kernel, rank, a, b, part, overlap`` (mean), ``lowest, chance, cosine``.

    Args:
        table: `SpatialSummary.table`.
        sides: of the maps that each layer of each network receives.
        sizes: of the kernels of each network.
    """
    ends = zip(table["a"], table["depth_a"], table["b"], table["depth_b"], strict=True)
    side = pd.Series([min(sides[a][i - 1], sides[b][j - 1]) for a, i, b, j in ends], table.index, dtype=int)
    size = table["a"].map(sizes)
    beyond = table["beyond_first"].astype(bool)
    one_first = (table["depth_a"] == 1) != (table["depth_b"] == 1)
    parts = {
        COMPARED: beyond & (side >= SMALLEST_MAP),
        ROOMY: beyond & (side > size),
        TO_THE_LAST: beyond,
        FIRST: one_first & (side >= SMALLEST_MAP),
    }
    table = table.assign(kernel=size)
    found = [
        table[chosen]
        .groupby(["kernel", "rank", "a", "b"], sort=False, as_index=False)
        .agg(
            overlap=("overlap", "mean"),
            lowest=("overlap", "min"),
            chance=("chance", "first"),
            cosine=("cosine", "mean"),
        )
        .assign(part=part)
        for part, chosen in parts.items()
    ]
    return pd.concat(found, ignore_index=True)


def eigenvalue_share(covariances: Sequence[SpatialCovariance]) -> float:
    """Return how much of the difference between layers is one of eigenvalues along shared eigenvectors.

    With C_l of unit trace, their mean diagonalized by U, and D_l = U^T (C_l - mean) U, this is
    sum_l ||diag D_l||^2 / sum_l ||D_l||_F^2: 1 where all layers share all eigenvectors, 2 / (k^2 + 1) on average
    where differences have no preferred direction.
    """
    moments = torch.stack([each.matrix / each.eigenvalues.sum() for each in covariances])
    shared = torch.linalg.eigh(moments.mean(0)).eigenvectors
    turned = shared.T @ (moments - moments.mean(0)) @ shared
    return float(turned.diagonal(dim1=1, dim2=2).square().sum() / turned.square().sum())


def _untrained(network: Network) -> Network:
    layers = (
        layer if layer.initial is None else replace(layer, weight=layer.initial) for layer in network.layers
    )
    return replace(network, layers=tuple(layers))


def _spectra(
    summary: SpatialSummary, sides: Mapping[str, Sequence[int]], population: Sequence[Kernels]
) -> pd.DataFrame:
    rows = []
    for each in population:
        name = str(each.label)
        own = [space for (network, _), space in summary.spatial.items() if network == name]
        chosen = [space for space, side in zip(own, sides[name], strict=True) if side >= SMALLEST_MAP]
        rows.append({"network": name, "kernel": each.size, "share": eigenvalue_share(chosen[1:])})
    return pd.DataFrame(rows)


def _pictures(summary: SpatialSummary) -> dict[str, Tensor]:
    """Return the leading eigenvectors of every network, ``[layers, 9, k, k]``."""
    names = dict.fromkeys(network for network, _ in summary.spatial)
    return {
        f"eigenvectors|{name}": torch.stack(
            [space.pictures[:SHOWN] for (network, _), space in summary.spatial.items() if network == name]
        ).float()
        for name in names
    }


def _overlaps(summary: SpatialSummary, population: Sequence[Kernels]) -> dict[str, Tensor]:
    """Return the overlap at rank 5 of every layer with every other by kernel size, networks in their order."""
    sizes = {str(each.label): each.size for each in population}
    found = {}
    for size in dict.fromkeys(sizes.values()):
        keys = [key for key in summary.spatial if sizes[key[0]] == size]
        places = {key: index for index, key in enumerate(keys)}
        overlaps = torch.eye(len(keys))
        for row in summary.table[summary.table["rank"] == 5].itertuples():
            if (row.a, row.layer_a) in places:
                i, j = places[row.a, row.layer_a], places[row.b, row.layer_b]
                overlaps[i, j] = overlaps[j, i] = row.overlap
        found[f"overlaps|{size}"] = overlaps
    return found


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw the eigenvectors as the paper does, a row a layer; and how alike they are."""
    with matplotlib.rc_context(journal(columns=2.1)):
        return {"encodings-fig1": _eigenvectors(measured), "encodings-fig1-overlaps": _alike(measured)}


def _eigenvectors(measured: Measurements) -> Figure:
    layers = measured.tables["layers"]
    layers = layers[layers["of"] == UPDATE]
    networks = layers.drop_duplicates("network")
    main = networks[networks["data"] == networks["data"].iloc[0]]
    rows = [
        main[(main["labels"] == TRUE) & (main["seed"] == 0)],
        main[main["labels"] == RANDOM],
        networks[networks["data"] != main["data"].iloc[0]],
    ]
    columns = max(len(rows[0]), len(rows[2]))
    figure = Figure(layout="constrained", figsize=(2.4 * columns, 2.75 * len(rows)))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, chosen in zip(grid, rows, strict=True):
        for ax in axes:
            ax.set_axis_off()
        for ax, row in zip(axes, chosen.itertuples(), strict=False):
            own = layers[layers["network"] == row.network]
            _layer_sheet(measured.tensors[f"eigenvectors|{row.network}"], own, ax.set_axis_on() or ax)
            ax.set_title(
                f"{plain(row.data)}, {row.labels}, {row.size}x{row.size}"
                + (", second seed" if row.seed else "")
            )
        axes[0].set_ylabel("layer")
    figure.supxlabel("below each eigenvector its share of the variance, in %", fontsize="small")
    return figure


def _layer_sheet(eigenvectors: Tensor, layers: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the eigenvectors of one network, a row a layer, with their shares of the variance."""
    gap = (0.42, 0.1)
    sheet([[greys(picture) for picture in layer] for layer in eigenvectors], gap, ax)
    for i, row in enumerate(layers.itertuples()):
        for j in range(eigenvectors.shape[1]):
            share = getattr(row, f"share_{j + 1}")
            middle = (j * (1 + gap[1]) + 0.5, i * (1 + gap[0]) + 1.02)
            ax.text(*middle, f"{100 * share:.0f}", ha="center", va="top", fontsize=4.5)
    ax.set(
        xticks=[],
        yticks=[i * (1 + gap[0]) + 0.5 for i in range(len(layers))],
        yticklabels=list(layers["depth"]),
    )
    return ax


def _alike(measured: Measurements) -> Figure:
    layers = measured.tables["layers"]
    layers = layers[layers["of"] == UPDATE]
    sizes = sorted(set(layers["size"]))
    figure = Figure(layout="constrained", figsize=(7.1, 4.8))
    grid = figure.add_gridspec(2, len(sizes), height_ratios=(1, 0.8))
    for column, size in enumerate(sizes):
        own = layers[layers["size"] == size]
        _overlap_matrix(measured.tensors[f"overlaps|{size}"], own, figure.add_subplot(grid[0, column]))
    _overlaps_by_rank(measured.tables["pairs"], figure.add_subplot(grid[1, :]))
    return figure


def _overlap_matrix(overlaps: Tensor, layers: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the overlaps of all layers at rank 5, white at chance and black at 1, networks apart."""
    size = int(layers["size"].iloc[0])
    ax.imshow(overlaps.numpy(), cmap="Greys", vmin=5 / size**2, vmax=1)
    networks = layers.reset_index(drop=True).drop_duplicates("network")
    starts = networks.index.tolist()
    for start in starts[1:]:
        ax.axhline(start - 0.5, color="white", linewidth=1)
        ax.axvline(start - 0.5, color="white", linewidth=1)
    middles = [(a + b - 1) / 2 for a, b in zip(starts, [*starts[1:], len(layers)], strict=True)]
    short = [f"{row.data}\n{SHORT[row.labels]} {row.seed}" for row in networks.itertuples()]
    ax.set(yticks=middles, yticklabels=[plain(name) for name in short], xticks=[])
    ax.set_title(f"{size}x{size}, rank 5: chance {5 / size**2:.2f} (white) to 1 (black)", fontsize="small")
    ax.tick_params(length=0, labelsize="x-small")
    ax.spines[:].set_visible(False)
    return ax


def _overlaps_by_rank(pairs: pd.DataFrame, ax: Axes) -> Axes:
    """Draw mean overlaps with 95 % intervals over networks, the lowest pair of layers, and chance."""
    pairs = pairs[pairs["part"] == COMPARED]
    places = [(kernel, rank) for kernel in sorted(set(pairs["kernel"])) for rank in RANKS]
    shown = {UPDATE: "what training added", WEIGHTS: "all weights", INITIAL: "initial weights"}
    for index, (of, label) in enumerate(shown.items()):
        style = series(index) | {"linestyle": "none"}
        for x, place in enumerate(places):
            rows, at = _chosen(pairs, of, *place), x + 0.22 * (index - 1)
            found = _estimate(rows)
            known = math.isfinite(found.low)
            spread = [[found.mean - found.low], [found.high - found.mean]] if known else None
            ax.errorbar(
                at, found.mean, spread, elinewidth=0.8, capsize=1.5, label="" if x else label, **style
            )
            ax.plot(at, rows["lowest"].min(), marker="_", color=style["color"], markersize=6)
    ax.plot([], [], marker="_", color=GREY, linestyle="none", markersize=6, label="lowest pair of layers")
    for x, (kernel, rank) in enumerate(places):
        chance = [rank / kernel**2] * 2
        ax.plot([x - 0.4, x + 0.4], chance, color=GREY, linewidth=0.8, label="" if x else "chance")
    ax.axhline(0.9, color=GREY, linewidth=0.6, linestyle=":")
    ticks = [f"{kernel}x{kernel}\nrank {rank}" for kernel, rank in places]
    ax.set(xticks=range(len(places)), xticklabels=ticks, ylabel="overlap of subspaces", ylim=(0, 1.05))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5)
    return ax


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 1."""
    pairs = measured.tables["pairs"]
    sizes = sorted(set(pairs["kernel"]))
    return [
        *(_shared(pairs, size) for size in sizes),
        _other_ranks(pairs, sizes),
        _first_differs(pairs, sizes),
        _in_eigenvalues(measured.tables["spectra"]),
        _random_labels(measured, sizes),
    ]


def _shared(pairs: pd.DataFrame, size: int) -> Claim:
    rows = _chosen(pairs, UPDATE, size, 5)
    found = _estimate(rows)
    last, roomy = (_chosen(pairs, UPDATE, size, 5, part) for part in (TO_THE_LAST, ROOMY))
    others = {of: _estimate(_chosen(pairs, of, size, 5)).mean for of in (WEIGHTS, INITIAL)}
    return Claim(
        f"Layers beyond the first share their leading {size}x{size} eigenvectors, whatever the data and labels.",
        f"the same patterns (figure 1); our bound: mean overlap 0.9 at rank 5, where chance is {5 / size**2:.2f}",
        found.mean,
        (found.low, found.high),
        holds(found.mean >= 0.9),
        f"overlap of W - W0 over {found.pairs} pairs of networks, layers on maps of at least 4x4; lowest pair of "
        f"layers {rows['lowest'].min():.2f}; on maps larger than the kernel {_estimate(roomy).mean:.2f}, lowest "
        f"{roomy['lowest'].min():.2f}; with layers on 2x2 maps {_estimate(last).mean:.2f}, lowest "
        f"{last['lowest'].min():.2f}; all weights {others[WEIGHTS]:.2f}, initial weights {others[INITIAL]:.2f}",
    )


def _other_ranks(pairs: pd.DataFrame, sizes: Sequence[int]) -> Claim:
    found = {
        (size, rank): _estimate(_chosen(pairs, UPDATE, size, rank))
        for size in sizes
        for rank in RANKS
        if rank != 5
    }
    listed = "; ".join(
        f"{size}x{size} rank {rank}: {each.mean:.2f} (chance {rank / size**2:.2f})"
        for (size, rank), each in found.items()
    )
    worst = min(found.values(), key=lambda each: each.mean)
    return Claim(
        "So they do at other ranks: the average and first derivatives, and these with all second derivatives.",
        "the same patterns (figure 1); our bound: mean overlap 0.9 at ranks 3 and 6 and every kernel size",
        worst.mean,
        (worst.low, worst.high),
        holds(worst.mean >= 0.9),
        f"smallest mean overlap of {listed}",
    )


def _first_differs(pairs: pd.DataFrame, sizes: Sequence[int]) -> Claim:
    margins = {}
    for size in sizes:
        beyond, first = (_chosen(pairs, UPDATE, size, 5, part) for part in (COMPARED, FIRST))
        margins[size] = _estimate(beyond).mean - _estimate(first).mean
    listed = ", ".join(f"{size}x{size}: {margin:.2f}" for size, margin in margins.items())
    return Claim(
        "The first layer's patterns differ from those of all others.",
        "it is shown apart (figure 1): lower overlap with later layers than these have with each other",
        min(margins.values()),
        None,
        holds(min(margins.values()) > 0),
        f"smallest margin in mean overlap at rank 5; {listed}",
    )


def _in_eigenvalues(spectra: pd.DataFrame) -> Claim:
    means = spectra.groupby("kernel")["share"].mean().to_dict()
    listed = ", ".join(
        f"{size}x{size}: {mean:.0%} (chance {2 / (size**2 + 1):.0%})" for size, mean in means.items()
    )
    names = list(spectra["network"])
    found = over_networks(list(zip(names, names, strict=True)), spectra["share"].tolist())
    return Claim(
        "Layers differ mainly in the eigenvalues.",
        "section 2.2, in words; our bound: at least half of the squared difference at every kernel size",
        found.mean,
        (found.low, found.high),
        holds(min(means.values()) >= 0.5),
        "share of the squared difference of layers' covariances (unit trace) that lies along shared eigenvectors; "
        + listed,
    )


def _random_labels(measured: Measurements, sizes: Sequence[int]) -> Claim:
    pairs, networks = measured.tables["pairs"], measured.tables["networks"]
    known = measured.tables["layers"].drop_duplicates("network").set_index("network")
    main = known[known["data"] == known["data"].iloc[0]]["labels"].to_dict()

    def between(size: int, *labels: str, control: bool = False) -> float:
        rows = _chosen(pairs, UPDATE, size, 5, control=control)
        both = [
            {main.get(a), main.get(b)} == set(labels) and a != b
            for a, b in zip(rows["a"], rows["b"], strict=True)
        ]
        return float(rows[both]["overlap"].mean())

    crossed = {size: between(size, TRUE, RANDOM) for size in sizes}
    true = {size: between(size, TRUE) for size in sizes}
    kept = [(crossed[size] - 5 / size**2) / (true[size] - 5 / size**2) for size in sizes]
    listed = ", ".join(f"{size}x{size}: {crossed[size]:.2f} against {true[size]:.2f}" for size in sizes)
    fit = networks[networks["labels"] != "true"]["train_accuracy"].min()
    return Claim(
        "Random labels give the same eigenvectors, slightly distorted.",
        "figure 1 b, in words; our bounds: at least 75 % at every kernel size, on average below 100 %",
        sum(kept) / len(kept),
        None,
        holds(min(kept) >= 0.75 and sum(kept) < len(kept)),
        "overlap above chance at rank 5 of true with random labels, over that of two seeds with true labels: "
        f"{listed}; true labels trained as the random ones are, with true labels "
        f"{between(sizes[0], TRUE, CONTROL, control=True):.2f} and with random ones "
        f"{between(sizes[0], RANDOM, CONTROL, control=True):.2f} at {sizes[0]}x{sizes[0]}; random-label networks fit "
        f"at least {fit:.0%} of their training images",
    )


def _chosen(
    pairs: pd.DataFrame, of: str, size: int, rank: int, part: str = COMPARED, control: bool = False
) -> pd.DataFrame:
    """Return the rows of one kind, those with the control network only where it is asked for."""
    same = (pairs["of"] == of) & (pairs["part"] == part) & (pairs["control"].astype(bool) == control)
    return pairs[same & (pairs["kernel"] == size) & (pairs["rank"] == rank)]


def _estimate(rows: pd.DataFrame) -> Estimate:
    return over_networks(list(zip(rows["a"], rows["b"], strict=True)), rows["overlap"].tolist())


EXHIBIT = Exhibit(
    "encodings-fig1",
    "spatial eigenvectors: kernel sizes, layers, true and random labels, data sets",
    "Guth & Menard (2024), figure 1",
    kernel_population.trainings,
    measure,
    draw,
    claims,
    (
        "Patterns are those of W - W0, what training added; the paper takes W, which after short trainings is mostly "
        "initial noise.",
        "Data sets beyond the first are compared at the smallest kernel size; the paper does not state its own.",
    ),
)

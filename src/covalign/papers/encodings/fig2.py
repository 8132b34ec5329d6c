"""Figure 2 of Guth & Menard (2024): does alignment reveal shared eigenvectors, and do these carry the accuracy?"""

import math

import matplotlib
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from covalign.encoding.covariance import weight_covariance
from covalign.encoding.similarity import eigenvector_cosines
from covalign.figures.eigenvectors import cosine_map
from covalign.figures.intervals import level_lines
from covalign.figures.style import PALETTE, journal, series
from covalign.networks.network import Layer
from covalign.papers.bench import Bench
from covalign.papers.encodings import population
from covalign.papers.encodings.fig2_claims import CONTROLS, MAPPED, TRUNCATED, claims
from covalign.papers.encodings.population import Block, Pair
from covalign.papers.exhibit import Exhibit, Measurements, Training
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale
from covalign.studies.comparison.conditions import independence
from covalign.studies.comparison.orders import rows_of
from covalign.studies.comparison.record import Comparison
from covalign.studies.truncation.figures import accuracy_against_rank
from covalign.studies.truncation.measure import BASES, rank_truncation

TEST_IMAGES = 1000
WINDOW = 5
"""Ranks of either network that are averaged to tell their cosines from chance."""

AGREEMENT = (
    "a",
    "b",
    "depth",
    "debiased",
    "debiased_low",
    "debiased_high",
    "debiased_p",
    "debiased_centred",
    *CONTROLS,
    "reproducible_a",
    "reproducible_b",
    "debiased_reason",
)
"""Columns of `Comparison.table` that are kept for every pair of seeds."""


def seeds(scale: Scale) -> Block:
    """Return the seeds on CIFAR-10 as in the paper, or on the scale's first data set."""
    return population.seeds(scale, "cifar10" if "cifar10" in scale.encodings else next(iter(scale.encodings)))


def pair(scale: Scale) -> Pair:
    """Return the two of them that are drawn."""
    return seeds(scale).pairs[0]


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return the networks, which figures 3 and 4 need too."""
    every = population.data_set_trainings(scale)
    return {label: every[label] for label in seeds(scale).labels}


def measure(bench: Bench) -> Measurements:
    """Take the maps of the first layers, find the ranks where two seeds correlate, and cut three layers' ranks."""
    chosen = pair(bench.scale)
    found = population.comparison(bench, seeds(bench.scale))
    table = rows_of(found.table, chosen.names)
    a, b = (bench.runs[label].network for label in (chosen.a, chosen.b))
    images = bench.images(chosen.a.data, "test").sample(
        min(TEST_IMAGES, bench.scale.images // 2), seed=bench.seed
    )
    layers, cuts = [], []
    maps: dict[str, Tensor] = {}
    for row in table.itertuples():
        if row.depth not in (*MAPPED, *TRUNCATED):
            continue
        aligned = found.cosine_maps[*chosen.names, row.layer_a]
        unaligned = _unaligned(a.layer(row.layer_a), b.layer(row.layer_b), len(aligned))
        ranks = min(row.effective_rank_a, row.effective_rank_b)
        within = max(1, min(len(aligned), math.floor(ranks))) if math.isfinite(ranks) else len(aligned)
        detected = correlated_ranks(aligned, row.d)
        layers.append(
            {
                "depth": row.depth,
                "d": row.d,
                "effective_rank_a": row.effective_rank_a,
                "effective_rank_b": row.effective_rank_b,
                "chance": math.sqrt(2 / (math.pi * row.d)),
                "aligned": float(aligned.diagonal()[:within].mean()),
                "unaligned": float(unaligned.diagonal()[:within].mean()),
                "within": within,
                "detected": detected,
                "shown": len(aligned),
            }
        )
        if row.depth in MAPPED:
            maps |= {f"aligned|{row.depth}": aligned.float(), f"unaligned|{row.depth}": unaligned.float()}
        if row.depth in TRUNCATED:
            for basis in BASES:
                tried = _ranks(a.layer(row.layer_a), basis, detected)
                cut = rank_truncation(a, row.layer_a, tried, images, basis=basis, seed=bench.seed)
                cuts.append(cut.table)
            bench.progress("cut ranks", len(cuts) / (len(TRUNCATED) * len(BASES)))
    tables = {
        "layers": pd.DataFrame(layers),
        "truncation": pd.concat(cuts, ignore_index=True),
        "agreement": found.table[list(AGREEMENT)],
        "shared": _curves(found, chosen),
        "independence": _independence(found.table),
        "networks": population.accuracies(bench),
    }
    return Measurements(tables, maps)


def _curves(found: Comparison, chosen: Pair) -> pd.DataFrame:
    """Return the curve of shared variance of the drawn pair at the truncated layers, a row a rank."""
    rows = []
    for row in rows_of(found.table, chosen.names).itertuples():
        curve = found.curves.get((row.a, row.b, row.layer_a))
        if curve is None or row.depth not in TRUNCATED:
            continue
        for rank, shared in zip(curve.ranks, curve.shared.tolist(), strict=True):
            rows.append({"depth": row.depth, "rank": rank, "shared": shared})
    return pd.DataFrame(rows, columns=["depth", "rank", "shared"])


def _independence(table: pd.DataFrame) -> pd.DataFrame:
    """Return `neuron_independence` of the seeds, a row a layer."""
    rows = []
    for depth, found in table.groupby("depth"):
        names = list(dict.fromkeys([*found["a"], *found["b"]]))
        rows.append({"depth": depth, "independence": independence(found, names), "pairs": len(found)})
    return pd.DataFrame(rows)


def correlated_ranks(cosines: Float64[Tensor, "r r"], dimension: int) -> int:
    """Return up to which rank eigenvectors of about equal rank have cosines beyond chance.

    Random directions have squared cosines of mean 1 / d and variance about 2 / d^2. Means over blocks of `WINDOW`
    ranks of both networks, around the diagonal because near-equal eigenvalues swap ranks, are held against the
    99 % point of such means; the first block that stays below ends the count.

    Args:
        cosines: |cosines| of eigenvectors, leading first.
        dimension: d, the length of the eigenvectors.
    """
    half = WINDOW // 2
    for rank in range(len(cosines)):
        near = slice(max(0, rank - half), rank + half + 1)
        block = dimension * cosines[near, near].square()
        if float(block.mean()) <= 1 + 2.33 * math.sqrt(2 / block.numel()):
            return rank
    return len(cosines)


def _unaligned(a: Layer, b: Layer, ranks: int) -> Float64[Tensor, "r r"]:
    one, other = (weight_covariance(layer.matrix, layer.init_variance or 1.0) for layer in (a, b))
    return eigenvector_cosines(one, other, ranks)


def _ranks(layer: Layer, basis: str, detected: int) -> list[int]:
    """Return powers of two up to the number of neurons (of four, for the controls), the rank in question, and all."""
    powers = [2**power for power in range(layer.dimension.bit_length())]
    chosen = [rank for rank in powers if rank <= layer.neurons] if basis == "weights" else powers[::2]
    return sorted({*chosen, detected, layer.dimension})


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw the maps of layers 1 and 2, accuracy against rank, and R of the seeds with what else is known of it."""
    layers = measured.tables["layers"].set_index("depth")
    maps = (("aligned", 1, "no alignment needed"), ("unaligned", 2, "not aligned"), ("aligned", 2, "aligned"))
    with matplotlib.rc_context(journal(columns=2.1)):
        figure = Figure(layout="constrained", figsize=(7.0, 7.4))
        parts = figure.subfigures(3, 1, squeeze=False, height_ratios=(1.1, 1.05, 1))[:, 0]
        above, middle, below = (part.subplots(1, 3) for part in parts)
        for ax, (name, depth, title) in zip(above, maps, strict=True):
            row, cosines = layers.loc[depth], measured.tensors[f"{name}|{depth}"]
            ranks = (row["effective_rank_a"], row["effective_rank_b"])
            cosine_map(cosines, ax, int(row["d"]), ranks).set_title(f"layer {depth}: {title}", pad=12)
            ax.set(xlabel="eigenvector, second seed", ylabel="eigenvector, first seed")
        for ax, depth in zip(middle, TRUNCATED, strict=True):
            _accuracy(measured.tables["truncation"], layers.loc[depth], depth, ax)
            ax.label_outer()
        parts[1].legend(
            *middle[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="x-small"
        )
        _against_depth(measured.tables["agreement"], below[0])
        _shared(measured.tables["shared"], below[1])
        _independent(measured.tables["independence"], below[2])
        return {"encodings-fig2": figure}


def _against_depth(agreement: pd.DataFrame, ax: Axes) -> Axes:
    """Draw R of every pair of seeds as dots, their means as a line, and the means of the controls."""
    level_lines(ax, 0.0, 1.0).set_ylim(-0.2, 1.5)
    ax.plot(agreement["depth"], agreement["debiased"], ".", color=PALETTE[0], markersize=2, alpha=0.6)
    lines = {"debiased": "aligned", "debiased_centred": "aligned on centred features", **CONTROLS}
    for index, (name, label) in enumerate(lines.items()):
        means = agreement.groupby("depth")[name].mean()
        ax.plot(means.index, means.to_numpy(), label=label, **series(index))
    ax.legend(fontsize="xx-small")
    ax.set(xlabel="layer", ylabel="R of two seeds", title="agreement")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def _shared(curves: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the strength-free curve of shared variance of the two seeds."""
    level_lines(ax, 0.0, 1.0).set_ylim(-0.2, 1.5)
    for index, (depth, rows) in enumerate(curves.groupby("depth")):
        ax.plot(rows["rank"], rows["shared"], label=f"layer {depth}", **(series(index) | {"marker": None}))
    ax.set_xscale("log")
    if len(curves):
        ax.legend(fontsize="xx-small")
    ax.set(xlabel="leading directions", ylabel="shared variance", title="which directions")
    return ax


def _independent(independence: pd.DataFrame, ax: Axes) -> Axes:
    """Draw what seeds share in units of what neurons of one network share."""
    level_lines(ax, 0.0, 1.0).set_ylim(-0.2, 1.5)
    ax.plot(independence["depth"], independence["independence"], **series(0))
    ax.set(xlabel="layer", ylabel="$U_{12}$ of seeds / $U_{11}$", title="seeds against own neurons")
    return ax


def _accuracy(truncation: pd.DataFrame, layer: pd.Series, depth: int, ax: Axes) -> Axes:
    """Draw accuracy against rank; up to which rank two seeds correlate is shaded, the effective rank dotted."""
    accuracy_against_rank(truncation[truncation["depth"] == depth], ax, layer["effective_rank_a"])
    ax.lines[-1].set_label("effective rank")
    shaded = ax.axvspan(
        0.8, max(0.8, layer["detected"]), color=PALETTE[5], alpha=0.25, linewidth=0, zorder=-1
    )
    shaded.set_label("two seeds correlate")
    ax.set(title=f"layer {depth}", xlabel="rank kept", ylabel="test accuracy")
    ax.set_xlim(0.8, 1.2 * layer["d"])
    return ax


EXHIBIT = Exhibit(
    "encodings-fig2",
    "first layers of two seeds with and without alignment; accuracy against retained rank",
    "Guth & Menard (2024), figure 2",
    trainings,
    measure,
    draw,
    claims,
    ("Accuracy is shown for the ranks of layers 2, 4 and 6 one at a time, on at most 1,000 test images.",),
)

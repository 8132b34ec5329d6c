"""Figure 2 of Guth & Menard (2024): does alignment reveal shared eigenvectors, and do these carry the accuracy?"""

import math

import matplotlib
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from covalign.encoding.covariance import weight_covariance
from covalign.encoding.similarity import eigenvector_cosines
from covalign.figures.eigenvectors import cosine_map
from covalign.figures.style import PALETTE, journal
from covalign.networks.network import Layer
from covalign.papers.bench import Bench
from covalign.papers.encodings import population
from covalign.papers.encodings.population import SAME, Pair, replicate
from covalign.papers.exhibit import Claim, Exhibit, Measurements, Training, holds
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale
from covalign.studies.truncation.figures import accuracy_against_rank
from covalign.studies.truncation.measure import BASES, rank_truncation

MAPPED = (1, 2)
TRUNCATED = (2, 4, 6)
"""Layers whose rank is cut (our choice)."""

TEST_IMAGES = 1000
WINDOW = 5
"""Ranks of either network that are averaged to tell their cosines from chance."""

ABOVE = 1.5
"""From how many times the chance level eigenvectors correspond."""


def pair(scale: Scale) -> Pair:
    """Return two seeds on CIFAR-10 as in the paper, or on the scale's first data set."""
    data = "cifar10" if "cifar10" in scale.encodings else scale.encodings[0]
    return Pair(SAME, replicate(data, 0), replicate(data, 1))


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return the two networks, which figures 3 and 4 need too."""
    every, chosen = population.data_set_trainings(scale), pair(scale)
    return {label: every[label] for label in (chosen.a, chosen.b)}


def measure(bench: Bench) -> Measurements:
    """Take the maps of the first layers, find the ranks where two seeds correlate, and cut three layers' ranks."""
    chosen = pair(bench.scale)
    found = population.comparison(bench, chosen)
    a, b = (bench.runs[label].network for label in (chosen.a, chosen.b))
    images = bench.images(chosen.a.data, "test").sample(
        min(TEST_IMAGES, bench.scale.images // 2), seed=bench.seed
    )
    layers, cuts = [], []
    maps: dict[str, Tensor] = {}
    for row in found.table.itertuples():
        if row.depth not in (*MAPPED, *TRUNCATED):
            continue
        aligned = found.cosine_maps[str(chosen.a), str(chosen.b), row.layer_a]
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
        "networks": population.accuracies(bench),
    }
    return Measurements(tables, maps)


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
    """Draw the maps of layers 1 and 2 above, accuracy against rank below."""
    layers = measured.tables["layers"].set_index("depth")
    maps = (("aligned", 1, "no alignment needed"), ("unaligned", 2, "not aligned"), ("aligned", 2, "aligned"))
    with matplotlib.rc_context(journal(columns=2.1)):
        figure = Figure(layout="constrained", figsize=(7.0, 4.6))
        above, below = figure.subplots(2, 3, height_ratios=(1.15, 1))
        for ax, (name, depth, title) in zip(above, maps, strict=True):
            row, cosines = layers.loc[depth], measured.tensors[f"{name}|{depth}"]
            ranks = (row["effective_rank_a"], row["effective_rank_b"])
            cosine_map(cosines, ax, int(row["d"]), ranks).set_title(f"layer {depth}: {title}", pad=12)
            ax.set(xlabel="eigenvector, second seed", ylabel="eigenvector, first seed")
        for ax, depth in zip(below, TRUNCATED, strict=True):
            _accuracy(measured.tables["truncation"], layers.loc[depth], depth, ax)
            ax.label_outer()
        figure.legend(*below[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        return {"encodings-fig2": figure}


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


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 2."""
    layers = measured.tables["layers"].set_index("depth")
    return [
        _random_without(layers),
        _alike_with(layers),
        *_accuracy_within(layers, measured.tables["truncation"]),
    ]


def _random_without(layers: pd.DataFrame) -> Claim:
    ratio = float(layers.loc[2, "unaligned"] / layers.loc[2, "chance"])
    return Claim(
        "Without alignment, second-layer eigenvectors of two seeds are unrelated.",
        f"a map of noise (figure 2); our bound: less than {ABOVE} times chance",
        ratio,
        None,
        holds(ratio < ABOVE),
        f"mean diagonal |cosine| up to the effective rank ({int(layers.loc[2, 'within'])} ranks), in units of the "
        "chance sqrt(2/(pi d)); one pair of networks",
    )


def _alike_with(layers: pd.DataFrame) -> Claim:
    first, second = (float(layers.loc[depth, "aligned"] / layers.loc[depth, "chance"]) for depth in MAPPED)
    return Claim(
        "With alignment they correspond, as those of the first layer do without any.",
        f"dark diagonals (figure 2); our bound: more than {ABOVE} times chance at both layers",
        second,
        None,
        holds(min(first, second) > ABOVE),
        f"the same for aligned eigenvectors; layer 1, which needs no alignment: {first:.1f}; one pair of networks",
    )


def _accuracy_within(layers: pd.DataFrame, truncation: pd.DataFrame) -> list[Claim]:
    found = []
    for depth in TRUNCATED:
        rank = int(layers.loc[depth, "detected"])
        rows = truncation[(truncation["depth"] == depth) & (truncation["rank"] == rank)]
        at = {row.basis: row.accuracy / row.untruncated for row in rows.itertuples()}
        beyond = " or more" if rank == layers.loc[depth, "shown"] else ""
        full = rows["untruncated"].iloc[0]
        found.append(
            Claim(
                f"Nearly all accuracy lies within the ranks where correlation is detected, layer {depth}.",
                "figure 2, bottom right; our bound: 0.9 of the accuracy, and more than random directions keep",
                at["weights"],
                None,
                holds(at["weights"] >= 0.9 and at["weights"] > at["random"]),
                f"share of the test accuracy {full:.2f} with {rank} of {int(layers.loc[depth, 'd'])} directions, as "
                f"two seeds correlate up to rank {rank}{beyond}; as many random directions keep {at['random']:.2f}, "
                f"input components {at['activations']:.2f}",
            )
        )
    return found


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

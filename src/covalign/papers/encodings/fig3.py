"""Figure 3 of Guth & Menard (2024): do the eigenvectors of two networks correspond, rank by rank?"""

import math

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from covalign.figures.eigenvectors import cosine_map
from covalign.figures.style import journal, plain
from covalign.papers.bench import Bench
from covalign.papers.encodings import population
from covalign.papers.encodings.population import ACROSS, KINDS, RANDOM, SAME, TRUE_RANDOM, Pair
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds
from covalign.papers.intervals import over_networks
from covalign.papers.scales.scale import Scale


def drawn(scale: Scale) -> list[Pair]:
    """Return the pairs whose maps are drawn: the first of every group."""
    first = {pair.group: pair for pair in reversed(population.pairs(scale))}
    return sorted(first.values(), key=lambda pair: KINDS.index(pair.kind))


def measure(bench: Bench) -> Measurements:
    """Take the maps of the drawn pairs, and the mean diagonal cosine of every pair."""
    rows, maps = [], {}
    chosen = drawn(bench.scale)
    every = population.pairs(bench.scale)
    for done, pair in enumerate(every):
        found = population.comparison(bench, pair)
        for row in found.table.itertuples():
            cosines = found.cosine_maps.get((str(pair.a), str(pair.b), row.layer_a))
            if cosines is None:
                continue
            ranks = [row.effective_rank_a, row.effective_rank_b]
            diagonal = cosines.diagonal()
            within = min(len(diagonal), math.floor(min(ranks))) if all(map(math.isfinite, ranks)) else 0
            name = f"{pair.a}|{pair.b}|{row.depth}"
            shown = pair in chosen
            rows.append(
                {
                    "kind": pair.kind,
                    "group": pair.group,
                    "a": str(pair.a),
                    "b": str(pair.b),
                    "depth": row.depth,
                    "d": row.d,
                    "effective_rank_a": ranks[0],
                    "effective_rank_b": ranks[1],
                    "kept_a": row.kept_a,
                    "kept_b": row.kept_b,
                    "diagonal": float(diagonal[:within].mean()) if within else math.nan,
                    "chance": math.sqrt(2 / (math.pi * row.d)),
                    "map": name if shown else "",
                }
            )
            if shown:
                maps[name] = cosines.float()
        bench.progress("pairs of networks", (done + 1) / len(every))
    return Measurements({"diagonals": pd.DataFrame(rows), "networks": population.accuracies(bench)}, maps)


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw the maps: a row a pair, a column a layer; arrows at the effective ranks."""
    table = measured.tables["diagonals"]
    shown = table[table["map"].fillna("") != ""]
    groups = list(dict.fromkeys(shown.sort_values("kind", key=lambda k: k.map(KINDS.index))["group"]))
    depths = sorted(set(shown["depth"]))
    with matplotlib.rc_context(journal(columns=2.1)):
        figure = Figure(layout="constrained", figsize=(1.0 * len(depths) + 0.5, 1.02 * len(groups) + 0.3))
        grid = figure.subplots(len(groups), len(depths), squeeze=False)
        for ax in grid.flat:
            ax.set_axis_off()
        for group, axes in zip(groups, grid, strict=True):
            for row in shown[shown["group"] == group].itertuples():
                ax = axes[depths.index(row.depth)]
                ax.set_axis_on()
                ranks = (float(row.effective_rank_a), float(row.effective_rank_b))
                cosine_map(measured.tensors[row.map], ax, row.d, ranks)
                ax.tick_params(labelsize="xx-small")
            axes[0].set_ylabel(plain(group).replace(" - ", "\n"), fontsize="x-small")
        for depth, ax in zip(depths, grid[0], strict=True):
            ax.set_title(f"layer {depth}", fontsize="small")
        return {"encodings-fig3": figure}


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 3."""
    table = measured.tables["diagonals"]
    return [
        _correspond(table, SAME, "Two seeds have corresponding eigenvectors.", "a dark diagonal, top row"),
        _correspond(table, ACROSS, "So have networks of two data sets.", "dark diagonals, bottom rows"),
        _fewer_for_random(table),
        _rank_grows(table),
    ]


def _correspond(table: pd.DataFrame, kind: str, sentence: str, expected: str) -> Claim:
    rows = table[(table["kind"] == kind) & table["depth"].between(2, 6) & table["diagonal"].notna()]
    ratios = (rows["diagonal"] / rows["chance"]).tolist()
    estimate = over_networks(list(zip(rows["a"], rows["b"], strict=True)), ratios)
    lowest = (rows["diagonal"] / rows["chance"]).groupby(rows["depth"]).mean()
    listed = ", ".join(f"{depth}: {value:.1f}" for depth, value in lowest.items())
    return Claim(
        sentence,
        f"{expected}: mean cosine within the effective rank above chance",
        estimate.mean,
        (estimate.low, estimate.high),
        holds(bool(len(lowest)) and bool((lowest > 1.5).all()) and estimate.low > 1),
        "mean diagonal |cosine| up to the effective rank, in units of the chance sqrt(2/(pi d)), layers 2-6; by "
        f"layer {listed}; our bound 1.5 at every layer",
    )


def _fewer_for_random(table: pd.DataFrame) -> Claim:
    rows = table[table["depth"].between(2, 6)]
    means = {
        kind: rows[rows["kind"] == kind]
        .groupby("depth")
        .apply(lambda found: (found["diagonal"] / found["chance"]).mean(), include_groups=False)
        for kind in (TRUE_RANDOM, RANDOM)
    }
    both = means[RANDOM].dropna().index.intersection(means[TRUE_RANDOM].dropna().index)
    below = [depth for depth in both if means[TRUE_RANDOM][depth] < means[RANDOM][depth]]
    listed = ", ".join(f"{d}: {means[TRUE_RANDOM][d]:.1f} and {means[RANDOM][d]:.1f}" for d in both)
    return Claim(
        "Eigenvectors of true and random labels correspond less than those of two realizations of random labels.",
        "paler diagonals in the middle row (figure 3)",
        float(means[TRUE_RANDOM][both].mean()) if len(both) else math.nan,
        None,
        holds(len(both) > 0 and len(below) == len(both)),
        f"lower in {len(below)} of {len(both)} layers; in units of chance, true and random, then random a and b: "
        + listed,
    )


def _rank_grows(table: pd.DataFrame) -> Claim:
    rows = table[table["kind"] == SAME]
    ranks = rows.groupby("depth")["effective_rank_a"].mean()
    inner = ranks[ranks.index.isin(range(2, 7))]
    listed = ", ".join(f"{depth}: {value:.1f}" for depth, value in ranks.items())
    grows = float(inner.corr(pd.Series(inner.index, index=inner.index), method="spearman"))
    return Claim(
        "The effective rank grows with depth.",
        "positive rank correlation with depth (section 3.3)",
        grows,
        None,
        holds(grows > 0),
        f"Spearman correlation over layers 2-6; mean effective rank by layer {listed}",
    )


EXHIBIT = Exhibit(
    "encodings-fig3",
    "eigenvector correspondence: seeds, true and random labels, pairs of data sets",
    "Guth & Menard (2024), figure 3",
    population.trainings,
    measure,
    draw,
    claims,
    (
        "The rank range of a map is twice the larger effective rank, at most 64; the paper does not state its own.",
    ),
)

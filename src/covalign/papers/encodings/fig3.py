"""Figure 3 of Guth & Menard (2024): do the eigenvectors of two networks correspond, rank by rank?"""

import math
from typing import Any

import matplotlib
import pandas as pd
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from covalign.figures.eigenvectors import cosine_map
from covalign.figures.intervals import arms, level_lines
from covalign.figures.style import PALETTE, journal, plain
from covalign.papers.bench import Bench
from covalign.papers.encodings import population
from covalign.papers.encodings.population import ACROSS, KINDS, RANDOM, SAME, TRUE_RANDOM, Pair
from covalign.papers.exhibit import Claim, Exhibit, Measurements, holds
from covalign.papers.intervals import over_networks
from covalign.papers.scales.scale import Scale
from covalign.studies.comparison.orders import rows_of


def drawn(scale: Scale) -> list[Pair]:
    """Return the pairs whose maps are drawn: the first of every group."""
    first = {pair.group: pair for pair in reversed(population.pairs(scale))}
    return sorted(first.values(), key=lambda pair: KINDS.index(pair.kind))


def measure(bench: Bench) -> Measurements:
    """Take the maps of the drawn pairs, the mean diagonal cosine of every pair, and R and Q beside them."""
    rows, maps = [], {}
    chosen = set(drawn(bench.scale))
    for block in population.blocks(bench.scale):
        found = population.comparison(bench, block)
        for pair in block.pairs:
            for row in rows_of(found.table, pair.names).itertuples():
                cosines = found.cosine_maps.get((*pair.names, row.layer_a))
                if cosines is None:
                    continue
                name = f"{pair.a}|{pair.b}|{row.depth}" if pair in chosen else ""
                rows.append(_diagonal(pair, row, cosines) | {"map": name})
                if name:
                    maps[name] = cosines.float()
    tables = {
        "diagonals": pd.DataFrame(rows),
        "conditions": population.conditions(bench),
        "networks": population.accuracies(bench),
    }
    return Measurements(tables, maps)


def _diagonal(pair: Pair, row: Any, cosines: Float64[Tensor, "r r"]) -> dict[str, Any]:
    """Return how dark the diagonal is up to the smaller effective rank."""
    ranks = [row.effective_rank_a, row.effective_rank_b]
    diagonal = cosines.diagonal()
    within = min(len(diagonal), math.floor(min(ranks))) if all(map(math.isfinite, ranks)) else 0
    return {
        "kind": pair.kind,
        "group": pair.group,
        "a": row.a,
        "b": row.b,
        "depth": row.depth,
        "d": row.d,
        "effective_rank_a": ranks[0],
        "effective_rank_b": ranks[1],
        "kept_a": row.kept_a,
        "kept_b": row.kept_b,
        "diagonal": float(diagonal[:within].mean()) if within else math.nan,
        "chance": math.sqrt(2 / (math.pi * row.d)),
        "debiased": row.debiased,
        "debiased_low": row.debiased_low,
        "debiased_high": row.debiased_high,
    }


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw the maps with arrows at the effective ranks, a row a pair, a column a layer; at the end R and Q."""
    table, conditions = measured.tables["diagonals"], measured.tables["conditions"]
    shown = table[table["map"].fillna("") != ""]
    groups = list(dict.fromkeys(shown.sort_values("kind", key=lambda k: k.map(KINDS.index))["group"]))
    depths = sorted(set(shown["depth"]))
    with matplotlib.rc_context(journal(columns=2.1)):
        figure = Figure(layout="constrained", figsize=(1.0 * len(depths) + 2.2, 1.02 * len(groups) + 0.5))
        grid = figure.subplots(
            len(groups), len(depths) + 1, squeeze=False, width_ratios=[1.0] * len(depths) + [1.7]
        )
        for ax in grid[:, :-1].flat:
            ax.set_axis_off()
        for group, axes in zip(groups, grid, strict=True):
            rows = shown[shown["group"] == group]
            for row in rows.itertuples():
                ax = axes[depths.index(row.depth)]
                ax.set_axis_on()
                ranks = (float(row.effective_rank_a), float(row.effective_rank_b))
                cosine_map(measured.tensors[row.map], ax, row.d, ranks)
                ax.tick_params(labelsize="xx-small")
            axes[0].set_ylabel(plain(group).replace(" - ", "\n"), fontsize="x-small")
            _agreement(rows, conditions[conditions["group"] == group], depths[-1], axes[-1])
        for depth, ax in zip(depths, grid[0], strict=False):
            ax.set_title(f"layer {depth}", fontsize="small")
        grid[0, -1].set_title("R of the pair (dots), Q (band)", fontsize="small")
        grid[-1, -1].set_xlabel("layer", fontsize="x-small")
        return {"encodings-fig3": figure}


def _agreement(rows: pd.DataFrame, conditions: pd.DataFrame, deepest: int, ax: Axes) -> Axes:
    """Draw R of one pair with its interval over neurons, and Q of its conditions with that over seeds as a band."""
    rows, conditions = rows.sort_values("depth"), conditions.sort_values("depth")
    level_lines(ax, 0.0, 1.0)
    ax.fill_between(
        conditions["depth"], conditions["low"], conditions["high"], color=PALETTE[4], alpha=0.35, linewidth=0
    )
    ax.plot(conditions["depth"], conditions["q"], color=PALETTE[4])
    spread = arms(rows["debiased"], rows["debiased_low"], rows["debiased_high"])
    ax.errorbar(rows["depth"], rows["debiased"], spread, fmt="o", color=PALETTE[0], elinewidth=0.7)
    ax.set(xlim=(0.5, deepest + 0.5), ylim=(-0.2, 1.5), yticks=(0, 1))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.tick_params(labelsize="xx-small")
    return ax


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 3."""
    table = measured.tables["diagonals"]
    return [
        _correspond(table, SAME, "Two seeds have corresponding eigenvectors.", "a dark diagonal, top row"),
        _correspond(table, ACROSS, "So have networks of two data sets.", "dark diagonals, bottom rows"),
        _fewer_for_random(table),
        _rank_grows(table),
        _reads_alike(table),
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
    depths = pd.Series(inner.index, index=inner.index)
    grows = float(inner.corr(depths, method="spearman")) if inner.nunique() > 1 else math.nan
    return Claim(
        "The effective rank grows with depth.",
        "positive rank correlation with depth (section 3.3)",
        grows,
        None,
        holds(grows > 0),
        f"Spearman correlation over layers 2-6; mean effective rank by layer {listed}",
    )


def _reads_alike(table: pd.DataFrame) -> Claim:
    """Darker diagonals and larger R order pairs alike, within layers."""
    rows = table[table["depth"].between(2, 6) & table["debiased"].notna() & table["diagonal"].notna()]
    ratios = rows.assign(ratio=rows["diagonal"] / rows["chance"])
    found = {
        int(depth): float(layer["ratio"].corr(layer["debiased"], method="spearman"))
        for depth, layer in ratios.groupby("depth")
        if len(layer) > 2
    }
    smallest = min(found.values(), default=math.nan)
    listed = ", ".join(f"{depth}: {value:.2f}" for depth, value in found.items())
    return Claim(
        "Pairs whose eigenvectors correspond more are those of larger R.",
        "positive rank correlation over pairs at every layer 2-6 (the paper has no such number)",
        smallest,
        None,
        holds(bool(found) and smallest > 0),
        f"smallest Spearman correlation of the diagonal in units of chance with R over {len(rows)} pairs and layers; "
        f"by layer {listed}",
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

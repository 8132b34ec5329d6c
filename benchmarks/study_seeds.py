"""Do the intervals of Q and R cover what new seeds give? Twenty trained networks of each of two conditions tell.

    python benchmarks/study_seeds.py run --store STORE [--seeds 20] [--workers 2]    # trains, compares
    python benchmarks/study_seeds.py report                                    # table, figure

The conditions are two sets of embedded photographs, the recipe is that of the demo. All pairs of all networks are
compared once, on 2,000 images of both conditions. Two questions, layer by layer:

- *The interval over seeds.* Q is taken from five seeds of each condition, disjoint fives in turn; does its 95 %
  interval hold Q of all the other seeds? Those are few too: their own spread is added for a second count, as the
  interval of a difference.
- *The interval over neurons.* R of one pair, with its interval; how often does that hold R of two other networks of
  the same conditions? It is conditional on the features and the alignment and does not claim to cover new seeds.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path

import matplotlib
import pandas as pd
import torch
from matplotlib.figure import Figure

from covalign import RunStore, compare, load_images
from covalign.data.images import Images
from covalign.data.mixture import mixture
from covalign.encoding.debiased.groups import GroupSimilarity, group_similarity
from covalign.figures.saving import save_figure
from covalign.figures.style import GREY, journal, series
from covalign.training.many import train_population
from covalign.training.presets import preset
from covalign.training.run import Run

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "seeds"
CONDITIONS = ("photos:a", "photos:b")
FIVE = 5
KEPT = ["a", "b", "depth", "debiased", "debiased_low", "debiased_high", "debiased_cross", "debiased_reason"]


def trained(store: Path, seeds: int, workers: int) -> tuple[dict[str, Run], Images]:
    """Return networks of both conditions by name, trained where they are missing, and the images of both."""
    recipe = preset("demo")
    specs = {
        f"{condition} {seed}": replace(recipe, images=condition, seed=2 * seed + place)
        for place, condition in enumerate(CONDITIONS)
        for seed in range(seeds)
    }
    runs = train_population(list(specs.values()), RunStore(store), workers=workers)
    images = mixture([load_images(condition) for condition in CONDITIONS], max_images=2000, seed=0)
    return dict(zip(specs, runs, strict=True)), images


def run(store: Path, seeds: int, workers: int, out: Path) -> None:
    """Train what is missing, compare all pairs, and keep what the report needs."""
    networks, images = trained(store, seeds, workers)
    found = compare(
        networks,
        images,
        controls=False,
        calibrate=False,
        max_images=None,
        memory=8 * 2**30,
    )
    out.mkdir(parents=True, exist_ok=True)
    found.table[KEPT].to_parquet(out / "pairs.parquet")
    rows = [
        {"network": name, "seed": each.spec.seed, "test_accuracy": each.history[-1].test_accuracy}
        for name, each in networks.items()
    ]
    pd.DataFrame(rows).to_csv(out / "networks.csv", index=False)


def over_seeds(pairs: pd.DataFrame, networks: list[str]) -> pd.DataFrame:
    """Return Q of disjoint fives, with its interval, beside Q of the other seeds: a row per layer and five."""
    members = [[name for name in networks if name.startswith(condition)] for condition in CONDITIONS]
    fives = min(len(each) for each in members) // FIVE
    rows = []
    for depth, layer in pairs.groupby("depth"):
        cross = {
            frozenset((a, b)): value
            for a, b, value in zip(layer["a"], layer["b"], layer["debiased_cross"], strict=True)
        }
        for turn in range(fives):
            chosen = [each[turn * FIVE : (turn + 1) * FIVE] for each in members]
            others = [
                [name for name in each if name not in {name for five in chosen for name in five}]
                for each in members
            ]
            five, rest = _q(cross, *chosen), _q(cross, *others)
            spread = math.hypot(five.high - five.value, rest.high - rest.value)
            rows.append(
                {
                    "depth": depth,
                    "five": turn,
                    "q": five.value,
                    "low": five.low,
                    "high": five.high,
                    "rest": rest.value,
                    "rest_low": rest.low,
                    "rest_high": rest.high,
                    "holds": five.low <= rest.value <= five.high,
                    "holds_difference": abs(five.value - rest.value) <= spread,
                }
            )
    return pd.DataFrame(rows)


def _q(cross: dict[frozenset[str], float], first: list[str], second: list[str]) -> GroupSimilarity:
    def matrix(one: list[str], other: list[str]) -> torch.Tensor:
        values = [[cross.get(frozenset((a, b)), math.nan) for b in other] for a in one]
        return torch.tensor(values, dtype=torch.float64)

    return group_similarity(matrix(first, second), matrix(first, first), matrix(second, second))


def over_neurons(pairs: pd.DataFrame) -> pd.DataFrame:
    """Return how often the interval of R holds R of two networks outside the pair: a row per layer and kind."""
    rows = []
    sides = [pairs[side].str.rsplit(n=1).str[0] for side in ("a", "b")]
    condition = pairs.assign(kind=sides[0].where(sides[0] == sides[1], "both conditions"))
    for (depth, kind), layer in condition.groupby(["depth", "kind"]):
        known = layer[layer["debiased_low"].notna()].reset_index(drop=True)
        value = torch.tensor(known["debiased"].to_numpy())
        low, high = (torch.tensor(known[f"debiased_{end}"].to_numpy()) for end in ("low", "high"))
        apart = torch.tensor(
            [[not {a, b} & {c, d} for c, d in zip(known["a"], known["b"], strict=True)]
             for a, b in zip(known["a"], known["b"], strict=True)]
        )  # fmt: skip
        inside = (value >= low[:, None]) & (value <= high[:, None]) & apart
        mean = float(value.mean())
        rows.append(
            {
                "depth": depth,
                "kind": kind,
                "pairs": len(layer),
                "withheld": len(layer) - len(known),
                "mean": mean,
                "between_pairs": float(value.std()),
                "half_width": float((high - low).median() / 2),
                "holds_new_pair": float(inside.sum() / apart.sum()),
                "holds_mean": float(((low <= mean) & (mean <= high)).double().mean()),
            }
        )
    return pd.DataFrame(rows)


def draw(seeds: pd.DataFrame, neurons: pd.DataFrame) -> Figure:
    """Draw Q of every five with its interval beside Q of the rest, and coverage of R's interval."""
    with matplotlib.rc_context(journal(columns=2.1, ratio=0.42)):
        figure = Figure(layout="constrained")
        left, right = figure.subplots(1, 2)
        fives = seeds["five"].max() + 1
        for turn, rows in seeds.groupby("five"):
            shift = 0.5 * ((turn + 0.5) / fives - 0.5)
            left.errorbar(
                rows["depth"] + shift,
                rows["q"],
                [rows["q"] - rows["low"], rows["high"] - rows["q"]],
                fmt="o",
                color=series(0)["color"],
                elinewidth=0.7,
                label="five seeds of each condition" if turn == 0 else None,
            )
            left.plot(
                rows["depth"] + shift,
                rows["rest"],
                "_",
                color=series(1)["color"],
                markersize=7,
                label="all the others" if turn == 0 else None,
            )
        left.axhline(1.0, color=GREY, linewidth=0.6)
        left.set(xlabel="layer", ylabel="Q", title="Q of fives, 95 % interval over seeds")
        left.legend(fontsize="x-small")
        for index, (kind, rows) in enumerate(neurons.groupby("kind")):
            right.plot(rows["depth"], rows["holds_new_pair"], label=str(kind), **series(index))
        right.axhline(0.95, color=GREY, linewidth=0.6)
        right.set(
            xlabel="layer",
            ylim=(0, 1.02),
            title="how often R's interval over neurons\nholds R of two new networks",
        )
        right.legend(fontsize="x-small")
    return figure


def markdown(frame: pd.DataFrame) -> list[str]:
    """Return a table as lines of a page."""
    rows = [frame.columns, ["-"] * len(frame.columns), *frame.astype(object).to_numpy()]
    return [f"| {' | '.join(map(str, row))} |" for row in rows]


def report(out: Path) -> None:
    """Write tables, figure and page."""
    pairs, networks = pd.read_parquet(out / "pairs.parquet"), pd.read_csv(out / "networks.csv")
    seeds, neurons = over_seeds(pairs, list(networks["network"])), over_neurons(pairs)
    seeds.to_csv(out / "over_seeds.csv", index=False)
    neurons.to_csv(out / "over_neurons.csv", index=False)
    save_figure(draw(seeds, neurons), out / "seeds", {"study": "seeds"})
    deep = seeds[seeds["depth"] > 1]
    means = seeds.groupby("depth")[["q", "rest", "holds", "holds_difference"]].mean()
    means["half width"] = ((seeds["high"] - seeds["low"]) / 2).groupby(seeds["depth"]).mean()
    counts = networks["network"].str.rsplit(n=1).str[0].value_counts()
    lines = [
        "# Do the intervals hold for new seeds?",
        "",
        "    python benchmarks/study_seeds.py run --store STORE",
        "    python benchmarks/study_seeds.py report",
        "",
        f"{', '.join(f'{count} networks on {name}' for name, count in sorted(counts.items()))}; recipe of the demo, "
        f"test accuracy {networks['test_accuracy'].min():.2f} to {networks['test_accuracy'].max():.2f}; "
        f"{pairs.drop_duplicates(['a', 'b']).shape[0]} pairs compared on 2,000 images of both.",
        "",
        f"**Q, interval over seeds.** Of {len(deep)} fives beyond the first layer {int(deep['holds'].sum())} "
        f"intervals ({deep['holds'].mean():.0%}) hold Q of all other seeds; {int(deep['holds_difference'].sum())} "
        f"({deep['holds_difference'].mean():.0%}) where the spread of these is counted too. Fives at different "
        "layers are of the same networks, and are not independent.",
        "",
        f"**R, interval over neurons.** It holds R of two new networks of the same conditions in "
        f"{neurons[neurons['depth'] > 1]['holds_new_pair'].mean():.0%} of cases beyond the first layer, and the mean "
        f"over all pairs of these conditions in {neurons[neurons['depth'] > 1]['holds_mean'].mean():.0%}. Two pairs "
        "scatter twice, so that 95 % are not to be expected of the first; it does not claim to cover new seeds.",
        "",
        "![seeds](seeds.png)",
        "",
        *markdown(means.round(2).reset_index()),
        "",
        *markdown(neurons.round(2)),
        "",
    ]
    (out / "README.md").write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("run", "report"))
    parser.add_argument("--store", type=Path, default=Path("covalign-runs"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.what == "run":
        run(given.store, given.seeds, given.workers, given.out)
    report(given.out)


if __name__ == "__main__":
    main()

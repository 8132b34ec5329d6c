"""Figure 2 of Chowers & Weiss (2023): how much is lost when the first layer stays random?"""

import math
from dataclasses import asdict, replace

import matplotlib
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from covalign.figures.style import journal, series
from covalign.papers.bench import Bench
from covalign.papers.encodings.population import accuracies
from covalign.papers.exhibit import Claim, Exhibit, Measurements, Training, holds
from covalign.papers.first_layer import population
from covalign.papers.first_layer.panels import legend_below
from covalign.papers.first_layer.population import CHOICES
from covalign.papers.label import Label
from covalign.papers.scales.scale import Architecture, Scale

FROZEN, LEARNED = "frozen", "learned"
VANISHED = 0.03
"""Our bound on the accuracy that a frozen first layer costs the deepest network."""
SCATTER = 0.02
"""Difference of two losses of accuracy that the seeds of single networks can make (our choice)."""
LATE = 0.75
"""Accuracies are means over the epochs beyond this share of the training: at a constant rate they scatter."""


def trainings(scale: Scale) -> dict[Label, Training]:
    """Return a network of every depth with its first layer frozen, and with it learned."""
    recipe, needed = scale.recipes["depths"], {}
    for (depth, kind), label in networks(scale).items():
        spec = replace(recipe, architecture=depth, seed=(22 if kind == FROZEN else 32) + label.number)
        spec = replace(spec, frozen=int(kind == FROZEN))
        needed[label] = Training("depths", label.data, spec)
        if kind == LEARNED and depth == scale.recipes["first layer"].architecture:
            needed[label] = next(iter(population.true_trainings(scale).values()))
    return needed


def networks(scale: Scale) -> dict[tuple[Architecture, str], Label]:
    """Return the label of every network by its architecture and by what becomes of its first layer."""
    data, kinds = next(iter(scale.first_layers)), (FROZEN, LEARNED)
    return {
        (depth, kind): Label(data, kind, i, f"{depth}, {{kind}}")
        for i, depth in enumerate(scale.depths)
        for kind in kinds
    }


def measure(bench: Bench) -> Measurements:
    """Take the courses of training, as far as the shortest of all."""
    rows = []
    for (depth, kind), label in networks(bench.scale).items():
        rows += [
            {"network": str(label), "depth": depth, "first_layer": kind, **asdict(row)}
            for row in bench.runs[label].history
        ]
    table = pd.DataFrame(rows)
    shortest = table.groupby("network")["epoch"].max().min()
    return Measurements({"history": table[table["epoch"] <= shortest], "networks": accuracies(bench)})


def draw(measured: Measurements) -> dict[str, Figure]:
    """Draw training loss and test accuracy against epoch; the same colour for a depth, dashed where frozen."""
    table = measured.tables["history"]
    with matplotlib.rc_context(journal(columns=2.0, ratio=0.4)):
        figure = Figure(layout="constrained")
        loss, accuracy = figure.subplots(1, 2)
        for index, depth in enumerate(dict.fromkeys(table["depth"])):
            for kind, line in ((LEARNED, "-"), (FROZEN, "--")):
                rows = table[(table["depth"] == depth) & (table["first_layer"] == kind)]
                style = {**series(index), "linestyle": line, "label": f"{depth}, {kind}"}
                loss.plot(rows["epoch"], rows["train_loss"], **style)
                tested = rows[rows["test_accuracy"].notna()]
                accuracy.plot(tested["epoch"], tested["test_accuracy"], **style)
        loss.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
        accuracy.set(xlabel="epoch", ylabel="test accuracy")
        for ax in (loss, accuracy):
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_below(figure, accuracy, 6)
        return {"first-layer-fig2": figure}


def gaps(table: pd.DataFrame) -> pd.DataFrame:
    """Return test accuracies late in training, a row per depth in the order of the table: learned, frozen, gap."""
    late = table[table["epoch"] > LATE * table["epoch"].max()]
    found = late.pivot_table("test_accuracy", "depth", "first_layer", sort=False)
    return found.assign(gap=found[LEARNED] - found[FROZEN])


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 2."""
    found = gaps(measured.tables["history"])
    listed = "; ".join(f"{depth} {row.learned:.3f} and {row.frozen:.3f}" for depth, row in found.iterrows())
    why = f"mean test accuracy over the last quarter of the epochs, learned and frozen: {listed}; one network each"
    deepest, shallowest = float(found["gap"].iloc[-1]), float(found["gap"].iloc[0])
    shrinks = shallowest - deepest if len(found) > 1 else math.nan
    return [
        Claim(
            "A deep network with a random first layer is as good as one that learned it.",
            "about equal loss and accuracy (figure 2, no numbers)",
            deepest,
            None,
            holds(bool(deepest <= VANISHED)),
            f"accuracy lost in {found.index[-1]} against our bound {VANISHED}; {why}",
        ),
        Claim(
            "What a random first layer costs shrinks with depth.",
            "the gap vanishes with depth (figures 2 and 20)",
            shrinks,
            None,
            holds(shrinks > 0) if abs(shrinks) > SCATTER else "not testable",
            f"accuracy lost in {found.index[0]} less that in {found.index[-1]}, not testable within {SCATTER}, which "
            f"seeds alone can make; {why}",
        ),
    ]


EXHIBIT = Exhibit(
    "first-layer-fig2",
    "frozen random and learned first layers, at several depths",
    "Chowers & Weiss (2023), figure 2",
    trainings,
    measure,
    draw,
    claims,
    CHOICES,
)

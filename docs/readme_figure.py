"""Draw the README's figure from what `covalign demo` wrote: python docs/readme_figure.py FOLDER."""

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from covalign import load_comparison
from covalign.figures.saving import save_figure
from covalign.figures.style import GREY, PALETTE, journal

HERE = Path(__file__).parent
comparison = load_comparison(sys.argv[1] if len(sys.argv) > 1 else "covalign-demo")
table, conditions = comparison.table, comparison.conditions
same = table["a"].map(conditions) == table["b"].map(conditions)
groups = [("two seeds of one set of photographs", same, PALETTE[0]), ("different sets", ~same, PALETTE[1])]
with mpl.rc_context(journal(columns=2.0) | {"savefig.dpi": 200}):
    figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for level, name in ((0.0, "unrelated"), (1.0, "the same")):
        ax.axhline(level, color=GREY, linewidth=0.6)
        ax.text(8.55, level, name, va="center", fontsize="x-small", color=GREY)
    for place, (label, which, color) in enumerate(groups):
        for index, (_, rows) in enumerate(table[which].groupby(["a", "b"], sort=False)):
            shift = 0.22 * (place - 0.5) + 0.05 * (index - which.sum() / table["depth"].nunique() / 2)
            error = [rows["debiased"] - rows["debiased_low"], rows["debiased_high"] - rows["debiased"]]
            ax.errorbar(
                rows["depth"] + shift, rows["debiased"], error, fmt="o", markersize=3, color=color,
                elinewidth=0.7, alpha=0.85, label=label if index == 0 else None,
            )  # fmt: skip
    shuffled = table.groupby("depth")["debiased_shuffled"]
    ax.plot(
        *(shuffled.mean().dropna().index, shuffled.mean().dropna()), "-", color=GREY,
        label="aligned on images in shuffled order (mean)",
    )  # fmt: skip
    ax.set(
        xlabel="layer",
        ylabel="agreement R",
        xticks=sorted(set(table["depth"])),
        ylim=(-0.3, 1.7),
        xlim=(0.5, 8.5),
    )
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save_figure(figure, HERE / "images" / "demo", {"table": "table of `covalign demo`"})

"""Draw the README's figure from a table of `covalign compare`: python docs/readme_figure.py [TABLE]."""

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd

from covalign.figures.saving import save_figure
from covalign.figures.style import GREY, PALETTE, journal
from covalign.studies.comparison.orders import mean_of_orders

HERE = Path(__file__).parent
path = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "results" / "two-seeds" / "table.csv"
table = pd.read_csv(path)
with mpl.rc_context(journal(columns=2.0) | {"savefig.dpi": 200}):
    figure, ax = plt.subplots(figsize=(6.4, 3.0), layout="constrained")
    ax.axhline(0, color=GREY, linewidth=0.6)
    ax.axhline(1, color=GREY, linewidth=0.6)
    given = table[table["calibrated"].notna()]
    error = [given["calibrated"] - given["low"], given["high"] - given["calibrated"]]
    ax.errorbar(
        given["depth"] + 0.06,
        given["calibrated"],
        error,
        fmt="s",
        color=PALETTE[1],
        capsize=2,
        label="calibrated, 95 %",
    )
    ax.plot(
        table["depth"], mean_of_orders(table), "o-", color=PALETTE[0], label="published S (eq. 6), aligned"
    )
    ax.plot(table["depth"], table["shuffled"], "^:", color=PALETTE[2], label="aligned on shuffled images")
    ax.plot(table["depth"], table["unaligned"], "v--", color=GREY, label="not aligned")
    for row in table[~table["bulk_ok"]].itertuples():
        ax.plot(
            row.depth,
            (row.similarity + row.similarity_reversed) / 2,
            "o",
            color="white",
            markersize=2.2,
            zorder=5,
        )
    ax.set(xlabel="layer", ylabel="similarity (0 chance, 1 ceiling)", xticks=table["depth"], ylim=(-0.3, 1.5))
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    save_figure(figure, HERE / "images" / "two-seeds", {"table": path.name})

"""What do spatial patterns show, in plain words?"""

import pandas as pd

from covalign.report.words import count, number

SHARED = ((0.8, "Largely"), (0.6, "For the most part"), (0.4, "In part"))
"""Words for the place of a shared part between chance (0) and all (1); our choice."""


def answers(table: pd.DataFrame, layers: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Return what a reader wants to know first, with the answer in one sentence.

    Args:
        table: as in `SpatialSummary.table`.
        layers: as in `SpatialSummary.layers`.
    """
    asked = "Do all layers use the same spatial patterns?", "Over how many layers, and beside what?"
    beyond = table[table["beyond_first"].astype(bool)] if len(table) else table
    looked = count(len(layers), "layer")
    if beyond.empty:
        nothing = "Nothing to compare: no two layers beyond the first have kernels of equal size."
        return (asked[0], nothing), (asked[1], f"{looked} with kernels larger than 1x1 were looked at.")
    place = float(((beyond["overlap"] - beyond["chance"]) / (1 - beyond["chance"])).mean())
    word = next((word for bound, word in SHARED if place >= bound), "Hardly")
    few, many = int(beyond["rank"].min()), int(beyond["rank"].max())
    ranks = f"{few}" if few == many else f"{few} to {many}"
    first = (
        f"{word}: the {ranks} strongest patterns of two layers beyond the first coincide to "
        f"{beyond['overlap'].mean():.0%}, where unrelated ones would by {beyond['chance'].mean():.0%}."
    )
    second = (
        f"{looked}, {count(len(beyond[['a', 'layer_a', 'b', 'layer_b']].drop_duplicates()), 'pair')} of them "
        f"beyond the first; the least alike pair still shares {beyond['overlap'].min():.0%}. First layers "
        "see colours and are shown apart."
    )
    return (asked[0], first), (asked[1], second)


def findings(table: pd.DataFrame) -> tuple[str, ...]:
    """Return what the pairs show, in plain words: one sentence for each kernel size and rank.

    Args:
        table: a row per pair of layers and rank, as in `SpatialSummary.table`.
    """
    beyond = table[table["beyond_first"].astype(bool)] if len(table) else table
    if beyond.empty:
        return ("There are no two layers beyond the first with kernels of equal size: nothing to compare.",)
    sentences = [
        f"For {kernel} kernels, the leading {rank}-dimensional subspaces of {count(len(rows), 'pair')} of layers "
        f"share {number(rows['overlap'].mean())} on average and {number(rows['overlap'].min())} at least, where "
        f"unrelated ones would share {number(rows['chance'].iloc[0])}."
        for (kernel, rank), rows in beyond.groupby(["kernel", "rank"], sort=False)
    ]
    across = beyond[beyond["a"] != beyond["b"]]
    within = beyond[beyond["a"] == beyond["b"]]
    if len(across) and len(within):
        sentences.append(
            f"Layers of different networks share {number(across['overlap'].mean())}, layers of the same network "
            f"{number(within['overlap'].mean())}, over all ranks."
        )
    return tuple(sentences)

"""What do spatial patterns show, in plain words?"""

import pandas as pd

from covalign.report.words import count, number


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

"""What does accuracy at every rank show, in plain words?"""

import pandas as pd

ENOUGH = 0.95
"""Share of the untruncated accuracy that counts as nearly all (our choice)."""


def findings(table: pd.DataFrame) -> tuple[str, ...]:
    """Say how many directions nearly all accuracy needs, for every layer and basis.

    Args:
        table: a row per layer, basis and rank, as in `Truncation.table`.
    """
    groups = table.groupby(["layer", "basis"], sort=False)
    return tuple(needed(str(layer), str(basis), rows) for (layer, basis), rows in groups)


def needed(layer: str, basis: str, rows: pd.DataFrame) -> str:
    """Say the lowest measured rank from which on accuracy is nearly whole."""
    whole, dimension = float(rows["untruncated"].iloc[0]), int(rows["d"].iloc[0])
    enough = rows[rows["accuracy"] >= ENOUGH * whole]
    if enough.empty:
        best = rows.loc[rows["accuracy"].idxmax()]
        return (
            f"In the basis of the {basis}, {layer} reaches {ENOUGH:.0%} of the untruncated accuracy ({whole:.1%}) at "
            f"none of the measured ranks; most at rank {best['rank']}: {best['accuracy']:.1%}."
        )
    first = enough.loc[enough["rank"].idxmin()]
    return (
        f"In the basis of the {basis}, {layer} needs {first['rank']} of {dimension} directions, of those measured, "
        f"for {ENOUGH:.0%} of the untruncated accuracy ({whole:.1%}): it then has {first['accuracy']:.1%}."
    )

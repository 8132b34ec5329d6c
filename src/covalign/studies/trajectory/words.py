"""What does the course of a training show, in plain words?"""

import pandas as pd

from covalign.report.words import count, number
from covalign.studies.comparison.orders import mean_of_orders


def findings(table: pd.DataFrame) -> tuple[str, ...]:
    """Return what the checkpoints show, in plain words.

    Args:
        table: a row per epoch, reference and layer, as in `Trajectory.table`.
    """
    epochs = sorted(set(table["epoch"]))
    courses = [course(str(name), rows) for name, rows in table.groupby("reference", sort=False)]
    opening = (
        f"{count(table['layer'].nunique(), 'layer')} of {table['network'].iloc[0]} were looked at after "
        f"{count(len(epochs), 'epoch')}: {', '.join(map(str, epochs))}."
    )
    return tuple(sentence for sentence in (opening, *courses, distance(table)) if sentence)


def course(reference: str, rows: pd.DataFrame) -> str:
    """Say how the mean similarity with one reference goes from the first epoch to the last."""
    known = rows.assign(value=mean_of_orders(rows)).dropna(subset="value")
    if known.empty:
        return ""
    means = known.groupby("epoch")["value"].mean()
    return (
        f"Against {reference}, the mean similarity of layers goes from {number(means.iloc[0])} after epoch "
        f"{means.index[0]} to {number(means.iloc[-1])} after epoch {means.index[-1]}."
    )


def distance(table: pd.DataFrame) -> str:
    """Say which layers went farthest from their initial weights."""
    last = table[table["epoch"] == table["epoch"].max()].dropna(subset="relative_change")
    if last.empty:
        return ""
    far, near = (last.loc[last["relative_change"].agg(pick)] for pick in ("idxmax", "idxmin"))
    return (
        f"In the end the weights of {far['layer']} had moved most ({far['relative_change']:.1%} of their initial "
        f"size), those of {near['layer']} least ({near['relative_change']:.1%})."
    )

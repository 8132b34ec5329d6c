"""What does a change between two relatives show, in plain words?"""

import pandas as pd

from covalign.report.words import count, number


def findings(table: pd.DataFrame) -> tuple[str, ...]:
    """Return what a difference shows, in plain words.

    Args:
        table: a row a layer, as in `Difference.table`.
    """
    sentences = (
        extent(table),
        sort_of_change(table),
        concentration(table),
        learned(table),
        repetition(table),
        limits(table),
    )
    return tuple(sentence for sentence in sentences if sentence)


def answers(table: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Return what a reader wants to know first, with the answer in a sentence or two.

    Args:
        table: a row a layer, as in `Difference.table`.
    """
    compared = int(table["relative_change"].notna().sum()) if "relative_change" in table else 0
    sort = sort_of_change(table) or "There is no change whose sort could be told."
    covered = f"Compared {compared:,} of {count(len(table), 'layer')}. {sort}"
    return ("What did this training change?", extent(table)), (
        "What sort of change, over how many layers?",
        covered,
    )


def extent(table: pd.DataFrame) -> str:
    """Say how large the change is and where it is largest."""
    if "relative_change" not in table or table["relative_change"].isna().all():
        return "No layer of the two networks could be compared; the reasons are in the table."
    changed = table[table["relative_change"] > 0]
    if changed.empty:
        return "Nothing changed: every layer that both networks have is equal, to the last bit."
    largest = changed.loc[changed["relative_change"].idxmax()]
    unchanged = int((table["relative_change"] == 0).sum())
    still = f" {count(unchanged, 'layer')} did not change at all." if unchanged else ""
    return (
        f"Layers changed by {changed['relative_change'].median():.1%} of their size in the median; most in "
        f"{largest['layer']} ({largest['relative_change']:.1%}).{still}"
    )


def sort_of_change(table: pd.DataFrame) -> str:
    """Say whether neurons turned or grew."""
    if "rotation" not in table or not table["relative_change"].gt(0).any():
        return ""
    whole = table["relative_change"].pow(2).sum()
    share, random = (table[name].pow(2).sum() / whole for name in ("rotation", "rotation_reference"))
    return (
        f"{share:.0%} of the squared change turns neurons into new directions ({random:.0%} if the update were "
        "random); the rest makes them longer or shorter."
    )


def concentration(table: pd.DataFrame) -> str:
    """Say in how many directions the update lies."""
    if "update_effective_rank" not in table or not table["relative_change"].gt(0).any():
        return ""
    changed = table[table["relative_change"] > 0]
    rank, noise = (changed[f"update_effective_rank{end}"].median() for end in ("", "_reference"))
    return (
        f"The median effective rank of the update is {rank:.1f}, beside {noise:.1f} for noise of that size."
    )


def learned(table: pd.DataFrame) -> str:
    """Say whether the update stays within what the base had learned."""
    if "inside" not in table or table["inside"].isna().all():
        return ""
    own = table[table["inside"].notna()]
    above, below = own["inside"] > own["inside_high"], own["inside"] < own["inside_low"]
    return (
        f"The update stays within what the base had learned more than chance would have it in {above.sum()} of "
        f"{count(len(own), 'layer')}, and less in {below.sum()}: on average {number(own['inside'].mean())} of its "
        f"squared size, beside {number(own['inside_reference'].mean())} when turned at random."
    )


def repetition(table: pd.DataFrame) -> str:
    """Say whether another seed makes the same update."""
    if "update_cosine" not in table or table["update_cosine"].isna().all():
        return ""
    cosine = table["update_cosine"].mean()
    return (
        f"Another seed makes an update whose cosine with this one averages {number(cosine)}: the part that repeats "
        "belongs to the task, the rest to the seed."
    )


def limits(table: pd.DataFrame) -> str:
    """Count what restricts the reading."""
    if "reason" not in table:
        return ""
    stated = table["reason"].fillna("")
    return " ".join(
        f"{count(int((stated == reason).sum()), 'layer')}: {reason}."
        for reason in dict.fromkeys(stated)
        if reason and reason != "unchanged"
    )

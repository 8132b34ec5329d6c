"""What does an atlas say, in plain words?"""

from collections.abc import Mapping, Sequence

import pandas as pd

from covalign.report.words import count, number
from covalign.studies.atlas.classes import FEW, TESTED
from covalign.studies.atlas.columns import LEVEL
from covalign.studies.comparison.tables import spans


def answers(axes: pd.DataFrame, values: pd.DataFrame, networks: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Return the two questions of the page, each with its answer.

    Args:
        axes, values, networks: as in `Atlas`.
    """
    said = [
        difference(rows, values[values["axis"] == axis]) for axis, rows in axes.groupby("axis", sort=False)
    ]
    return (
        ("What makes a difference to what a layer learns?", " ".join(said)),
        ("How sure is that?", assurance(axes, networks)),
    )


def difference(rows: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """Say at which layers an axis makes a difference, and how large it is."""
    name = plural(str(rows["axis"].iloc[0]))
    tested = rows[rows["p_value"].notna()]
    if tested.empty:
        return f"{name.capitalize()}: not tested, {FEW}."
    found = tested[tested["corrected"] <= LEVEL]
    if found.empty:
        return f"{name.capitalize()}: seeds tell no two apart at any of {count(len(tested), 'layer')}."
    known = pairs[pairs["depth"].isin(found["depth"]) & pairs["q"].notna()]
    means = known.groupby("depth")["q"].mean()
    at = f"{layers_word(len(found))} {spans(found['depth'].tolist())}"
    where = (
        f"at every layer that was tested ({at})"
        if len(found) == len(tested)
        else f"at {at} of {count(len(tested), 'layer')} that were tested"
    )
    least, most = means.idxmin(), means.idxmax()
    size = (
        f"; on average they share {number(means[most])} of what seeds share at layer {most}, "
        f"{number(means[least])} at layer {least}"
        if len(means) > 1
        else f"; they share {number(float(means.iloc[0]))} of what seeds share"
    )
    return f"{name.capitalize()} make a difference {where}{size}."


def layers_word(amount: int) -> str:
    """Return layer or layers."""
    return "layer" if amount == 1 else "layers"


def plural(axis: str) -> str:
    """Return the values of an axis as a text calls them."""
    return {
        "images": "data sets",
        "data": "data sets",
        "labels": "kinds of labels",
        "condition": "conditions",
    }.get(axis, f"values of {axis}")


def assurance(axes: pd.DataFrame, networks: pd.DataFrame) -> str:
    """Say how many networks were exchanged, and what that can show."""
    seeds = networks.groupby("condition", sort=False).size()
    amount = f"{seeds.min()}" if seeds.min() == seeds.max() else f"{seeds.min()} to {seeds.max()}"
    there = f"{count(len(networks), 'network')}, {amount} of each of {count(len(seeds), 'condition')}"
    tested = axes[axes["p_value"].notna()]
    if tested.empty:
        return f"{there}: fewer than {TESTED} of a condition are drawn, not tested."
    least, shown = tested["least"].max(), tested["detectable"].max()
    reach = f"; a separation of {number(shown)} in R would have shown everywhere" if shown == shown else ""
    return (
        f"{there}. Networks are exchanged between conditions, pairs never; p is corrected over layers, and no p "
        f"could be below {least:.1g}{reach}."
    )


def findings(
    table: pd.DataFrame, classes: pd.DataFrame, containment: pd.DataFrame, missing: Sequence[str]
) -> tuple[str, ...]:
    """Return what else was found, a sentence each.

    Args:
        table, classes, containment, missing: as in `Atlas`.
    """
    said = (nearest_pair(table), *grouped(classes), contained(containment), absent(missing))
    return tuple(sentence for sentence in said if sentence)


def nearest_pair(table: pd.DataFrame) -> str:
    """Name the conditions that share most and least beyond the first layer, on average over layers."""
    deep = table[(table["depth"] > 1) & table["q"].notna()]
    means = deep.groupby(["condition_a", "condition_b"])["q"].mean()
    if len(means) < 2:
        return ""
    (a, b), (c, d) = means.idxmax(), means.idxmin()
    return (
        f"Beyond the first layer {a} and {b} share most (Q {number(means.max())}, mean over layers), {c} and {d} "
        f"least (Q {number(means.min())})."
    )


def grouped(classes: pd.DataFrame) -> list[str]:
    """Say how many classes an axis has at each layer."""
    said = []
    for axis, rows in classes[classes["label"] != ""].groupby("axis", sort=False):
        amounts = rows.groupby("depth")["label"].nunique()
        tested = rows["value"].nunique()
        by_amount = [
            f"{count(amount, 'class', 'classes')} at {layers_word(len(depths))} {spans(list(depths))}"
            for amount, depths in amounts.groupby(amounts).groups.items()
        ]
        said.append(f"Seeds sort {tested} {plural(str(axis))} into {', '.join(by_amount)}.")
    return said


def contained(containment: pd.DataFrame) -> str:
    """Name the clearest case of one condition containing another, of those whose interval leaves out 0."""
    sure = containment[(containment["low"] > 0) | (containment["high"] < 0)]
    deep = sure[sure["depth"] > 1]
    tested = int(containment["low"].notna().sum())
    if not tested:
        return ""
    if deep.empty:
        return (
            "No condition contains another beyond the first layer: every interval of the asymmetry holds 0."
        )
    row = deep.loc[deep["asymmetry"].abs().idxmax()]
    inner, outer = (
        (row["condition_a"], row["condition_b"])
        if row["asymmetry"] > 0
        else (row["condition_b"], row["condition_a"])
    )
    forth, back = (row["a_in_b"], row["b_in_a"]) if row["asymmetry"] > 0 else (row["b_in_a"], row["a_in_b"])
    return (
        f"Containment is most lopsided at layer {row['depth']}: {outer} holds {number(forth)} of what {inner} "
        f"learned, which holds {number(back)} of it in turn; intervals leave out 0 in {len(sure)} of {tested} "
        "cases (not corrected for their number)."
    )


def absent(missing: Sequence[str]) -> str:
    """Say what of the population is not there."""
    return f"{count(len(missing), 'network')} of the population were not there." if missing else ""


def asked(places: Mapping[str, Mapping[str, str]]) -> str:
    """Return the conditions in a line."""
    names = list(places)
    return " · ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")

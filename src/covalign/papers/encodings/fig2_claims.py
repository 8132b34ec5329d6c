"""What figure 2 of Guth & Menard (2024) says, judged by its maps and by R."""

import math

import pandas as pd

from covalign.papers.exhibit import Claim, Measurements, holds

MAPPED = (1, 2)
TRUNCATED = (2, 4, 6)
"""Layers whose rank is cut (our choice)."""

ABOVE = 1.5
"""From how many times the chance level eigenvectors correspond."""

CONTROLS = {"debiased_shuffled": "aligned on shuffled images", "debiased_unaligned": "not aligned"}
"""What else could make two seeds agree, by the columns of `Comparison.table`."""


def claims(measured: Measurements) -> list[Claim]:
    """Judge what the paper says about figure 2."""
    layers = measured.tables["layers"].set_index("depth")
    return [
        _random_without(layers),
        _alike_with(layers),
        *_accuracy_within(layers, measured.tables["truncation"]),
        _above_controls(measured.tables["agreement"]),
        _reproducible(layers, measured.tables["agreement"]),
    ]


def _random_without(layers: pd.DataFrame) -> Claim:
    ratio = float(layers.loc[2, "unaligned"] / layers.loc[2, "chance"])
    return Claim(
        "Without alignment, second-layer eigenvectors of two seeds are unrelated.",
        f"a map of noise (figure 2); our bound: less than {ABOVE} times chance",
        ratio,
        None,
        holds(ratio < ABOVE),
        f"mean diagonal |cosine| up to the effective rank ({int(layers.loc[2, 'within'])} ranks), in units of the "
        "chance sqrt(2/(pi d)); one pair of networks",
    )


def _alike_with(layers: pd.DataFrame) -> Claim:
    first, second = (float(layers.loc[depth, "aligned"] / layers.loc[depth, "chance"]) for depth in MAPPED)
    return Claim(
        "With alignment they correspond, as those of the first layer do without any.",
        f"dark diagonals (figure 2); our bound: more than {ABOVE} times chance at both layers",
        second,
        None,
        holds(min(first, second) > ABOVE),
        f"the same for aligned eigenvectors; layer 1, which needs no alignment: {first:.1f}; one pair of networks",
    )


def _accuracy_within(layers: pd.DataFrame, truncation: pd.DataFrame) -> list[Claim]:
    found = []
    for depth in TRUNCATED:
        rank = int(layers.loc[depth, "detected"])
        rows = truncation[(truncation["depth"] == depth) & (truncation["rank"] == rank)]
        at = {row.basis: row.accuracy / row.untruncated for row in rows.itertuples()}
        beyond = " or more" if rank == layers.loc[depth, "shown"] else ""
        full = rows["untruncated"].iloc[0]
        found.append(
            Claim(
                f"Nearly all accuracy lies within the ranks where correlation is detected, layer {depth}.",
                "figure 2, bottom right; our bound: 0.9 of the accuracy, and more than random directions keep",
                at["weights"],
                None,
                holds(at["weights"] >= 0.9 and at["weights"] > at["random"]),
                f"share of the test accuracy {full:.2f} with {rank} of {int(layers.loc[depth, 'd'])} directions, as "
                f"two seeds correlate up to rank {rank}{beyond}; as many random directions keep {at['random']:.2f}, "
                f"input components {at['activations']:.2f}",
            )
        )
    return found


def _above_controls(agreement: pd.DataFrame) -> Claim:
    """R of two seeds exceeds each control at layers 2-6."""
    rows = agreement[agreement["depth"].between(2, 6) & agreement["debiased"].notna()]
    strongest = rows[list(CONTROLS)].max(axis=1)
    margins = (rows["debiased"] - strongest).groupby(rows["depth"]).mean()
    listed = ", ".join(f"{depth}: {value:.2f}" for depth, value in margins.items())
    return Claim(
        "Two seeds agree in more than any control explains.",
        "R above the strongest of its controls, mean over pairs, at every layer 2-6 (the paper has no such number)",
        float(margins.min()) if len(margins) else math.nan,
        None,
        holds(len(margins) > 0 and bool((margins > 0).all())),
        f"smallest margin; by layer {listed}; {len(rows)} pairs and layers with a value; controls: not aligned, "
        "aligned on shuffled images",
    )


def _reproducible(layers: pd.DataFrame, agreement: pd.DataFrame) -> Claim:
    """As many directions are learned reproducibly as eigenvectors of two seeds correlate."""
    means = agreement.groupby("depth")[["reproducible_a", "reproducible_b"]].mean().mean(axis=1)
    depths = [depth for depth in TRUNCATED if depth in means.index and not math.isnan(means[depth])]
    ratios = {depth: means[depth] / max(1, layers.loc[depth, "detected"]) for depth in depths}
    listed = ", ".join(
        f"{depth}: at least {means[depth]:.1f} against {int(layers.loc[depth, 'detected'])}"
        for depth in depths
    )
    return Claim(
        "The ranks where two seeds correlate are those that one network learns reproducibly.",
        "our bound: between a half and twice as many, layers 2, 4 and 6 (the paper has no such number)",
        min(ratios.values(), default=math.nan),
        None,
        holds(bool(ratios) and all(0.5 <= ratio <= 2 for ratio in ratios.values())),
        "smallest ratio of the directions that halves of a network's neurons agree on to the ranks where two seeds "
        f"correlate; layer {listed}",
    )

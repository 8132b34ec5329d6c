import math

import pandas as pd
import pytest
import torch

from covalign.papers.encodings import population
from covalign.papers.encodings.fig3 import claims as claims_of_maps
from covalign.papers.encodings.fig3 import draw as draw_maps
from covalign.papers.encodings.fig3 import drawn
from covalign.papers.encodings.fig4 import draw
from covalign.papers.encodings.fig4_claims import claims
from covalign.papers.exhibit import Measurements
from covalign.papers.reproduction import packed, unpacked
from covalign.papers.scales.laptop import LAPTOP

NETWORKS = pd.DataFrame(
    [
        {"network": "true labels 0", "labels": "true", "train_accuracy": 0.99, "test_accuracy": 0.5},
        {"network": "random labels 0", "labels": "uniform", "train_accuracy": 0.97, "test_accuracy": 0.1},
    ]
)


def similarity(kind: str, depth: int) -> float:
    """Return what the paper would have: seeds high, data sets falling with depth, labels apart."""
    return {
        population.SAME: 0.9 - 0.02 * depth,
        population.ACROSS: 0.8 - 0.08 * depth,
        population.TRUE: 0.85,
        population.TRUE_RANDOM: 0.2,
        population.RANDOM: 0.6,
    }[kind]


def table(change=lambda row: row) -> pd.DataFrame:
    rows = []
    for pair in population.pairs(LAPTOP):
        for depth in range(1, 9):
            value = similarity(pair.kind, depth) + 0.001 * (len(rows) % 3)
            row = {
                "a": str(pair.a),
                "b": str(pair.b),
                "kind": pair.kind,
                "group": pair.group,
                "data_a": pair.a.data,
                "data_b": pair.b.data,
                "depth": depth,
                "similarity": value,
                "similarity_reversed": value,
                "debiased": value,
                "debiased_low": value - 0.1,
                "debiased_high": value + 0.1,
                "debiased_z": 9.0,
                "debiased_p": 0.001,
                "debiased_unaligned": 0.01,
                "debiased_shuffled": 0.3,
                "debiased_centred": 0.2,
                "debiased_slots": 0.1,
                "debiased_without_top": value,
                "debiased_without_5": value,
                "cosine": value,
                "unaligned": 0.02,
                "shuffled": 0.01,
                "slots": 0.1,
                "turned": 0.0,
                "alignment_correlation": 0.8,
            }
            rows.append(change(row))
    return pd.DataFrame(rows)


def conditions(change=lambda row: row) -> pd.DataFrame:
    """Return Q as the paper would have it: below 1 and above 0 for data sets, lower for labels."""
    rows = []
    groups = {pair.group: pair.kind for pair in population.pairs(LAPTOP)}
    for group, kind in groups.items():
        if kind in (population.ACROSS, population.TRUE_RANDOM):
            for depth in range(1, 9):
                row = {"kind": kind, "group": group, "depth": depth, "q": similarity(kind, depth)}
                rows.append(change(row | {"low": row["q"] - 0.1, "high": row["q"] + 0.1}))
    return pd.DataFrame(rows)


def measured(change=lambda row: row, of_conditions=lambda row: row) -> Measurements:
    found = table(change)
    summary = population.summarized(found)
    tables = {"pairs": found, "summary": summary, "networks": NETWORKS}
    return Measurements({**tables, "conditions": conditions(of_conditions)})


def test_a_population_like_the_papers_satisfies_every_claim():
    assert {claim.verdict for claim in claims(measured())} == {"holds"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sentence", "kind", "change"),
    [
        (
            "most similar pairs, by S",
            population.ACROSS,
            {"similarity": 0.95, "similarity_reversed": 0.95},
        ),
        ("most similar pairs, by R", population.ACROSS, {"debiased": 0.95}),
        ("share part of their encoding", population.ACROSS, {"debiased_p": 0.4}),
        ("share part of their encoding", population.ACROSS, {"debiased_z": -9.0}),
        ("with depth, by S", population.ACROSS, {"similarity": 0.3, "similarity_reversed": 0.3}),
        ("with depth, by R", population.ACROSS, {"debiased": 0.3}),
        ("random labels, by S", population.TRUE_RANDOM, {"similarity": 0.7, "similarity_reversed": 0.7}),
        ("random labels, by R", population.TRUE_RANDOM, {"debiased": 0.7}),
        ("two seeds share, by S", population.SAME, {"unaligned": 0.3}),
        ("two seeds share, by R", population.SAME, {"debiased_unaligned": 0.3}),
        ("all share, by S", population.SAME, {"slots": 0.6}),
        ("all share, by R", population.SAME, {"debiased_slots": 0.6}),
    ],
)
def test_each_claim_fails_where_its_numbers_do(sentence, kind, change):
    def changed(row):
        return {**row, **change} if row["kind"] == kind else row

    failed = [claim for claim in claims(measured(changed)) if claim.verdict != "holds"]
    assert sentence in " ".join(claim.sentence for claim in failed)


@pytest.mark.parametrize(
    ("sentence", "kind", "change"),
    [
        ("Data sets differ in more", population.ACROSS, {"high": 1.1}),
        ("Whatever the seed", population.ACROSS, {"low": -0.1}),
        ("True and random labels differ", population.TRUE_RANDOM, {"high": 1.1}),
    ],
)
def test_each_claim_about_conditions_fails_where_its_interval_does(sentence, kind, change):
    def changed(row):
        return {**row, **change} if row["kind"] == kind and row["depth"] == 3 else row

    failed = [claim for claim in claims(measured(of_conditions=changed)) if claim.verdict != "holds"]
    assert [claim.sentence.startswith(sentence) for claim in failed] == [True]


def test_what_has_no_interval_is_counted_not_judged():
    def changed(row):
        nothing = {"q": math.nan, "low": math.nan, "high": math.nan}
        return {**row, **nothing} if row["depth"] == 3 else row

    found = [claim for claim in claims(measured(of_conditions=changed)) if "Q " in claim.expected]
    assert {claim.verdict for claim in found} == {"holds"}
    assert all("more have no interval" in claim.why for claim in found)


@pytest.mark.slow
def test_figure_4_redraws_from_its_files(tmp_path):
    again = unpacked(tmp_path, packed(measured()))
    assert set(draw(again)) == {"encodings-fig4", "encodings-fig4-controls"}
    assert [claim.verdict for claim in claims(again)] == [claim.verdict for claim in claims(measured())]


def maps(diagonal: float = 0.5) -> Measurements:
    rows, tensors, first = [], {}, drawn(LAPTOP)
    for pair in population.pairs(LAPTOP):
        for depth in (1, 2, 3):
            name = f"{pair.group}|{depth}" if pair in first else ""
            chance = math.sqrt(2 / (math.pi * 320))
            level = 0.2 if pair.kind == population.TRUE_RANDOM else diagonal
            rows.append(
                {
                    "kind": pair.kind,
                    "group": pair.group,
                    "a": str(pair.a),
                    "b": str(pair.b),
                    "depth": depth,
                    "d": 320,
                    "effective_rank_a": 3.0 + depth,
                    "effective_rank_b": 4.0,
                    "diagonal": level + 0.001 * pair.a.number + 0.0005 * pair.b.number,
                    "debiased": level + 0.01 * pair.a.number + 0.005 * pair.b.number,
                    "debiased_low": level - 0.1,
                    "debiased_high": level + 0.2,
                    "chance": chance,
                    "map": name,
                }
            )
            if name:
                tensors[name] = (level * torch.eye(8)).float()
    tables = {"diagonals": pd.DataFrame(rows), "conditions": conditions(), "networks": NETWORKS}
    return Measurements(tables, tensors)


def test_maps_with_dark_diagonals_satisfy_every_claim_and_pale_ones_do_not():
    assert {claim.verdict for claim in claims_of_maps(maps())} == {"holds"}
    pale = claims_of_maps(maps(diagonal=0.04))
    assert [claim.verdict for claim in pale] == ["does not hold"] * 3 + ["holds"] * 2


@pytest.mark.slow
def test_figure_3_redraws_from_its_files(tmp_path):
    figure = draw_maps(unpacked(tmp_path, packed(maps())))["encodings-fig3"]
    shown = [ax for ax in figure.axes if ax.images]
    groups = set(maps().tables["diagonals"]["group"])
    assert len(shown) == 3 * len(groups)


def test_two_conditions_are_read_from_one_block_with_their_own_seeds():
    for block in population.blocks(LAPTOP):
        kinds = {pair.kind for pair in block.pairs}
        assert len(block.data) <= 2
        if len(block.data) == 2:
            assert kinds == {population.ACROSS}
            assert set(block.conditions.values()) == set(block.data)


def test_what_is_withheld_everywhere_is_not_testable():
    withheld = [name for name in population.MEASURES if name.startswith("debiased")]

    def changed(row):
        return row | dict.fromkeys(withheld, math.nan)

    found = {claim.sentence: claim.verdict for claim in claims(measured(changed))}
    of_controls = [
        found[said] for said in found if "two seeds share, by R" in said or "all share, by R" in said
    ]
    assert of_controls == ["not testable", "not testable"]
    assert found["Only alignment reveals what two seeds share, by S (eq. 6)."] == "holds"

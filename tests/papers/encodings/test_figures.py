import math

import pandas as pd
import pytest
import torch

from covalign.papers.encodings import population
from covalign.papers.encodings.fig3 import claims as claims_of_maps
from covalign.papers.encodings.fig3 import draw as draw_maps
from covalign.papers.encodings.fig4 import claims, draw
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
                "calibrated": value,
                "p_value": 0.001,
                "cosine": value,
                "unaligned": 0.02,
                "shuffled": 0.01,
                "slots": 0.1,
                "turned": 0.0,
                "alignment_correlation": 0.8,
            }
            rows.append(change(row))
    return pd.DataFrame(rows)


def measured(change=lambda row: row) -> Measurements:
    found = table(change)
    summary = population.summarized(found)
    return Measurements({"pairs": found, "summary": summary, "networks": NETWORKS})


def test_a_population_like_the_papers_satisfies_every_claim():
    assert {claim.verdict for claim in claims(measured())} == {"holds"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sentence", "kind", "change"),
    [
        ("most similar pairs", population.ACROSS, {"similarity": 0.95, "similarity_reversed": 0.95}),
        ("share part of their encoding", population.ACROSS, {"p_value": 0.4}),
        ("falls continuously", population.ACROSS, {"similarity": 0.3, "similarity_reversed": 0.3}),
        (
            "true and of random labels",
            population.TRUE_RANDOM,
            {"similarity": 0.7, "similarity_reversed": 0.7},
        ),
        ("Only alignment", population.SAME, {"unaligned": 0.3}),
        ("frozen filters", population.SAME, {"slots": 0.6}),
    ],
)
def test_each_claim_fails_where_its_numbers_do(sentence, kind, change):
    def changed(row):
        return {**row, **change} if row["kind"] == kind else row

    failed = [claim for claim in claims(measured(changed)) if claim.verdict != "holds"]
    assert sentence in " ".join(claim.sentence for claim in failed)


@pytest.mark.slow
def test_figure_4_redraws_from_its_files(tmp_path):
    again = unpacked(tmp_path, packed(measured()))
    assert set(draw(again)) == {"encodings-fig4", "encodings-fig4-controls"}
    assert [claim.verdict for claim in claims(again)] == [claim.verdict for claim in claims(measured())]


def maps(diagonal: float = 0.5) -> Measurements:
    rows, tensors = [], {}
    for pair in population.pairs(LAPTOP):
        for depth in (1, 2, 3):
            name = f"{pair.group}|{depth}" if pair.a.number == 0 else ""
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
                    "diagonal": level,
                    "chance": chance,
                    "map": name,
                }
            )
            if name:
                tensors[name] = (level * torch.eye(8)).float()
    return Measurements({"diagonals": pd.DataFrame(rows), "networks": NETWORKS}, tensors)


def test_maps_with_dark_diagonals_satisfy_every_claim_and_pale_ones_do_not():
    assert {claim.verdict for claim in claims_of_maps(maps())} == {"holds"}
    pale = claims_of_maps(maps(diagonal=0.04))
    assert [claim.verdict for claim in pale] == ["does not hold", "does not hold", "does not hold", "holds"]


@pytest.mark.slow
def test_figure_3_redraws_from_its_files(tmp_path):
    figure = draw_maps(unpacked(tmp_path, packed(maps())))["encodings-fig3"]
    drawn = [ax for ax in figure.axes if ax.images]
    groups = set(maps().tables["diagonals"]["group"])
    assert len(drawn) == 3 * len(groups)

import math

import pandas as pd
import pytest
import torch

from covalign.papers.encodings import population
from covalign.papers.encodings.fig2 import BASES, correlated_ranks, draw, pair, trainings
from covalign.papers.encodings.fig2_claims import CONTROLS, TRUNCATED, claims
from covalign.papers.exhibit import Measurements
from covalign.papers.reproduction import packed, unpacked
from covalign.papers.scales.named import SCALES


def random_cosines(dimension: int, ranks: int, seed: int = 0) -> torch.Tensor:
    """Return |cosines| of two sets of independent random directions."""
    generator = torch.Generator().manual_seed(seed)
    one, other = (
        torch.linalg.qr(torch.randn(dimension, ranks, dtype=torch.float64, generator=generator))[0]
        for _ in "ab"
    )
    return (one.T @ other).abs()


def test_random_eigenvectors_correlate_at_hardly_any_rank():
    found = [correlated_ranks(random_cosines(300, 30, seed), 300) for seed in range(20)]
    assert sorted(found)[10] == 0
    assert max(found) <= 5


@pytest.mark.parametrize("shift", [0, 1])
def test_eigenvectors_correlate_up_to_where_they_do_even_if_neighbours_swap(shift):
    cosines = random_cosines(300, 40)
    for rank in range(20):
        cosines[rank, min(19, rank ^ shift)] = 0.6
    assert 20 <= correlated_ranks(cosines, 300) <= 23


def test_eigenvectors_that_correlate_throughout_are_counted_to_the_end_of_the_map():
    assert correlated_ranks(torch.eye(12, dtype=torch.float64), 300) == 12


def measured(
    unaligned: float = 0.05,
    aligned: float = 0.5,
    kept: float = 0.7,
    random: float = 0.2,
    control: float = 0.3,
    reproducible: float = 10.0,
) -> Measurements:
    layers = [
        {
            "depth": depth,
            "d": 160 * depth,
            "effective_rank_a": 6.0,
            "effective_rank_b": 7.5,
            "chance": math.sqrt(2 / (math.pi * 160 * depth)),
            "aligned": aligned,
            "unaligned": unaligned,
            "within": 6,
            "detected": 12,
            "shown": 12 if depth == 6 else 16,
        }
        for depth in (1, 2, 4, 6)
    ]
    cuts = [
        {
            "depth": depth,
            "basis": basis,
            "d": 160 * depth,
            "rank": rank,
            "accuracy": 0.75 if rank > 12 else {"weights": kept, "random": random, "activations": 0.6}[basis],
            "untruncated": 0.75,
        }
        for depth in TRUNCATED
        for basis in BASES
        for rank in (1, 4, 12, 160 * depth)
    ]
    maps = {f"{name}|{depth}": torch.eye(16) * 0.5 for name in ("aligned", "unaligned") for depth in (1, 2)}
    agreement = [
        {
            "a": "cifar10 0",
            "b": f"cifar10 {seed}",
            "depth": depth,
            "debiased": math.nan if (seed, depth) == (1, 7) else 0.6 + 0.01 * seed,
            "debiased_centred": 0.6,
            **dict.fromkeys(CONTROLS, control),
            "reproducible_a": reproducible,
            "reproducible_b": reproducible,
        }
        for seed in (1, 2)
        for depth in range(1, 9)
    ]
    curves = [{"depth": depth, "rank": rank, "shared": 0.9} for depth in TRUNCATED for rank in (1, 2, 4)]
    independence = [{"depth": depth, "independence": 0.7, "pairs": 2} for depth in range(1, 9)]
    tables = {
        "agreement": pd.DataFrame(agreement),
        "shared": pd.DataFrame(curves),
        "independence": pd.DataFrame(independence),
        "layers": pd.DataFrame(layers),
        "truncation": pd.DataFrame(cuts),
        "networks": pd.DataFrame([{"network": "cifar10 0", "test_accuracy": 0.75}]),
    }
    return Measurements(tables, maps)


def test_networks_like_the_papers_satisfy_every_claim():
    assert [claim.verdict for claim in claims(measured())] == ["holds"] * 7


@pytest.mark.parametrize(
    ("change", "sentence", "failing"),
    [
        ({"unaligned": 0.2}, "Without alignment", 1),
        ({"aligned": 0.05}, "With alignment", 1),
        ({"kept": 0.5}, "Nearly all accuracy", 3),
        ({"random": 0.72}, "Nearly all accuracy", 3),
        ({"control": 0.7}, "control", 1),
        ({"reproducible": 5.0}, "learns reproducibly", 1),
        ({"reproducible": 30.0}, "learns reproducibly", 1),
    ],
)
def test_each_claim_fails_where_its_numbers_do(change, sentence, failing):
    failed = [claim for claim in claims(measured(**change)) if claim.verdict == "does not hold"]
    assert len(failed) == failing
    assert all(sentence in claim.sentence for claim in failed)


def test_ranks_beyond_the_map_are_said_to_be_unknown():
    said = [claim.why for claim in claims(measured()) if "accuracy" in claim.sentence]
    assert ["12 or more" in why for why in said] == [False, False, True]


def test_figure_2_redraws_from_its_files(tmp_path):
    again = unpacked(tmp_path, packed(measured()))
    assert [claim.verdict for claim in claims(again)] == ["holds"] * 7
    titles = [ax.get_title() for ax in draw(again)["encodings-fig2"].axes]
    assert titles == [
        "layer 1: no alignment needed",
        "layer 2: not aligned",
        "layer 2: aligned",
        "layer 2",
        "layer 4",
        "layer 6",
        "agreement",
        "which directions",
        "seeds against own neurons",
    ]


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_the_networks_are_seeds_of_figure_4(scale):
    needed, every = trainings(scale), population.trainings(scale)
    assert len({each.spec.seed for each in needed.values()}) == len(needed) >= 2
    assert {pair(scale).a, pair(scale).b} <= set(needed)
    assert all(every[label] == each for label, each in needed.items())
    assert pair(scale) in population.pairs(scale)

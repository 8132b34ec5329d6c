import math

import pytest
import torch

from covalign.errors import InputError
from covalign.networks.architectures.vgg import vgg
from covalign.studies.universal.measure import shortened, universal_encoding
from samples.pictures import corners
from samples.planted import orthonormal
from samples.trainings import run_of


def test_says_of_every_layer_what_members_share(encoding):
    table = encoding.table
    assert list(table["layer"]) == [f"stages.{i}.pointwise" for i in range(8)]
    assert list(table["d"])[:2] == [30, 30]
    assert set(table["reason"]) <= {"too_few_seeds", "no_pairs", "too_little_learned"}
    for layer, row in zip(encoding.layers, encoding.rows, strict=True):
        assert layer.factor.shape == (row.d, row.rank)
        assert layer.cross.shape == (3, 3)
        assert torch.equal(layer.cross.isnan(), torch.eye(3, dtype=torch.bool))
        assert 0 < row.trace_ratio < 1


def test_alone_a_network_is_its_own_barycenter(members):
    found = universal_encoding(members[:1], corners(40, 3, "train"))
    for layer, row in zip(found.layers, found.rows, strict=True):
        weight = members[0].final[f"{layer.name}.weight"].double().flatten(1)
        own = torch.linalg.svdvals(weight).square() * 3 * weight.shape[1] / len(weight)
        kept = torch.linalg.svdvals(layer.factor.double()).square()
        assert torch.allclose(kept, own[: len(kept)], rtol=0.02)
        assert math.isnan(row.score)
        assert row.trace_ratio == pytest.approx(1)


def test_networks_that_share_their_start_are_no_pair(members):
    found = universal_encoding({"a": members[0], "b": members[0]}, corners(40, 3, "train"), by=["x", "y"])
    assert bool(found.layers[1].cross.isnan().all())
    assert found.rows[1].reason == "no_pairs"


def test_the_card_names_data_terms_and_recipe(encoding, members):
    card = encoding.card
    assert card["data"]["corners"]["licence"] == "CC0"
    assert card["data"]["corners"]["fingerprints"] == [members[0].facts.fingerprint]
    assert card["recipe"]["epochs"] == 1
    assert [row.run for row in encoding.members] == [run.key for run in members]


def test_what_is_no_population_is_refused(members):
    images = corners(40, 3, "train")
    with pytest.raises(InputError, match="no stored training"):
        universal_encoding([vgg(width=0.04)], images, by=["x"])
    with pytest.raises(InputError, match="differ in depth, form or kernel size"):
        universal_encoding([members[0], run_of(5, "joint")], images, by=["x", "y"])
    with pytest.raises(InputError, match="at least one training"):
        universal_encoding([], images)


def test_columns_that_are_left_out_keep_their_variance_as_one_number(members):
    factor = orthonormal(12, 5, 0) * torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]).double()
    kept, rest = shortened(factor, 2)
    assert torch.equal(kept, factor[:, :2])
    assert 12 * rest == pytest.approx(9 + 4 + 1)
    whole, nothing = shortened(factor, None)
    assert (whole.shape[1], nothing) == (5, 0.0)
    found = universal_encoding(members[:1], corners(40, 3, "train"), columns=1)
    for layer in found.layers:
        assert layer.factor.shape[1] == 1
        assert layer.rest > 0
    with pytest.raises(InputError, match="columns: got 0, expected at least 1"):
        universal_encoding(members[:1], columns=0)

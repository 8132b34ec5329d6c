import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from covalign.encoding.activations import debiased_cka
from covalign.networks.network import Network
from covalign.studies.comparison import received
from covalign.studies.comparison.couples import couple
from covalign.studies.comparison.received import layer_maps
from covalign.studies.inputs import layer_inputs
from covalign.studies.subjects import Subject
from samples.networks import images, module, permuted, read


def paired(*networks, layers=None, sample=None):
    found = [Subject(f"net {place}", network) for place, network in enumerate(networks)]
    return [couple(one, other, layers, sample) for one, other in pairwise(found)]


@pytest.fixture(scope="module")
def sample():
    return images(40)


@pytest.fixture(scope="module")
def two():
    return read(module(widths=(6, 8, 8))), read(module(widths=(6, 8, 8), seed=1))


@pytest.fixture(scope="module")
def found(two, sample):
    return layer_maps(paired(*two), sample)


def test_every_value_is_the_debiased_cka_of_means_over_positions(found, two, sample):
    between = found["net 0", "net 1"]
    for row, one in enumerate(two[0].layers[:3]):
        for column, other in enumerate(two[1].layers[:3]):
            inputs = layer_inputs([(two[0], one), (two[1], other)], sample.pixels)
            x, y = (
                inputs[key].flatten(2).mean(2) for key in ((id(two[0]), one.name), (id(two[1]), other.name))
            )
            assert float(between.values[row, column]) == pytest.approx(debiased_cka(x, y), abs=1e-6)
    assert between.values.shape == (3, 3)
    assert between.images == 40


def test_a_network_with_itself_is_one_on_the_diagonal_and_symmetric(found):
    assert list(found) == [("net 0", "net 1"), ("net 0", "net 0"), ("net 1", "net 1")]
    own = found["net 0", "net 0"]
    torch.testing.assert_close(own.values, own.values.T)
    torch.testing.assert_close(own.values.diagonal(), torch.ones(3, dtype=torch.float64))
    assert own.matched == ()


def test_networks_that_compute_the_same_correspond_layer_by_layer(sample):
    one = module(widths=(6, 8, 8))
    between = layer_maps(paired(read(one), read(permuted(one)[0])), sample)["net 0", "net 1"]
    torch.testing.assert_close(between.values.diagonal(), torch.ones(3, dtype=torch.float64))
    assert between.partners["steps"].tolist() == [0, 0, 0]


def test_layers_without_counterpart_are_there_and_the_readout_is_not(sample):
    deep, shallow = read(module("joint", widths=(6, 8, 8, 8))), read(module("joint", widths=(6, 8)))
    between = layer_maps(paired(deep, shallow), sample)["net 0", "net 1"]
    assert between.values.shape == (4, 2)
    assert (between.depths_a, between.depths_b) == ((1, 2, 3, 4), (1, 2))
    assert len(between.matched) == len(between.places) == 2


def test_only_layers_that_were_named_are_run_where_some_were(two, sample):
    name = two[0].layers[1].name
    between = layer_maps(paired(*two, layers=[name]), sample, every=False)["net 0", "net 1"]
    assert (between.layers_a, between.layers_b, between.depths_a) == ((name,), (name,), (2,))


def test_without_images_a_forward_pass_or_enough_images_there_is_no_map(two, sample):
    assert layer_maps(paired(*two), None) == {}
    assert layer_maps(paired(*two), images(3)) == {}
    bare = Network("bare", two[0].layers, (), None, None)
    assert layer_maps(paired(bare, two[1]), sample) == {}


def test_a_layer_that_receives_the_same_for_every_image_has_no_value(two, sample):
    blind = module(widths=(6, 8, 8))
    nn.init.zeros_(blind.stages[0].pointwise.weight)
    between = layer_maps(paired(read(blind), two[1]), sample)["net 0", "net 1"]
    assert between.values[0].isfinite().all()
    assert between.values[1:].isnan().all()
    assert len(between.partners) == 1


class Wayward(nn.Module):
    """Calls a second layer only where it was not yet looked at."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, bias=False), nn.Conv2d(4, 4, 3, bias=False)
        self.sometimes = True

    def forward(self, x):
        x = self.first(x).relu()
        return (self.second(x) if self.sometimes else x).mean((2, 3))


def test_a_layer_that_is_not_called_takes_nothing_from_those_that_were_compared(sample):
    torch.manual_seed(0)
    parts = [Wayward(), Wayward()]
    networks = [read(each) for each in parts]
    couples = paired(*networks, layers=["first"])
    for each in parts:
        each.sometimes = False
    between = layer_maps(couples, sample)["net 0", "net 1"]
    assert (between.layers_a, between.layers_b) == (("first",), ("first",))


def test_few_pairs_of_many_and_few_images_of_many_are_taken(two, monkeypatch):
    monkeypatch.setattr(received, "SHOWN", 16)
    monkeypatch.setattr(received, "PAIRS", 2)
    passed = []
    monkeypatch.setattr(
        received, "layer_inputs", lambda layers, pixels: passed.append(pixels) or layer_inputs(layers, pixels)
    )
    networks = [*two, *(read(module(widths=(6, 8, 8), seed=seed)) for seed in (2, 3))]
    shares = []
    found = layer_maps(paired(*networks), images(40), progress=lambda stage, share: shares.append(share))
    assert [key for key in found if key[0] != key[1]] == [("net 0", "net 1"), ("net 1", "net 2")]
    assert sum(map(len, passed)) == 3 * 16
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])
    assert {each.images for each in found.values()} == {16}


def test_the_same_seed_draws_the_same_images(two):
    values = [layer_maps(paired(*two), images(400), seed=seed)["net 0", "net 1"].values for seed in (1, 1, 2)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])
    assert not any(math.isnan(float(each.sum())) for each in values)

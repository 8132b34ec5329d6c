import copy

import numpy as np
import pytest
import torch

from covalign.data.images import Images
from covalign.encoding.covariance import weight_covariance
from covalign.errors import InputError
from covalign.networks.network import Network
from covalign.networks.readers.opening import read_network
from covalign.studies.truncation.measure import BASES, accuracy, input_moment, rank_truncation
from samples.networks import images, module, read
from samples.transformers import learned

LAYER = "stages.2.convolution"


@pytest.fixture(scope="module")
def curves(trained):
    run, _, test = trained
    d = run.network.layer(LAYER).dimension
    ranks = [0, 1, 2, 4, 8, 16, d]
    return {basis: rank_truncation(run, LAYER, ranks, test, basis=basis).table for basis in BASES}


def test_all_directions_give_the_accuracy_of_the_network_and_none_that_of_guessing(curves):
    for basis, table in curves.items():
        full = table["untruncated"].iloc[0]
        assert full > 0.9
        assert table["accuracy"].iloc[-1] == full
        assert table["accuracy"].iloc[0] < 0.5
        assert set(table["basis"]) == {basis}


def test_few_weight_directions_do_what_as_many_random_ones_cannot(curves):
    few = curves["weights"]["rank"] == 4
    accuracies = {basis: float(table["accuracy"][few].iloc[0]) for basis, table in curves.items()}
    assert accuracies["weights"] > accuracies["random"] + 0.2
    assert accuracies["activations"] > accuracies["random"]


def test_ranks_beyond_that_of_the_weights_change_nothing(trained):
    run, _, test = trained
    layer = run.network.layer(LAYER)
    assert layer.neurons < layer.dimension
    table = rank_truncation(run, LAYER, [layer.neurons, layer.dimension], test).table
    assert list(table["accuracy"]) == [table["untruncated"][0]] * 2


def test_the_projection_is_on_the_eigenvectors_of_the_weight_covariance(trained):
    run, _, test = trained
    by_hand = run.module()
    with torch.no_grad():
        weight = dict(by_hand.named_modules())[LAYER].weight
        basis = weight_covariance(weight).eigenvectors[:, :2]
        weight.copy_((weight.flatten(1).double() @ basis @ basis.T).view_as(weight))
    table = rank_truncation(run, LAYER, [2], test).table
    assert table["accuracy"][0] == accuracy(by_hand, run.network.normalization, test)
    assert table.iloc[0][["network", "layer", "depth", "d"]].tolist() == [run.name, LAYER, 3, 90]


def test_the_network_stays_as_it_was():
    network = module()
    before = copy.deepcopy(network.state_dict())
    network.train()
    rank_truncation(read(network), "stages.1.pointwise", [1, 3], images(20), basis="activations")
    assert network.training
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize(
    ("form", "layer"), [("joint", "stages.1.convolution"), ("factorized", "stages.1.pointwise")]
)
def test_the_moment_of_the_inputs_is_that_of_single_neurons(form, layer):
    """Independent reading: a random neuron's responses have the second moment w^T M w."""
    network, data = read(module(form)), images(30)
    part = dict(network.source.module.named_modules())[layer]
    moment = input_moment(network, network.layer(layer), data)
    seen = {}
    handle = part.register_forward_hook(lambda _, args, output: seen.update(response=output.double()))
    network.source.inputs(network.normalization(data.pixels), [layer])
    handle.remove()
    rows = network.layer(layer).matrix
    expected = seen["response"].square().sum((0, 2, 3))
    np.testing.assert_allclose(torch.einsum("na,ab,nb->n", rows, moment, rows), expected, rtol=1e-4)


def test_random_directions_follow_the_seed(trained):
    run, _, test = trained
    ranks = range(1, 30, 3)
    one, same, other = (
        rank_truncation(run, LAYER, ranks, test, basis="random", seed=seed).table for seed in (0, 0, 1)
    )
    assert one.equals(same)
    assert not one["accuracy"].equals(other["accuracy"])


def test_a_readout_can_be_truncated():
    table = rank_truncation(read(module()), "head", [0, 8], images(40), basis="activations").table
    assert table["accuracy"][1] == table["untruncated"][1]


def test_what_cannot_be_truncated_is_named():
    network, data = read(module()), images(20)
    layer = "stages.1.pointwise"
    with pytest.raises(InputError, match="basis: got 'best', expected one of weights, random, activations"):
        rank_truncation(network, layer, [1], data, basis="best")
    with pytest.raises(InputError, match=r"ranks: got \[1, 61\], expected numbers from 0 to 60"):
        rank_truncation(network, layer, [1, 61], data)
    with pytest.raises(InputError, match=r"ranks: got \[\]"):
        rank_truncation(network, layer, [], data)
    with pytest.raises(InputError, match="no layer 'elsewhere'"):
        rank_truncation(network, "elsewhere", [1], data)
    with pytest.raises(InputError, match="needs a module that runs"):
        rank_truncation(Network("file", network.layers), layer, [1], data)
    grouped = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3, groups=3), torch.nn.Conv2d(6, 2, 3))
    with pytest.raises(InputError, match="a depthwise convolution has no input space"):
        rank_truncation(read(grouped), "0", [1], data)
    three = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with pytest.raises(InputError, match="the network has 1 outputs for 2 classes"):
        rank_truncation(read(three), "0", [1], data)


def test_rows_of_a_product_of_several_layers_are_refused():
    network = read_network(learned(depth=1), normalization="cifar")
    pixels = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    data = Images(pixels, torch.zeros(4, dtype=torch.int64), ("a",), "blank", "all")
    with pytest.raises(InputError, match="stored within those of others"):
        rank_truncation(network, "blocks.0.attn.qkv.q", [1], data)

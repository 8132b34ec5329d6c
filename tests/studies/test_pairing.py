import pytest
from torch import nn

from covalign.errors import InputError
from covalign.networks.architectures.resnet import resnet
from covalign.networks.network import Network
from covalign.studies.pairing import hidden_layers, match_layers
from samples.networks import module, read


def names(pairs):
    return [(left.name, right.name) for left, right in pairs]


@pytest.fixture(scope="module")
def net():
    return read(module())


def test_networks_of_one_architecture_correspond_layer_by_layer(net):
    other = read(module(widths=(4, 12, 9)))
    expected = [f"stages.{index}.pointwise" for index in range(3)]
    assert names(match_layers(net, other)) == [(name, name) for name in expected]


def test_the_readout_is_left_out_unless_it_is_named(net):
    assert [layer.name for layer in net.layers][-1] == "head"
    assert "head" not in [layer.name for layer in hidden_layers(net)]
    assert names(match_layers(net, net, {"head": "head"})) == [("head", "head")]


def test_a_single_linear_layer_is_no_readout():
    only = Network("one", read(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))).layers)
    assert len(hidden_layers(only)) == 1


def test_names_choose_and_pairs_choose_freely(net):
    assert names(match_layers(net, net, ["stages.1.pointwise"])) == [
        ("stages.1.pointwise", "stages.1.pointwise")
    ]
    crossed = [("stages.0.pointwise", "stages.2.pointwise"), ("stages.0.pointwise", "stages.1.pointwise")]
    assert names(match_layers(net, net, crossed)) == crossed
    assert names(match_layers(net, net, dict(crossed[1:]))) == crossed[1:]


def test_stages_of_unequal_depth_are_matched_in_order_at_equal_relative_depth():
    short, long = read(resnet(8)), read(resnet(14))
    pairs = match_layers(short, long)
    side = {f"layer{stage}": stage for stage in (1, 2, 3)}
    assert names(pairs)[0] == (short.layers[0].name, long.layers[0].name)
    for left, right in pairs[1:]:
        assert side[left.name.split(".")[0]] == side[right.name.split(".")[0]]
        assert left.weight.shape[2:] == right.weight.shape[2:]
    order = [[layer.name for layer in long.layers].index(right.name) for _, right in pairs]
    assert order == sorted(order)
    assert len(pairs) == len(hidden_layers(short))
    assert names(match_layers(long, short)) == [(right, left) for left, right in names(pairs)]


def test_what_cannot_be_paired_is_named(net):
    with pytest.raises(InputError, match="no layer 'elsewhere'"):
        match_layers(net, net, ["elsewhere"])
    with pytest.raises(InputError, match="no layers of equal kind, kernel size and stage"):
        match_layers(net, read(module("joint")))
    with pytest.raises(InputError, match="pair layers by name"):
        match_layers(net, net, [])

import torch
from torch import nn
from torch.nn.functional import conv2d

from covalign.networks.architectures.vgg import vgg11
from covalign.networks.folding import fold_batch_norm
from covalign.networks.readers.opening import read_network


def random_norm(channels):
    norm = nn.BatchNorm2d(channels)
    for value in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
        value.uniform_(0.5, 2)
    return norm.eval()


def test_a_norm_after_a_layer_scales_its_outputs():
    module = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), random_norm(8)).eval()
    x, y = torch.randn(2, 2, 3, 9, 9)
    weight = fold_batch_norm(read_network(module)).layers[0].weight.float()
    with torch.no_grad():  # the difference of two outputs has no shift
        torch.testing.assert_close(conv2d(x - y, weight), module(x) - module(y), atol=1e-5, rtol=1e-5)


def test_a_norm_before_a_layer_scales_its_inputs():
    module = nn.Sequential(random_norm(6), nn.Conv2d(6, 8, 3, groups=2, bias=False)).eval()
    x, y = torch.randn(2, 2, 6, 9, 9)
    weight = fold_batch_norm(read_network(module)).layers[0].weight.float()
    with torch.no_grad():
        folded = conv2d(x - y, weight, groups=2)
        torch.testing.assert_close(folded, module(x) - module(y), atol=1e-5, rtol=1e-5)


def test_layer_inputs_are_then_those_before_the_norm():
    module = nn.Sequential(random_norm(3), nn.Conv2d(3, 8, 3))
    x = torch.randn(2, 3, 9, 9)
    received = fold_batch_norm(read_network(module)).source.inputs(x, ["1"])["1"]
    torch.testing.assert_close(received, x, atol=1e-5, rtol=1e-5)


def test_weight_times_input_is_the_same_up_to_a_shift():
    network = read_network(vgg11("factorized", width=0.1))
    folded = fold_batch_norm(network)
    layer, same = network.layers[2], folded.layers[2]
    x = torch.randn(2, 3, 32, 32)
    before = network.source.inputs(x, [layer.name])[layer.name]
    after = folded.source.inputs(x, [layer.name])[layer.name]
    outputs = conv2d(before, layer.weight), conv2d(after, same.weight.float())
    moved = [output[0] - output[1] for output in outputs]
    torch.testing.assert_close(*moved, atol=1e-4, rtol=1e-4)


def test_a_channel_that_its_norm_switches_off_stays_off():
    norm = random_norm(3)
    norm.weight.data[1] = 0
    folded = fold_batch_norm(read_network(nn.Sequential(norm, nn.Conv2d(3, 4, 1))))
    assert not folded.layers[0].weight[:, 1].any()
    assert not folded.source.inputs(torch.randn(2, 3, 4, 4), ["1"])["1"][:, 1].any()


def test_folded_layers_have_no_norms_and_no_initial_variance():
    folded = fold_batch_norm(read_network(vgg11("factorized", width=0.1)))
    assert all(layer.norm_before is None and layer.init_variance is None for layer in folded.layers[:8])
    assert folded.layers[8].init_variance is not None
    assert folded.details["batch_norm"] == "folded"


def test_a_network_without_norms_is_left_as_it_is():
    network = read_network(nn.Sequential(nn.Conv2d(3, 4, 1)))
    assert fold_batch_norm(network).layers[0] is network.layers[0]
    assert fold_batch_norm(network).source is network.source

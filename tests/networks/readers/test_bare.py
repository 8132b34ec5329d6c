import itertools

import pytest
import safetensors.torch
import torch
from torch import nn

from covalign.errors import InputError
from covalign.networks.architectures.resnet import resnet20
from covalign.networks.architectures.vgg import vgg11
from covalign.networks.readers.opening import read_network
from samples.strangers import Stranger, small_cnn


def bare(folder, weights, suffix=".safetensors"):
    path = folder / f"net{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file({name: w.clone().contiguous() for name, w in weights.items()}, path)
    else:
        torch.save(weights, path)
    return read_network(path)


def names(network):
    return [layer.name for layer in network.layers]


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("make", [small_cnn, lambda: vgg11("joint", width=0.05), resnet20])
def test_order_and_weights_are_those_of_the_module(tmp_path, make, suffix):
    module = make()
    network, expected = bare(tmp_path, module.state_dict(), suffix), read_network(module)
    assert names(network) == names(expected)
    for layer, same in zip(network.layers, expected.layers, strict=True):
        assert layer.kind == same.kind
        assert torch.equal(layer.weight, same.weight)


@pytest.mark.parametrize("order", list(itertools.permutations(["a", "b", "c"])))
def test_whatever_the_names_the_order_follows_the_channels(tmp_path, order):
    first, second, third = order
    weights = {f"{second}.{k}.weight": torch.randn(8, 8, 3, 3) for k in (2, 10, 9)}
    weights |= {f"{third}.weight": torch.randn(5, 8 * 4 * 4), f"{first}.x.weight": torch.randn(8, 3, 3, 3)}
    found = names(bare(tmp_path, weights))
    assert found == [f"{first}.x", *(f"{second}.{k}" for k in (2, 9, 10)), third]


def test_what_a_file_does_not_say_is_said(tmp_path):
    details = bare(tmp_path, small_cnn().state_dict()).details
    assert details["order"] == "inferred from names and shapes"
    assert "stride" in details["not in the file"]
    assert "where norms act" in details["not in the file"]


def test_a_bare_file_has_no_layer_inputs(tmp_path):
    assert bare(tmp_path, small_cnn().state_dict()).source is None


def test_depthwise_and_transposed_convolutions_are_inferred_and_said_to_be(tmp_path):
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 3, groups=8), nn.ConvTranspose2d(16, 6, 2, groups=2)
    )
    network = bare(tmp_path, module.state_dict())
    expected = read_network(module)
    for layer, same in zip(network.layers, expected.layers, strict=True):
        assert (layer.kind, layer.groups) == (same.kind, same.groups)
        assert torch.equal(layer.weight, same.weight)
    assert set(network.details["inferred"]) == {"1", "2"}


def test_a_first_layer_with_one_channel_is_an_ordinary_convolution(tmp_path):
    weights = {"conv.weight": torch.randn(8, 1, 3, 3), "next.weight": torch.randn(4, 8, 3, 3)}
    assert bare(tmp_path, weights).layers[0].kind == "convolution"


@pytest.mark.filterwarnings("ignore")  # PyTorch deprecates quantized tensors
def test_what_is_not_a_layer_is_listed_with_its_reason(tmp_path):
    shared = torch.randn(8, 3, 3, 3)
    weights = {
        "keep.weight": shared,
        "twin.weight": shared,
        "cube.weight": torch.randn(4, 3, 3, 3, 3),
        "line.weight": torch.randn(4, 3, 3),
        "rnn.weight_hh_l0": torch.randn(16, 4),
        "old.weight_g": torch.randn(4, 1, 1, 1),
        "old.weight_v": torch.randn(4, 8, 1, 1),
        "new.parametrizations.weight.original1": torch.randn(4, 8, 1, 1),
        "int8.weight": torch.ones(4, 4, dtype=torch.int8),
        "norm.weight": torch.ones(8),
        "norm.running_mean": torch.ones(8),
        "norm.running_var": torch.ones(8),
        "norm.num_batches_tracked": torch.tensor(1),
        "layer_norm.weight": torch.ones(8),
        "quantized.weight": torch.quantize_per_tensor(torch.ones(4, 4), 0.1, 0, torch.qint8),
    }
    network = bare(tmp_path, weights, ".pt")
    reasons = {entry.name: entry.reason for entry in network.skipped}
    assert names(network) == ["keep", "old"]
    assert reasons["twin.weight"] == "tied: the same weights as keep.weight"
    assert reasons["cube.weight"].startswith("5 axes: a three-dimensional convolution")
    assert reasons["line.weight"].startswith("a one-dimensional convolution")
    assert reasons["rnn.weight_hh_l0"] == "weight of a recurrent layer"
    assert "weight norm" in reasons["new.parametrizations.weight.original1"]
    assert network.details["inferred"] == {"old": "weight norm"}
    assert reasons["int8.weight"].startswith("stored as int8")
    assert reasons["quantized.weight"].startswith("stored as qint8")
    assert reasons["norm"].startswith("batch norm")
    assert reasons["layer_norm"] == "vectors (weight), as of a norm or an activation"
    assert len(reasons) == 9


def test_a_bias_is_part_of_its_layer_and_not_listed(tmp_path):
    assert bare(tmp_path, nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(4, 2)).state_dict()).skipped == ()


def test_names_without_dots_or_words_are_read(tmp_path):
    network = bare(tmp_path, {"0": torch.randn(4, 3, 3, 3), "1": torch.randn(5, 4, 3, 3)})
    assert names(network) == ["0", "1"]


def test_a_stranger_is_read_from_its_weights_alone(tmp_path):
    module = Stranger()
    network = bare(tmp_path, module.state_dict())
    read = {layer.name: layer for layer in network.layers}
    copies = {e.name.removesuffix(".weight"): e.reason for e in network.skipped if "a copy of" in e.reason}
    assert copies["back"] == "a copy of alias.weight, with the same numbers", "names of this file are sorted"
    for layer in read_network(module).layers:
        called = copies.get(layer.name, layer.name).removeprefix("a copy of ").partition(".weight")[0]
        torch.testing.assert_close(read[called].weight, layer.weight)


def test_very_deep_names_are_read(tmp_path):
    name = ".".join(["x"] * 3000)
    assert len(bare(tmp_path, {name: torch.randn(4, 3, 3, 3), "y": torch.randn(4, 4, 3, 3)}).layers) == 2


def test_a_file_without_layers_is_refused(tmp_path):
    with pytest.raises(
        InputError,
        match=r"holds no weights of two-dimensional .* \(left out: a: doubtful: \[3, 3, 3\], a one-",
    ):
        bare(tmp_path, {"a": torch.randn(3, 3, 3)})

"""Which of several sets of weights is read, and which are listed."""

import itertools
import re

import pytest
import safetensors.torch
import torch

from covalign.errors import InputError
from covalign.networks.readers.opening import read_network


def net(seed=0, widths=(3, 8, 8, 5)):
    g = torch.Generator().manual_seed(seed)
    return {
        f"body.{i}.{kind}": torch.randn(*shape, generator=g)
        for i, (c_in, c_out) in enumerate(itertools.pairwise(widths))
        for kind, shape in (("weight", (c_out, c_in, 3, 3)), ("bias", (c_out,)))
    }


def prefixed(prefix, weights):
    return {f"{prefix}.{name}": weight for name, weight in weights.items()}


def without_dots(prefix, weights):
    return {f"{prefix}.{name.replace('.', '')}": weight for name, weight in weights.items()}


RAW, OTHER = net(0), net(1)

CHECKPOINTS = {
    "params": ({"params": RAW, "params_ema": OTHER}, "params", "params_ema"),
    "model and ema": ({"epoch": 1, "model": RAW, "ema": OTHER}, "model", "ema"),
    "ema first": ({"model_ema": OTHER, "model": RAW}, "model", "model_ema"),
    "state dicts": ({"state_dict": RAW, "state_dict_ema": OTHER}, "state_dict", "state_dict_ema"),
    "flat": ({**prefixed("generator", RAW), **prefixed("generator_ema", OTHER)}, "generator", "generator_ema"),
    "camel": ({**prefixed("net", RAW), **prefixed("netEMA", OTHER)}, "net", "netEMA"),
    "without dots": ({**prefixed("model", RAW), **without_dots("model_ema", OTHER)}, "model", "model_ema"),
    "wrapped": ({**prefixed("model", RAW), **prefixed("ema.module", OTHER)}, "model", "ema"),
    "averaged": ({**prefixed("model", RAW), **prefixed("averaged_model", OTHER)}, "model", "averaged_model"),
    "shadow": ({**RAW, **prefixed("shadow", OTHER)}, None, "shadow"),
    "deeper": ({**prefixed("lit.net", RAW), **prefixed("lit.ema_net", OTHER)}, "lit.net", "lit.ema_net"),
    "teacher": ({**prefixed("student", RAW), **prefixed("teacher", OTHER)}, "student", "teacher"),
    "other teacher": (
        {**prefixed("student", RAW), **prefixed("teacher", net(1, (3, 16, 5)))}, "student", "teacher",
    ),
    "contrast": ({**prefixed("encoder_q", RAW), **prefixed("encoder_k", OTHER)}, "encoder_q", "encoder_k"),
    "target": ({**prefixed("online", RAW), **prefixed("target", OTHER)}, "online", "target"),
    "adversary": (
        {"generator": RAW, "discriminator": net(1, (3, 4, 1))}, "generator", "discriminator",
    ),
    "adversary, flat": ({**prefixed("netG", RAW), **prefixed("netD", net(1, (3, 4, 1)))}, "netG", "netD"),
    "adversary, short": ({"g": RAW, "d": net(1, (3, 4, 1)), "g_ema": OTHER}, "g", "g_ema"),
    "loss": ({**RAW, **prefixed("loss.discriminator", net(1, (3, 4, 1)))}, None, "loss.discriminator"),
    "perceptual": ({**RAW, **prefixed("vgg_loss.features", net(1, (3, 4, 6)))}, None, "vgg_loss"),
    "two ways": (
        {**prefixed("G_A", RAW), **prefixed("G_B", OTHER), **prefixed("D_A", net(2, (3, 4, 1)))}, "G_A", "G_B",
    ),
    "equal": ({"first": RAW, "second": OTHER}, "first", "second"),
    "equal, flat": ({**prefixed("net1", RAW), **prefixed("net2", OTHER)}, "net1", "net2"),
    "list": ({"models": [RAW, OTHER]}, "models.0", "models.1"),
    "optimizer": ({"model": RAW, "optimizer": {"exp_avg": OTHER}}, "model", "optimizer"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "inside", "other"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_one_set_is_read_and_the_others_are_listed(tmp_path, content, inside, other):
    torch.save(content, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    assert len(network.layers) == 3
    for layer, weight in zip(
        network.layers, (w for n, w in RAW.items() if n.endswith("weight")), strict=True
    ):
        assert torch.equal(layer.weight, weight)
    assert network.details.get("inside") == inside
    reasons = {entry.name: entry.reason for entry in network.skipped}
    assert f"choose it with --inside {other}" in reasons[other]


@pytest.mark.parametrize(("content", "inside", "other"), CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_the_other_set_can_be_chosen(tmp_path, content, inside, other):
    if other == "optimizer":
        pytest.skip("what an optimizer holds are no weights")
    torch.save(content, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt", inside=other)
    assert network.details["inside"].startswith(other)
    assert not any(torch.equal(network.layers[0].weight, weight) for weight in RAW.values())
    assert any("not inside" in entry.reason for entry in network.skipped)


def test_flat_copies_in_safetensors_are_told_apart(tmp_path):
    weights = {**prefixed("model", RAW), **prefixed("model_ema", OTHER)}
    safetensors.torch.save_file(weights, tmp_path / "net.safetensors")
    network = read_network(tmp_path / "net.safetensors")
    assert [layer.name for layer in network.layers] == ["body.0", "body.1", "body.2"]
    assert torch.equal(network.layers[0].weight, RAW["body.0.weight"])


NO_COPIES = {
    "blocks": {**prefixed("block1", net(0, (8, 8, 8))), **prefixed("block2", net(1, (8, 8, 8)))},
    "attention": {f"attn.{name}.weight": torch.randn(8, 8) for name in ("q", "k", "v", "key", "value", "query")},
    "two streams": {
        **prefixed("rgb", RAW), **prefixed("flow", OTHER), "head.weight": torch.randn(4, 10, 3, 3),
    },
    "two languages": {
        **prefixed("source_encoder", RAW), **prefixed("target_encoder", OTHER),
        "head.weight": torch.randn(4, 5, 3, 3),
    },
    "first and last": {
        **prefixed("initial_encoder", RAW), **prefixed("final_encoder", OTHER),
        "head.weight": torch.randn(4, 5, 3, 3),
    },
    "a list of blocks": {**prefixed("h.0", net(0, (8, 16, 4))), **prefixed("h.1", net(1, (8, 16, 4)))},
    "blocks by number": {**prefixed("0", net(0, (8, 16, 4))), **prefixed("1", net(1, (8, 16, 4)))},
    "an average alone": prefixed("ema", RAW),
    "autoencoder": {**prefixed("encoder", RAW), **prefixed("decoder", net(1, (5, 8, 8, 3)))},
}  # fmt: skip


@pytest.mark.parametrize("weights", NO_COPIES.values(), ids=NO_COPIES)
def test_equal_parts_of_one_network_are_all_read(tmp_path, weights):
    torch.save(weights, tmp_path / "net.pt")
    network = read_network(tmp_path / "net.pt")
    assert len(network.layers) == sum(weight.ndim > 1 for weight in weights.values())
    assert "inside" not in network.details


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_network_below_two_prefixes_is_read_once(tmp_path, ending):
    weights = {
        **prefixed("model", RAW),
        **prefixed("wrapped.net", {name: w.clone() for name, w in RAW.items()}),
    }
    if ending == "pt":
        torch.save(weights, tmp_path / "net.pt")
    else:
        safetensors.torch.save_file(weights, tmp_path / "net.safetensors")
    network = read_network(tmp_path / f"net.{ending}")
    assert len(network.layers) == sum(weight.ndim > 1 for weight in RAW.values())
    said = {entry.name: entry.reason for entry in network.skipped}
    assert "with the same numbers" in said.get("wrapped", said.get("wrapped.net", ""))
    again = read_network(tmp_path / f"net.{ending}", inside="wrapped.net")
    for one, two in zip(network.layers, again.layers, strict=True):
        assert torch.equal(one.weight, two.weight)


def test_one_weight_below_two_names_is_one_layer_and_equal_blocks_are_all_layers(tmp_path):
    """As a fresh transformer's blocks are, which its maker copied; and zeros are no copy of zeros."""
    block = torch.randn(8, 8)
    weights = {
        "layers.0.fc.weight": block, "layers.1.fc.weight": block.clone(), "decoder.weight": torch.randn(20, 8),
        "zero_in.weight": torch.zeros(8, 8, 1, 1), "zero_out.weight": torch.zeros(8, 8, 1, 1),
    }  # fmt: skip
    weights["lm_head.weight"] = weights["decoder.weight"].clone()
    safetensors.torch.save_file(weights, tmp_path / "net.safetensors")
    network = read_network(tmp_path / "net.safetensors")
    assert {layer.name for layer in network.layers} == {
        "layers.0.fc", "layers.1.fc", "decoder", "zero_in", "zero_out",
    }  # fmt: skip
    reasons = {entry.name: entry.reason for entry in network.skipped}
    assert reasons == {"lm_head.weight": "a copy of decoder.weight, with the same numbers"}


def test_a_prefix_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    torch.save({"params": RAW, "params_ema": OTHER}, tmp_path / "net.pt")
    message = "holds nothing inside 'ema', expected one of params, params_ema"
    with pytest.raises(InputError, match=re.escape(message)):
        read_network(tmp_path / "net.pt", inside="ema")


def test_a_prefix_goes_with_weight_files_alone():
    with pytest.raises(InputError, match=r"inside: given for a Linear, expected a weight file"):
        read_network(torch.nn.Linear(2, 2), inside="ema")


def test_an_architecture_is_filled_with_the_chosen_set(tmp_path):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3))
    weights, other = module.state_dict(), {name: w + 1 for name, w in module.state_dict().items()}
    torch.save({"params": weights, "params_ema": other}, tmp_path / "net.pt")
    for inside, expected in ((None, weights), ("params_ema", other)):
        network = read_network(
            tmp_path / "net.pt", torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3)), inside=inside
        )
        assert torch.equal(network.layers[0].weight, expected["0.weight"])

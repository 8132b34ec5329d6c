from dataclasses import replace

import pytest
import torch
from torch import nn

from covalign.networks.network import TokenNorm
from covalign.networks.readers.opening import read_network
from covalign.networks.stream import fold_token_norms, without_mean
from samples.strangers import small_cnn
from samples.transformers import WIDTH, learned

READERS = ("blocks.0.attn.qkv.q", "blocks.0.attn.qkv.k", "blocks.0.attn.qkv.v", "blocks.1.mlp.fc1")


@pytest.mark.parametrize("count", [2, 3, 10])
def test_the_basis_is_orthonormal_and_orthogonal_to_ones(count):
    basis = without_mean(torch.eye(count, dtype=torch.float64), 0)
    assert basis.shape == (count - 1, count)
    torch.testing.assert_close(basis @ basis.T, torch.eye(count - 1, dtype=torch.float64))
    torch.testing.assert_close(
        basis @ torch.ones(count, dtype=torch.float64), torch.zeros(count - 1).double()
    )
    x = torch.randn(4, count, 5, dtype=torch.float64)
    torch.testing.assert_close(without_mean(x, 1), torch.einsum("ij,njk->nik", basis, x))


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_folding_changes_nothing_that_a_layer_computes_but_its_bias(norm):
    module = learned(norm)
    network = read_network(module)
    folded = fold_token_norms(network)
    x = torch.randn(3, 3, 16, 16)
    before, after = (each.source.inputs(x, READERS) for each in (network, folded))
    for name in READERS:
        layer, read = network.layer(name), folded.layer(name)
        assert read.channels == WIDTH - (norm is nn.LayerNorm)
        bias = layer.matrix @ layer.token_norm.shift
        one = torch.einsum("ij,njk->nik", layer.matrix, before[name].double())
        other = torch.einsum("ij,njk->nik", read.matrix, after[name].double()) + bias[:, None]
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_what_is_received_has_root_mean_square_1():
    folded = fold_token_norms(read_network(learned()))
    received = folded.source.inputs(torch.randn(2, 3, 16, 16), READERS)[READERS[0]]
    energy = received.square().sum(1) / WIDTH
    torch.testing.assert_close(energy, torch.ones_like(energy), rtol=1e-3, atol=1e-3)


def test_layers_that_read_something_else_stay_as_they_are():
    network = read_network(learned())
    folded = fold_token_norms(network)
    for name in ("patch_embed", "blocks.0.attn.proj", "blocks.0.mlp.fc2"):
        assert folded.layer(name) is network.layer(name)
    assert all(layer.token_norm is None for layer in folded.layers)
    assert fold_token_norms(folded) is folded
    assert fold_token_norms(read_network(small_cnn())).details.get("token_norms") is None


def test_a_feature_without_gain_is_not_read():
    network = read_network(learned(nn.RMSNorm))
    gain = torch.ones(WIDTH, dtype=torch.float64)
    gain[3] = 0
    norm = TokenNorm(gain, torch.zeros(WIDTH, dtype=torch.float64), False)
    layers = tuple(replace(x, token_norm=norm) if x.name == READERS[0] else x for x in network.layers)
    folded = fold_token_norms(replace(network, layers=layers))
    received = folded.source.inputs(torch.randn(2, 3, 16, 16), READERS[:1])[READERS[0]]
    assert not received[:, 3].any()
    assert not folded.layer(READERS[0]).matrix[:, 3].any()


def test_a_folded_network_can_be_moved():
    folded = fold_token_norms(read_network(learned().float())).on("cpu")
    assert folded.source.inputs(torch.randn(2, 3, 16, 16), READERS[:1])[READERS[0]].shape[1] == WIDTH - 1

import pytest
import torch
from torch import nn

from covalign.networks.readers.opening import read_network
from covalign.networks.readers.token_norms import token_norm


class OneMore(nn.Module):
    """A norm by the root-mean-square that stores its gain less 1."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width))

    def forward(self, x):
        return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * (1 + self.weight)


class OneMoreNorm(OneMore):
    pass


class NormAct(nn.LayerNorm):
    def forward(self, x):
        return torch.relu(super().forward(x))


def randomized(part):
    torch.manual_seed(0)
    for parameter in part.parameters():
        nn.init.normal_(parameter)
    return part


def test_gain_and_shift_of_layer_norm_are_found():
    part = randomized(nn.LayerNorm(7))
    norm = token_norm(part)
    assert norm.centred
    torch.testing.assert_close(norm.gain, part.weight.detach().double(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.shift, part.bias.detach().double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [nn.RMSNorm, OneMoreNorm])
def test_a_norm_by_the_root_mean_square_is_not_centred(make):
    part = randomized(make(9))
    norm = token_norm(part)
    gain = part.weight.detach().double() + (make is OneMoreNorm)
    assert not norm.centred
    torch.testing.assert_close(norm.gain, gain, rtol=1e-4, atol=1e-4)
    assert float(norm.shift.abs().max()) < 1e-4


def test_a_norm_without_parameters_has_gain_1():
    norm = token_norm(nn.LayerNorm(6, elementwise_affine=False))
    torch.testing.assert_close(norm.gain, torch.ones(6, dtype=torch.float64), rtol=1e-4, atol=1e-4)


def test_half_precision_is_good_enough():
    part = randomized(nn.LayerNorm(8)).bfloat16()
    assert token_norm(nn.LayerNorm(8).half()) is not None
    assert token_norm(part) is None or token_norm(part).centred


@pytest.mark.parametrize(
    "part",
    [
        nn.LayerNorm((3, 4)),
        NormAct(5),
        nn.GroupNorm(2, 4),
        nn.BatchNorm1d(4),
        nn.Linear(4, 4),
        OneMore(4),
    ],
    ids=["two axes", "with activation", "groups", "batches", "linear", "not called a norm"],
)
def test_what_is_no_norm_of_tokens_is_none(part):
    assert token_norm(part) is None


def test_a_norm_that_touches_no_layer_is_listed():
    network = read_network(nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.Flatten(2), nn.LayerNorm(64)))
    assert [(entry.name, "norm of tokens" in entry.reason) for entry in network.skipped] == [("2", True)]

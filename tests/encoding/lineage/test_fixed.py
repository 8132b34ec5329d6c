import pytest
import torch
from torch import nn

from covalign.encoding.lineage.balance import balanced
from covalign.encoding.lineage.fixed import fixed_pattern
from samples.planted import generator


@pytest.mark.parametrize("shape", [(16, 16, 3, 3), (24, 16, 3, 3), (16, 24, 1, 1)])
def test_an_identity_initialization_shows_after_some_training(shape):
    weight = nn.init.dirac_(torch.empty(shape)) + 0.05 * torch.randn(shape, generator=generator(0))
    assert fixed_pattern(balanced(weight)) == "identity"
    assert fixed_pattern(balanced(-weight)) == "identity"


def test_a_bank_that_is_applied_to_every_channel_shows():
    bank = torch.randn(4, 1, 3, 3, generator=generator(0))
    assert fixed_pattern(balanced(bank.repeat(8, 1, 1, 1))) == "repeated"


@pytest.mark.parametrize("init", [nn.init.kaiming_normal_, nn.init.orthogonal_, nn.init.xavier_uniform_])
def test_random_initializations_are_no_pattern(init):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert all(fixed_pattern(balanced(init(torch.empty(16, 16, 3, 3)))) == "" for _ in range(20))

"""Who shares the work of an operation, and what stays as it was."""

import threading

import pytest
import torch

from covalign.kernels.threads import block_threads, blocks_alone, each
from covalign.networks.architectures.blocks import FactorizedStage
from covalign.networks.filters import analytic_filters


def test_blocks_have_threads_of_their_own_while_operations_between_them_keep_to_one(torch_threads):
    torch_threads(2)

    def work(part):
        return part, threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()

    with blocks_alone(3):
        assert (block_threads(), torch.get_num_threads()) == (3, 1)
        done = each(work, "abc")
    assert [part for part, *_ in done] == list("abc")
    first, *others = (thread for _, thread, *_ in done)
    assert first == threading.get_ident() not in others
    assert all(rest == [1, False] for _, _, *rest in done)
    assert block_threads() == torch.get_num_threads() == 2


def test_threads_are_restored_after_an_error(torch_threads):
    torch_threads(2)
    with pytest.raises(ZeroDivisionError), blocks_alone(3):
        raise ZeroDivisionError
    assert block_threads() == torch.get_num_threads() == 2


def test_one_part_and_one_thread_stay_with_the_caller(torch_threads):
    torch_threads(1)
    here = threading.get_ident()
    assert each(lambda _: threading.get_ident(), "ab") == [here, here]
    with blocks_alone(2):
        assert each(lambda _: threading.get_ident(), "a") == [here]


def test_blocks_alone_give_the_gradients_of_one_thread_to_rounding(torch_threads):
    torch_threads(1)
    stage = FactorizedStage(16, 8, analytic_filters(), pool=True)
    x = torch.randn(64, 16, 16, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def gradients():
        return torch.autograd.grad(stage(x).square().sum(), (x, stage.pointwise.weight))

    one = gradients()
    with blocks_alone(2):
        first, second = gradients(), gradients()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for mine, other in zip(first, one, strict=True):
        assert (mine - other).abs().max() <= 1e-5 * other.abs().max()

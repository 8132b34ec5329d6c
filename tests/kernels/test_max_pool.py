"""The pool of maps whose images come last, against PyTorch's module on contiguous ones."""

import pytest
import torch
from torch import nn

from covalign.kernels.max_pool import max_pool
from covalign.kernels.threads import blocks_alone

SHAPES = [(7, 4, 4, 6), (7, 3, 5, 7), (5, 2, 2, 2), (3, 1, 3, 2), (40, 16, 16, 16)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_values_and_gradients_are_the_module_s_to_the_bit(shape, threads, dtype):
    n, c, h, w = shape
    generator = torch.Generator().manual_seed(0)
    # Whole numbers: many ties, of which the first takes the gradient.
    memory = torch.randint(3, (h, w, c, n), generator=generator).to(dtype)
    maps = memory.permute(3, 2, 0, 1).requires_grad_()
    plain = maps.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    with blocks_alone(threads):
        found, expected = max_pool(maps), nn.MaxPool2d(2)(plain)
        direction = torch.randn(expected.shape, generator=generator).to(dtype)
        found.backward(direction)
        expected.backward(direction)
    assert torch.equal(found, expected)
    assert torch.equal(maps.grad, plain.grad)
    assert found.permute(2, 3, 1, 0).is_contiguous()


def test_a_second_derivative_is_refused():
    x = torch.randn(2, 1, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(max_pool(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()

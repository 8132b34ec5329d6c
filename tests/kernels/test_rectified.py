"""Rectifying, and gradients through it, against the formulas; in bfloat16 for every number there is."""

import pytest
import torch

from covalign.kernels.rectified import led_back, rectified


def every_number():
    """All numbers in bfloat16, as maps ``[2, 256, 128]``."""
    return torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.bfloat16).view(2, 256, 128)


def rectify(y):
    return rectified(y, y.new_empty(len(y) + 1, 2 * y.shape[1], y.shape[2]))


def test_every_number_in_bfloat16_is_rectified_to_the_bit():
    y = every_number()
    known = ~y.isnan()
    for found, expected in zip(rectify(y).chunk(2, 1), (torch.relu(y), torch.relu(-y)), strict=True):
        assert torch.equal(found[known], expected[known])
        assert not found[known].signbit().any()


def test_what_is_no_number_stays_none():
    y = every_number()
    positive, negative = rectify(y).chunk(2, 1)
    assert torch.equal(positive.isnan() | negative.isnan(), y.isnan())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_gradient_passes_where_maps_are_positive_and_nowhere_at_zero(dtype):
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(-2, 3, (3, 4, 5), generator=generator).to(dtype) / 2
    gradient = torch.randn(3, 8, 5, generator=generator).to(dtype)
    leaf = y.clone().requires_grad_()
    both = torch.cat([torch.relu(leaf), -torch.relu(-leaf)], 1)
    (expected,) = torch.autograd.grad(both, leaf, gradient)
    maps = rectify(y)
    assert torch.equal(led_back(gradient.clone(), maps, out=maps), expected)


def test_every_gradient_in_bfloat16_passes_to_the_bit():
    gradient = every_number()
    y = torch.full((2, 128, 128), -1.0).bfloat16()
    y[0] = 1
    y[1, 0] = 0
    found = led_back(gradient.clone(), rectify(y), out=torch.empty_like(gradient))
    positive, negative = gradient.chunk(2, 1)
    assert torch.equal(found[0].view(torch.int16), positive[0].view(torch.int16))
    assert torch.equal(found[1, 1:].view(torch.int16), negative[1, 1:].view(torch.int16))
    assert not found[1, 0].any()

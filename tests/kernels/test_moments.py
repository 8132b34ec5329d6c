import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.kernels.moments import ROWS, CrossedProducts, ProductSum, Received
from samples.planted import generator


def slow(batches_a, batches_b):
    """F and G image by image, in float64, as the control is defined."""
    equal = crossed = 0.0
    for a, b in zip(batches_a, batches_b, strict=True):
        a, b = (each.double().flatten(2) for each in (a, b))
        for image in range(len(a)):
            equal = equal + b[image] @ a[image].T
            if len(a) > 1:
                crossed = crossed + b[image - len(b) // 2] @ a[image].T
    return equal, crossed


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 2**31))
def test_equal_and_crossed_products_are_those_of_single_images(sizes, seed):
    draw = generator(seed)
    a = [torch.randn(n, 5, 2, 3, generator=draw) + 1 for n in sizes]
    b = [torch.randn(n, 4, 2, 3, generator=draw) - 1 for n in sizes]
    total = CrossedProducts(4, 5, crossed=True)
    for one, other in zip(a, b, strict=True):
        total.add(Received.of(one, crossed=True), Received.of(other, crossed=True))
    equal, crossed = slow(a, b)
    torch.testing.assert_close(total.equal, equal, rtol=0, atol=1e-4)
    if max(sizes) > 1:
        torch.testing.assert_close(total.crossed, crossed, rtol=0, atol=1e-4)
    else:
        assert float(total.crossed.abs().max()) < 1e-4


def test_without_a_control_the_products_are_those_of_rows():
    a, b = (torch.randn(6, 3, 2, generator=generator(seed)) for seed in (0, 1))
    total = CrossedProducts(3, 3, crossed=False)
    total.add(Received.of(a, crossed=False), Received.of(b, crossed=False))
    torch.testing.assert_close(total.equal, slow([a], [b])[0], rtol=0, atol=1e-5)


def test_long_sums_are_kept_in_float64():
    """2^24 + 1 ones in batches: in float32 alone the last would be lost."""
    total = ProductSum(1, 1)
    ones = torch.ones(ROWS, 1)
    for _ in range(2**24 // ROWS):
        total.add(ones, ones)
    total.add(ones[:1], ones[:1])
    assert float(total.total) == 2**24 + 1
    assert float(total.total) == 2**24 + 1  # reading changes nothing


def test_the_energy_is_the_sum_of_squares():
    maps = torch.randn(7, 3, 4, generator=generator(2))
    assert Received.of(maps, crossed=True).energy == pytest.approx(float(maps.square().sum()), rel=1e-5)

import pytest
import torch
from torch import nn

from covalign.encoding.basis import LEVEL, basis_test, shares_basis


def random_weight(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_noisy_copy_shares_the_basis():
    weight = random_weight(0, 16, 8, 3, 3)
    test = basis_test(weight, weight + random_weight(1, *weight.shape))
    assert test.shared
    assert test.correlation == pytest.approx(0.5**0.5, abs=0.05)
    assert test.shuffled < test.correlation
    assert test.p_value == 0.001


def test_the_p_value_of_independent_weights_is_uniform():
    tests = [
        basis_test(random_weight(2 * i, 8, 8, 3, 3), random_weight(2 * i + 1, 8, 8, 3, 3), inputs=False)
        for i in range(200)
    ]
    p_values = torch.tensor([test.p_value for test in tests])
    assert (p_values < 0.5).float().mean() == pytest.approx(0.5, abs=0.12)
    assert (p_values < 0.1).float().mean() == pytest.approx(0.1, abs=0.07)
    assert sum(test.shared for test in tests) <= 8


@pytest.mark.parametrize("axis", [0, 1])
def test_a_copy_with_one_side_permuted_does_not_share_the_basis(axis):
    """Even where neurons have means of their own, which a permutation of inputs keeps."""
    weight = random_weight(0, 32, 32, 3, 3) + random_weight(1, 32, 1, 1, 1) + random_weight(2, 1, 32, 1, 1)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(3))
    assert not basis_test(weight, weight.index_select(axis, order)).shared


def test_what_all_kernels_have_in_common_is_no_common_basis():
    common = random_weight(0, 1, 1, 3, 3) + 1
    one, two = (common + random_weight(seed, 16, 16, 3, 3) for seed in (1, 2))
    test = basis_test(one, two)
    assert test.correlation > 0.3
    assert not test.shared


def test_images_and_classes_are_not_shuffled():
    """Independent first layers share the meaning of red, green and blue, and readouts that of classes."""
    colours = 3 * random_weight(0, 1, 8, 1, 1)
    first = [colours + random_weight(seed, 16, 8, 3, 3) for seed in (1, 2)]
    classes = 3 * random_weight(0, 10, 1, 1, 1)
    last = [classes + random_weight(seed, 10, 32, 1, 1) for seed in (3, 4)]
    assert not basis_test(*first, inputs=False).shared
    assert not basis_test(*last, outputs=False).shared


@pytest.mark.parametrize("shape", [(5, 3, 3, 3), (4, 1, 3, 3)])
def test_too_few_channels_tell_nothing(shape):
    weight = random_weight(0, *shape)
    test = basis_test(weight, weight)
    assert not test.conclusive
    assert test.correlation == pytest.approx(1)


def test_input_channels_are_not_shuffled_where_they_differ_from_group_to_group():
    weight = random_weight(0, 12, 6, 3, 3)
    swapped = weight.flip(1)
    assert not basis_test(weight, swapped).shared
    assert basis_test(weight, weight + 0.1 * swapped, inputs=False).shared


def test_zero_weights_tell_nothing():
    test = basis_test(torch.zeros(8, 8, 1, 1), random_weight(0, 8, 8, 1, 1))
    assert not test.conclusive


def test_identical_layers_share_even_where_all_channels_are_equal():
    weight = torch.ones(8, 8, 3, 3)
    assert basis_test(weight, weight).p_value < LEVEL


def test_networks_share_a_basis_if_most_layers_do():
    yes = basis_test(*[nn.init.dirac_(torch.empty(8, 8, 3, 3))] * 2)
    no = basis_test(random_weight(0, 8, 8, 3, 3), random_weight(1, 8, 8, 3, 3))
    assert shares_basis([yes, yes, no])
    assert not shares_basis([yes, no])
    assert not shares_basis([])

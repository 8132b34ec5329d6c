"""Closed forms against gradient descent on real convolutions."""

import pytest
import torch

from covalign.errors import InputError
from covalign.first_layer.linear_cnn import finite_time_gain, linear_cnn_filters, train_linear_cnn
from covalign.first_layer.patches import average_patches


@pytest.fixture
def targets() -> torch.Tensor:
    return torch.randn(60, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.fixture
def initial() -> torch.Tensor:
    return 0.1 * torch.randn(8, 27, generator=torch.Generator().manual_seed(6), dtype=torch.float64)


def descend_by_autograd(pixels, targets, initial, rate, steps):
    """Plain gradient descent of convolution, global average pooling and a sum over each output's filters."""
    weight = initial.view(-1, 3, 3, 3).clone().requires_grad_()
    for _ in range(steps):
        pooled = torch.nn.functional.conv2d(pixels, weight).mean((2, 3))
        outputs = pooled.view(len(pixels), 2, -1).sum(2)
        errors = (targets - targets.mean(0)) - (outputs - outputs.mean(0))
        (gradient,) = torch.autograd.grad(errors.square().sum(1).mean(), weight)
        weight = (weight - rate * gradient).detach().requires_grad_()
    return weight.detach().flatten(1)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.2])
def test_closed_form_equals_gradient_descent(pixels, targets, initial, rate):
    averages = average_patches(pixels[:60], 3)
    brute_force = descend_by_autograd(pixels[:60], targets, initial, rate, 300)
    closed = linear_cnn_filters(averages, targets, initial, rate, 300)
    simulated = train_linear_cnn(averages, targets, initial, rate, 300)
    assert (closed - brute_force).abs().max() < 1e-10
    assert (simulated.weight - brute_force).abs().max() < 1e-10


def test_closed_form_oscillates_as_gradient_descent_does(pixels, targets, initial):
    averages = average_patches(pixels[:60], 3)
    largest = float(torch.linalg.eigvalsh(torch.cov(averages.T, correction=0))[-1])
    rate = 1.9 / (2 * 4 * largest)
    simulated = train_linear_cnn(averages, targets, initial, rate, 50)
    assert (linear_cnn_filters(averages, targets, initial, rate, 50) - simulated.weight).abs().max() < 1e-10


def test_every_filter_of_an_output_receives_the_same_update(pixels, targets, initial):
    learned = linear_cnn_filters(average_patches(pixels[:60], 3), targets, initial, 0.05, 100) - initial
    torch.testing.assert_close(learned[:4], learned[:1].expand(4, -1))
    assert (learned[0] - learned[4]).norm() > 1e-3


def test_training_the_readout_lowers_the_loss_to_least_squares(targets, initial):
    averages = torch.randn(60, 27, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    readout = 0.1 * torch.randn(2, 8, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    trained = train_linear_cnn(averages, targets, initial, 0.1, 2000, readout)
    design = torch.cat([averages, torch.ones(60, 1, dtype=torch.float64)], 1)
    residual = targets - design @ torch.linalg.lstsq(design, targets).solution
    assert trained.loss == pytest.approx(float(residual.square().sum(1).mean()), rel=1e-3)


def test_gain_grows_linearly_and_ends_at_the_inverse():
    variances = torch.tensor([0.0, 1e-14, 0.5, 40.0], dtype=torch.float64)
    torch.testing.assert_close(
        finite_time_gain(variances, 1e-6), torch.full((4,), 1e-6).double(), rtol=1e-4, atol=0
    )
    torch.testing.assert_close(finite_time_gain(variances, 1e4)[2:], 1 / variances[2:])
    torch.testing.assert_close(finite_time_gain(variances, 3.0, 10**8), finite_time_gain(variances, 3.0))


def test_shapes_and_rates_that_cannot_work_are_refused(targets, initial):
    averages = torch.rand(60, 27, dtype=torch.float64)
    with pytest.raises(InputError, match=r"linear CNN: got averages \(60, 27\), targets \(59, 2\)"):
        train_linear_cnn(averages, targets[1:], initial, 0.1, 1)
    with pytest.raises(InputError, match="got 7 filters for 2 outputs, expected a multiple"):
        train_linear_cnn(averages, targets, initial[1:], 0.1, 1)
    with pytest.raises(InputError, match="rate: got 1000"):
        train_linear_cnn(averages, targets, initial, 1000.0, 1000)

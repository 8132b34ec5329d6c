"""What a measure of weights promises, each promise by name.

A measure takes weight matrices ``[n, d]``, a row per neuron, in common coordinates, and gives a number or a tensor.
One of two matrices is compared as ``measure(a, b)``, one of a single matrix as ``measure(a)``.
"""

import statistics
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor

from samples.planted import shuffled, turned

Measure = Callable[..., float | Tensor]


def assert_same(found: float | Tensor, expected: float | Tensor, tolerance: float) -> None:
    """Equal up to an absolute tolerance; undefined where the other is."""
    one, other = (torch.as_tensor(value, dtype=torch.float64) for value in (found, expected))
    torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance, equal_nan=True)


def assert_rotation_invariant(measure: Measure, *w: Tensor, seed: int = 0, tolerance: float = 1e-8) -> None:
    """A rotation common to all matrices changes nothing."""
    assert_same(measure(*(turned(each, seed) for each in w)), measure(*w), tolerance)


def assert_order_invariant(measure: Measure, *w: Tensor, seed: int = 0, tolerance: float = 1e-8) -> None:
    """The order of the neurons of any matrix changes nothing."""
    plain = measure(*w)
    for index in range(len(w)):
        assert_same(measure(*w[:index], shuffled(w[index], seed), *w[index + 1 :]), plain, tolerance)


def assert_scale_invariant(measure: Measure, *w: Tensor, scale: float = 3.0, tolerance: float = 1e-8) -> None:
    """The unit of any matrix changes nothing."""
    plain = measure(*w)
    for index in range(len(w)):
        assert_same(measure(*w[:index], scale * w[index], *w[index + 1 :]), plain, tolerance)


def assert_sign_invariant(measure: Measure, *w: Tensor, tolerance: float = 1e-8) -> None:
    """Neurons of the opposite sign change nothing."""
    flips = (torch.arange(max(map(len, w))) % 2 * 2 - 1).double()
    assert_same(measure(*(flips[: len(each), None] * each for each in w)), measure(*w), tolerance)


def assert_homogeneous(
    measure: Measure, *w: Tensor, scale: float, degree: int, tolerance: float = 1e-8
) -> None:
    """Weights in another unit give the value in that unit's power."""
    assert_same(measure(*(scale * each for each in w)) / scale**degree, measure(*w), tolerance)


def assert_symmetric(measure: Measure, a: Tensor, b: Tensor, tolerance: float = 1e-8) -> None:
    """Neither matrix comes first."""
    assert_same(measure(b, a), measure(a, b), tolerance)


def assert_bounded(
    measure: Measure, *w: Tensor, low: float = 0.0, high: float = 1.0, tolerance: float = 1e-9
) -> None:
    """No value is outside of the range that is documented."""
    values = torch.as_tensor(measure(*w), dtype=torch.float64)
    assert bool(((values >= low - tolerance) & (values <= high + tolerance)).all()), values


def assert_one_on_itself(measure: Measure, w: Tensor, tolerance: float = 1e-8) -> None:
    """A matrix is entirely like itself."""
    assert_same(measure(w, w), 1.0, tolerance)


def assert_distance(measure: Measure, a: Tensor, b: Tensor, c: Tensor, tolerance: float = 1e-8) -> None:
    """Zero from a matrix to itself, never negative, symmetric, and no way round is shorter."""
    ab, bc, ac = measure(a, b), measure(b, c), measure(a, c)
    assert_same(measure(a, a), 0.0, tolerance)
    assert_bounded(measure, a, b, high=float("inf"), tolerance=tolerance)
    assert_symmetric(measure, a, b, tolerance)
    assert ac <= ab + bc + tolerance


def assert_chance_is_zero(measure: Measure, pairs: Iterable[tuple[Tensor, Tensor]], within: float) -> None:
    """Unrelated matrices score nothing on average."""
    assert statistics.mean(float(measure(*pair)) for pair in pairs) == pytest.approx(0, abs=within)


def assert_deterministic(measure: Measure, *w: Tensor) -> None:
    """Asked again, a measure gives the same bits."""
    assert torch.equal(torch.as_tensor(measure(*w)), torch.as_tensor(measure(*w)))

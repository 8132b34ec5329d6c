import itertools
import math

import pytest
import torch

from covalign.encoding.activations import debiased_cka, distinctions
from covalign.errors import InputError
from samples.planted import generator, orthonormal


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def quadruples(k, l):  # noqa: E741
    """The U-statistic itself: E k(x, x') l(y, y') + E k E l - 2 E k(x, x') l(y, y''), over four different images."""
    terms = [
        float(k[i, j] * l[i, j] + k[i, j] * l[q, r] - 2 * k[i, j] * l[i, q])
        for i, j, q, r in itertools.permutations(range(len(k)), 4)
    ]
    return sum(terms) / len(terms)


def hsic_1(k, l):  # noqa: E741
    """Equation 5 of Song et al. (2012), as printed."""
    n, one = len(k), torch.ones(len(k), dtype=torch.float64)
    k, l = k - k.diagonal().diag(), l - l.diagonal().diag()  # noqa: E741
    middle = float(one @ k @ one) * float(one @ l @ one) / ((n - 1) * (n - 2))
    return (float((k @ l).trace()) + middle - 2 / (n - 2) * float(one @ k @ l @ one)) / (n * (n - 3))


def ratio(hsic, x, y):
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return hsic(k, l) / math.sqrt(hsic(k, k) * hsic(l, l))


def plain_cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm()))


@pytest.fixture
def pair():
    shared = draw(7, 2)
    return shared @ draw(2, 5, seed=1) + draw(7, 5, seed=2), shared @ draw(2, 4, seed=3) + draw(7, 4, seed=4)


@pytest.mark.parametrize("hsic", [quadruples, hsic_1])
def test_it_is_the_ratio_of_u_statistics_over_four_different_images(pair, hsic):
    assert debiased_cka(*pair) == pytest.approx(ratio(hsic, *pair), rel=1e-10)


def test_over_all_ways_to_deal_the_images_it_is_exactly_zero_on_average(pair):
    x, y = (each[:6] for each in pair)
    dealt = [debiased_cka(x, y[list(order)]) for order in itertools.permutations(range(6))]
    assert sum(dealt) / len(dealt) == pytest.approx(0, abs=1e-12)
    assert max(map(abs, dealt)) > 0.1


def test_unrelated_layers_of_more_dimensions_than_images_are_at_zero_where_the_plain_cosine_is_not():
    values = [
        (debiased_cka(x, y), plain_cka(x, y))
        for x, y in ((draw(30, 600, seed=seed), draw(30, 600, seed=100 + seed)) for seed in range(40))
    ]
    debiased, plain = torch.tensor(values).T
    assert abs(float(debiased.mean())) < 3 * float(debiased.std()) / 40**0.5
    assert float(plain.min()) > 0.9


@pytest.mark.parametrize("images", [12, 60])
def test_more_images_change_the_value_only_by_chance(images):
    shared, mixing = draw(4000, 3), (draw(3, 200, seed=1), draw(3, 200, seed=2))
    x, y = (shared @ each + 4 * draw(4000, 200, seed=3 + place) for place, each in enumerate(mixing))
    whole = debiased_cka(x[:1500], y[:1500])
    parts = torch.tensor([debiased_cka(*each) for each in zip(x.split(images), y.split(images), strict=True)])
    assert abs(float(parts.mean()) - whole) < 0.05 + 3 * float(parts.std()) / len(parts) ** 0.5


def test_equal_layers_give_one_whatever_turns_shifts_or_scales_them(pair):
    x, y = pair
    turned = 3.5 * x @ orthonormal(5, 5, 8).T + draw(1, 5, seed=9)
    assert debiased_cka(x, x) == pytest.approx(1, rel=1e-12)
    assert debiased_cka(x, turned) == pytest.approx(1, rel=1e-9)
    assert debiased_cka(turned, y) == pytest.approx(debiased_cka(x, y), rel=1e-9)


def test_order_of_layers_and_common_order_of_images_do_not_matter(pair):
    x, y = pair
    value = debiased_cka(x, y)
    order = torch.randperm(7, generator=generator(5))
    assert debiased_cka(y, x) == pytest.approx(value, rel=1e-12)
    assert debiased_cka(x[order], y[order]) == pytest.approx(value, rel=1e-10)


def test_what_belongs_to_a_single_image_does_not_count(pair):
    x, y = pair
    with_own = torch.cat([x, 100 * torch.eye(7, dtype=torch.float64)], 1)
    assert debiased_cka(with_own, y) == pytest.approx(debiased_cka(x, y), rel=1e-9)


def test_distinctions_have_unit_length_and_sum_to_zero_for_every_image(pair):
    found = distinctions(pair[0])
    square = torch.zeros(7, 7, dtype=torch.float64)
    square[tuple(torch.triu_indices(7, 7, 1))] = found
    torch.testing.assert_close((square + square.T).sum(1), torch.zeros(7, dtype=torch.float64))
    assert float(found.norm()) == pytest.approx(1)


@pytest.mark.parametrize(
    "blind",
    [
        torch.zeros(7, 3),
        torch.full((7, 3), 0.1),
        torch.eye(7)[:, :1],
        torch.full((7, 3), 5.0) + 1e-7 * torch.arange(21).view(7, 3),
    ],
    ids=["zero", "constant", "one image alone", "rounding"],
)
def test_a_layer_that_tells_no_images_apart_has_no_value(pair, blind):
    assert math.isnan(debiased_cka(blind, pair[0]))
    assert math.isnan(debiased_cka(pair[0], blind))


@pytest.mark.parametrize(("first", "second"), [(7, 6), (3, 3)])
def test_rows_that_are_not_of_the_same_images_are_refused(first, second):
    with pytest.raises(InputError, match=f"got {first} and {second} rows, expected one for each of the same"):
        debiased_cka(draw(first, 2), draw(second, 2))

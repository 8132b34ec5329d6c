"""Inner products that are formed once, against forming them wherever they are needed."""

from dataclasses import fields

import pytest
import torch

from covalign.encoding.debiased import products, relatives
from covalign.encoding.debiased.coordinates import layer
from covalign.encoding.debiased.estimate import compared, debiased_similarity
from covalign.encoding.debiased.leading import without_leading
from covalign.encoding.debiased.pairing import aligned_pair, without_top
from covalign.encoding.debiased.products import Products
from covalign.encoding.debiased.shared_variance import curve_of
from samples.planted import draw, power_law


def two(n, d, seed=0):
    strong = power_law(min(n, d), d)
    return draw(n, strong, seed), draw(n + 3, strong, seed + 1)


def differences(one, other):
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, float) and a == a:
            yield field.name, abs(a - b) / max(abs(b), 1e-3)


SHAPES = pytest.mark.parametrize(
    ("n", "d", "spatial"), [(12, 60, 1), (60, 20, 1), (150, 400, 1), (10, 72, 9), (60, 36, 4)]
)


@SHAPES
@pytest.mark.parametrize("top", [0, 1, 5])
@pytest.mark.parametrize("unit_length", [True, False])
def test_r_is_that_of_products_formed_where_they_are_needed(n, d, spatial, top, unit_length, monkeypatch):
    options = {"spatial": spatial, "remove_top": top, "unit_length": unit_length}
    found = debiased_similarity(*two(n, d), **options)
    for module in (products, relatives):
        monkeypatch.setattr(module, "BLOCK", 8)
    expected = debiased_similarity(*two(n, d), **options)
    assert found.reason == expected.reason
    assert all(error < 1e-10 for _, error in differences(found, expected)), list(differences(found, expected))


@SHAPES
def test_a_curve_is_that_of_products_formed_anew(n, d, spatial):
    pair = aligned_pair(*two(n, d), spatial=spatial)
    found, expected = curve_of(pair, Products.of(pair.first, pair.second)), curve_of(pair, None)
    assert torch.allclose(found.shared, expected.shared, rtol=1e-10, atol=1e-12, equal_nan=True)
    assert found.reproducible_1 == expected.reproducible_1


def test_directions_are_those_of_reweighted_neurons():
    pair = aligned_pair(*two(20, 90))
    inner = Products.of(pair.first, pair.second)
    found, expected = (
        without_leading(pair.first, pair.second, None, 3, known)[0].leverage for known in (inner, None)
    )
    assert float((found @ found.T - expected @ expected.T).abs().max()) < 1e-10


def test_a_projection_leaves_the_products_of_what_it_leaves():
    pair = aligned_pair(*two(30, 90))
    less, carried = without_top(pair, 4, Products.of(pair.first, pair.second))
    formed = Products.of(less.first, less.second)
    for name in ("first", "second", "cross"):
        assert float((getattr(carried, name) - getattr(formed, name)).abs().max()) < 1e-12


def test_a_neuron_that_a_projection_nearly_removes_has_its_products_formed_anew():
    one, other = two(30, 90)
    one[0] = 0
    one[0, 0], one[0, 1] = 1e4, 1.0
    one[:, 0] += 1e3
    pair = aligned_pair(one, other)
    assert without_top(pair, 1, Products.of(pair.first, pair.second))[1] is None


def test_without_the_test_all_else_is_the_same():
    pair = aligned_pair(*two(20, 60))
    whole, less = compared(pair), compared(pair, test=False)
    assert (whole.value, whole.low, whole.plug_in) == (less.value, less.low, less.plug_in)
    assert less.z != less.z
    assert less.p_value != less.p_value


def test_counterparts_do_not_depend_on_how_cosines_are_formed(monkeypatch):
    rows = draw(24, power_law(24, 60), 3)
    first, second = layer(rows, "one"), layer(rows.flip(0), "two")
    found = relatives.counterparts(first, second, first.rows @ second.rows.T)
    monkeypatch.setattr(relatives, "BLOCK", 8)
    assert torch.equal(found, relatives.counterparts(first, second))
    assert len(found) == 24
    assert len(relatives.counterparts(first, first, first.rows @ first.rows.T)) == 24

import math

import numpy as np
import pytest

from covalign.errors import InputError
from covalign.studies.comparison.measure import compare
from covalign.studies.cross_layer.measure import cross_layer_map
from samples.networks import images, module, noisy, permuted, read

WIDTHS = (12, 24, 24)


@pytest.fixture(scope="module")
def pair():
    original = module(widths=WIDTHS)
    return read(original, "net"), read(permuted(original, seed=3)[0], "twin")


@pytest.fixture(scope="module")
def cross(pair):
    return cross_layer_map(*pair, images(150), draws=2)


def test_every_layer_meets_every_layer(cross):
    square = cross.matrix()
    assert square.shape == (3, 3)
    assert list(square.index) == list(cross.layers_a)
    assert len(cross.table) == 9
    assert list(cross.table["depth_b"]) == [1, 2, 3] * 3


def test_layers_of_a_copy_find_themselves(cross):
    assert cross.measure == "similarity"
    assert list(cross.best["layer_b"]) == list(cross.layers_a)
    assert cross.best["mutual"].all()
    np.testing.assert_allclose(np.diag(cross.matrix("cosine")), 1, atol=1e-5)


@pytest.mark.slow
def test_the_diagonal_is_the_comparison_itself(pair, cross):
    table = compare(pair, images(150), draws=2, controls=False, calibrate=False).table
    mean = (table["similarity"] + table["similarity_reversed"]) / 2
    np.testing.assert_allclose(np.diag(cross.matrix()), mean)


@pytest.mark.slow
def test_maps_of_unequal_resolution_are_compared_on_the_coarser_one():
    a, b = read(module("joint", pool=True), "a"), read(module("joint", seed=4), "b")
    cross = cross_layer_map(a, b, images(60, side=32), draws=2)
    assert np.isfinite(cross.table["alignment_correlation"]).all()


def test_without_a_similarity_layers_are_matched_by_the_excess_over_chance():
    a, b = (read(noisy(False, seed), str(seed)) for seed in (0, 1))
    cross = cross_layer_map(a, b, images(60), draws=2)
    assert cross.measure == "excess"
    assert set(cross.best["measure"]) == {"excess"}
    chosen = cross.matrix("cosine").loc["2", "2"], cross.matrix("chance").loc["2", "2"]
    assert cross.matrix().loc["2", "2"] == pytest.approx((chosen[0] - chosen[1]) / (1 - chosen[1]))
    assert math.isnan(cross.matrix().loc["0", "2"])


def test_what_cannot_be_mapped_is_named(pair, cross):
    with pytest.raises(InputError, match="no layers of equal kind"):
        cross_layer_map(pair[0], read(module("joint")), images(20))
    with pytest.raises(InputError, match="measure: got 'beauty'"):
        cross.matrix("beauty")

import itertools

import pandas as pd
import pytest

from covalign import compare
from covalign.studies.comparison.couples import couple, tiles
from covalign.studies.subjects import subjects
from samples.networks import images, module, read


@pytest.fixture(scope="module")
def networks():
    return [read(module(seed=seed), f"network {seed}") for seed in range(5)]


@pytest.fixture(scope="module")
def couples(networks):
    return [couple(*pair, None, images(20)) for pair in itertools.combinations(subjects(networks), 2)]


@pytest.mark.parametrize("at_once", [0, 1, 2, 4, 5, 9, 1000])
def test_every_pair_is_in_one_tile_that_holds_no_more_than_it_may(couples, at_once):
    dealt = tiles(couples, at_once)
    assert sorted(place for tile in dealt for place in tile) == list(range(len(couples)))
    assert max(map(len, dealt)) <= max(1, at_once)


def test_a_tile_of_many_pairs_holds_few_networks(couples):
    for tile in tiles(couples, 4):
        names = {name for place in tile for name in couples[place].names}
        assert len(names) <= 4


def test_memory_changes_neither_the_numbers_nor_their_order(networks):
    data = images(60)
    wide = compare(networks, data, controls=False, calibrate=False)
    narrow = compare(networks, data, controls=False, calibrate=False, memory=2_000_000)
    pd.testing.assert_frame_equal(wide.table, narrow.table, rtol=1e-3, atol=1e-5)
    assert list(wide.curves) == list(narrow.curves)
    assert list(wide.cosine_maps) == list(narrow.cosine_maps)
    assert list(wide.spectra) == list(narrow.spectra)

"""A comparison gives the same bits wherever it is carried out, and loses nothing when processes are ended."""

import itertools
import os

import pytest
import torch

from covalign import compare
from covalign.errors import InputError
from covalign.studies.comparison.couples import Passes, couple
from covalign.studies.comparison.measure import KNOWN
from covalign.studies.comparison.settings import Settings
from covalign.studies.comparison.sharing import encoded_layers, executor_of, shared_out, tile_of
from covalign.studies.subjects import subjects
from covalign.tasks.executor import Executor, available_cores
from samples.deadly import Deadly
from samples.networks import images, module, read
from studies.comparison.test_known import assert_same

OPTIONS = {"calibrate": False, "controls": True, "draws": 2}
WORKERS = available_cores()  # of one thread each, as the tests have


def networks(count=4):
    return {f"network {seed}": read(module(seed=seed)) for seed in range(count)}


@pytest.fixture(scope="module")
def undisturbed():
    return compare(networks(), images(40), **OPTIONS)


@pytest.mark.slow
def test_processes_give_the_same_bits(undisturbed, tmp_path):
    assert_same(undisturbed, compare(networks(), images(40), workers=WORKERS, cache=tmp_path, **OPTIONS))
    told = {}
    again = compare(
        networks(), images(40), cache=tmp_path, progress=lambda stage, share, *_: told.update({stage: share}),
        **OPTIONS,
    )  # fmt: skip
    assert told[KNOWN] == 1
    assert_same(undisturbed, again)


@pytest.mark.slow
def test_a_cluster_gives_the_same_bits(undisturbed):
    pytest.importorskip("distributed")
    assert_same(undisturbed, compare(networks(), images(40), scheduler="local", **OPTIONS))


@pytest.mark.slow
def test_alignment_in_common_is_shared_out_too():
    one = compare(networks(), images(40), reference=True, **OPTIONS)
    assert_same(one, compare(networks(), images(40), reference=True, workers=WORKERS, **OPTIONS))


@pytest.mark.slow
def test_what_kills_every_process_is_said_and_the_rest_is_kept(tmp_path):
    """Three deaths of a tile are too many; the same command finds the other pairs, and survives two more deaths."""
    data, deadly = images(40), tmp_path / "deadly"
    deadly.mkdir()
    members = {**networks(2), "deadly": read(Deadly(deadly, 0, seed=9))}
    expected = compare(members, data, **OPTIONS)
    members["deadly"] = read(Deadly(deadly, 8, seed=9))
    options = {"workers": 2, "cache": tmp_path / "kept", **OPTIONS}
    with pytest.raises(
        InputError, match=r"2 of 3 parts of the comparison failed, the others are kept: .*ended"
    ):
        compare(members, data, **options)
    assert len(list(deadly.iterdir())) == 2  # three attempts of each of the two pairs with the deadly network
    told = {}
    found = compare(members, data, progress=lambda stage, share, *_: told.update({stage: share}), **options)
    assert told[KNOWN] == pytest.approx(1 / 3)
    assert_same(expected, found)


@pytest.fixture(scope="module")
def pieces():
    opened, data = subjects(networks(6)), images(40)
    couples = [couple(*pair, None, data) for pair in itertools.combinations(opened, 2)]
    with Executor().opened() as carry_out:
        encodings = encoded_layers(couples, Settings(draws=1), None, carry_out, lambda *_: None)
    return Passes.of(couples, data, control=False, memory=2**31), encodings


@pytest.mark.parametrize("workers", [1, 2, 3, 50])
def test_every_pair_that_is_wanted_is_in_one_tile(pieces, workers):
    passes, encodings = pieces
    wanted = set(range(15)) - {3, 7}
    tiles = list(shared_out(passes, wanted, encodings, Executor(workers)))
    assert sorted(place for tile in tiles for place in tile.places) == sorted(wanted)
    assert {tile.passes.batch for tile in tiles} == {passes.batch}
    assert len(tiles) >= min(workers, len(wanted)) or workers == 1


def test_a_tile_holds_its_own_networks_and_no_others(pieces):
    passes, encodings = pieces
    tile = tile_of(passes, [4, 2], encodings)
    names = {name for place in (4, 2) for name in passes.couples[place].names}
    assert [each.names for each in tile.passes.couples] == [passes.couples[place].names for place in (4, 2)]
    assert {name for name, _ in tile.encodings} == names


def test_cores_are_shared_among_processes():
    cores = available_cores()
    assert executor_of(1, None).threads == torch.get_num_threads()
    assert executor_of(2 * cores, None).threads == 1
    assert executor_of(1, "tcp://somewhere:1").threads == 1
    assert os.environ["OMP_NUM_THREADS"] == "1"  # what makes the comparisons above equal bit by bit

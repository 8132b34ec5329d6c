import copy
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalign.errors import InputError
from covalign.training.population import (
    Foreign,
    is_population,
    population_from_toml,
    population_of,
)
from covalign.training.presets import preset

TEXT = """
seeds = 2
[recipe]
preset = "demo"
epochs = 3
[grid]
images = ["photos:a", "photos:b"]
labels = ["true", "permuted"]
"""


def values(**changes):
    return tomllib.loads(TEXT) | changes


def names(population) -> list[str]:
    return [each.name for each in population.trained]


def test_a_grid_is_the_product_of_its_axes_times_seeds():
    found = population_of(values())
    assert names(found) == [
        f"photos:{images}, {labels} labels, {number}"
        for images in "ab"
        for labels in ("true", "permuted")
        for number in (0, 1)
    ]
    assert found.axes == {"images": ("photos:a", "photos:b"), "labels": ("true labels", "permuted labels")}
    assert found.places["photos:b, true labels"] == {"images": "photos:b", "labels": "true labels"}
    last = found.trained[-1]
    assert last.spec == replace(
        preset("demo"), epochs=3, images="photos:b", labels="permuted", seed=last.spec.seed
    )
    assert found.conditions[last.name] == last.condition == "photos:b, permuted labels"


def test_every_network_has_a_seed_of_its_own():
    seeds = [spec.seed for spec in population_of(values(seeds=50)).specs]
    assert len(set(seeds)) == len(seeds) == 200


def test_what_is_added_changes_no_other_network():
    before = population_of(values()).trained
    grown = values(seeds=3)
    grown["grid"]["images"] = ["photos", "photos:b", "photos:a"]
    after = {each.name: each for each in population_of(grown).trained}
    assert all(after[each.name] == each for each in before)


def test_seeds_that_are_listed_are_those_of_every_condition():
    found = population_of(values(seeds=[7, 3]))
    assert [each.seed for each in found.specs] == [7, 3] * 4
    assert names(found)[:2] == ["photos:a, true labels, 7", "photos:a, true labels, 3"]


def test_an_axis_may_change_several_fields_under_a_name():
    grid = {
        "data": [{"name": "few", "images": "photos:a", "max_images": 9}, {"name": "b", "images": "photos:b"}]
    }
    few, b = population_of(values(seeds=1, grid=grid)).trained
    assert (few.condition, few.spec.max_images, b.condition, b.spec.max_images) == ("few", 9, "b", None)


def test_numbers_and_words_name_their_axis():
    grid = {"width": [0.5, 1], "form": ["joint"]}
    assert list(population_of(values(grid=grid)).places) == ["width 0.5, joint form", "width 1, joint form"]


@pytest.mark.parametrize("labels", ["permuted", "permuted labels"])
def test_an_exclusion_leaves_out_what_it_names(labels):
    found = population_of(values(exclude=[{"images": "photos:b", "labels": labels}]))
    assert list(found.places) == [
        "photos:a, true labels",
        "photos:a, permuted labels",
        "photos:b, true labels",
    ]


@given(
    st.sets(
        st.tuples(st.sampled_from(["photos:a", "photos:b"]), st.sampled_from(["true", "permuted"])),
        max_size=3,
    )
)
def test_what_is_not_excluded_is_kept(excluded):
    grid = population_of(values(exclude=[{"images": i, "labels": j} for i, j in excluded]))
    kept = {(each.spec.images, each.spec.labels) for each in grid.trained}
    everything = {(each.spec.images, each.spec.labels) for each in population_of(values()).trained}
    assert kept == everything - excluded


def test_a_foreign_network_stands_for_a_group_or_in_the_grid():
    members = [
        {"file": "models/a.safetensors", "architecture": "covalign:resnet20", "group": "published"},
        {"file": "b.onnx", "name": "b", "images": "ImageNet", "labels": "true labels"},
    ]
    found = population_of(values(member=members))
    assert found.foreign == (
        Foreign("a", "published", "models/a.safetensors", architecture="covalign:resnet20"),
        Foreign("b", "ImageNet, true labels", "b.onnx"),
    )
    assert found.places["published"] == {}
    assert found.axes["images"] == ("photos:a", "photos:b", "ImageNet")
    alone = population_of({"member": members[:1]})
    assert (alone.trained, alone.axes, alone.conditions) == ((), {}, {"a": "published"})


def test_expansion_leaves_its_values_alone():
    given_values = values(exclude=[{"images": "photos:a"}])
    before = copy.deepcopy(given_values)
    population_of(given_values)
    assert given_values == before


def test_a_population_is_told_from_a_single_training():
    assert is_population(values())
    assert is_population({"member": []})
    assert not is_population({"preset": "demo", "images": "photos:a"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[gird]\nimages = ['photos']", "population: got 'gird', expected one of .*; did you mean 'grid'"),
        ("[grid]", r"names no network; give a \[grid\]"),
        ("grid = 3", r"grid = 3, expected a table: \[grid\]"),
        ("[grid]\nimages = 'photos'", r"grid.images = 'photos', expected a list of values"),
        ("[grid]\nimages = []", r"grid.images = \[\], expected a list of values"),
        ("[grid]\nimagse = ['photos']", "grid has 'imagse', expected a field of a training; did you mean 'images'"),
        ("[grid]\nseed = [1, 2]", "expected seeds = N"),
        ("[grid]\nlabels = ['tru']", r"labels = 'tru' \(str\), expected one of .*; did you mean 'true'"),
        ("[grid]\nimages = ['photos', 'photos']", "names 'photos' twice"),
        ("[grid]\nimages = [['photos']]", r"images = \('photos',\) \(tuple\), expected str"),
        ("[grid]\ndata = [{ images = 'photos' }]", "a table without a name"),
        ("[grid]\ndata = [{ name = 'x', imags = 'photos' }]", "unknown key 'imags'.*did you mean 'images'"),
        ("[recipe]\nepoch = 3\n[grid]\nimages = ['photos']", "unknown key 'epoch'.*did you mean 'epochs'"),
        ("seeds = 0\n[grid]\nimages = ['photos']", "seeds = 0, expected how many networks"),
        ("seeds = true\n[grid]\nimages = ['photos']", "seeds = True, expected how many networks"),
        ("seeds = [1, 1]\n[grid]\nimages = ['photos']", r"seeds = \[1, 1\], expected how many networks"),
        (f"{TEXT}\n[[exclude]]\nlabel = 'true'", "exclude: got 'label', .*did you mean 'labels'"),
        (f"{TEXT}\n[[exclude]]\nlabels = 'uniform'", "exclude {'labels': 'uniform'} fits no condition"),
        (f"{TEXT}\n[[exclude]]", "fits no condition"),
        ("[grid]\nnorm = [true]\n[[exclude]]\nnorm = 1", "fits no condition"),
        ("exclude = 1\n[grid]\nnorm = [true]", r"exclude = 1, expected a list of tables"),
        ("[grid]\nnorm = [true]\n[[exclude]]\nnorm = true", "every condition is excluded"),
        ("[[member]]\ngroup = 'x'", "member 1: has no file"),
        ("[[member]]\nfile = 'x.onnx'", "member 1: expected group = ...$"),
        (f"{TEXT}\n[[member]]\nfile = 'x'\nimages = 'c'", "expected group = ..., or its place in the grid: images"),
        (f"{TEXT}\n[[member]]\nfile = 'x'\nfil = 'c'", "member 1: got 'fil', .*did you mean 'file'"),
        (f"{TEXT}\n[[member]]\nfile = 3\ngroup = 'c'", "member 1: file = 3, expected a text"),
        ("[[member]]\nfile='x'\ngroup='c'\n[[member]]\nfile='x'\ngroup='d'", "two networks are called 'x'"),
        ("[grid]\ndata = [{ name = 'x', width = 1.0 }]\nwidth = [0.5]", "'x, width 0.5' has a field on two axes"),
        (
            "[grid]\nform = [{ name = 'a, b' }, { name = 'a' }]\nhead = [{ name = 'c' }, { name = 'b, c' }]",
            "two conditions have the same name",
        ),
        (
            "[grid]\ndata = [{ name = 'set 87' }, { name = 'set 683' }]",
            "'set 87' and 'set 683' happen to draw the same seeds; name a value of one otherwise",
        ),
        ("seeds = 1000\n[grid]\nepochs = [" + ",".join(map(str, range(101))) + "]", "asks for 101000 networks"),
        ("[grid", "cannot be read as TOML"),
        ("a = " + "[" * 5000, "cannot be read as TOML"),
    ],
)  # fmt: skip
def test_a_wrong_population_is_named_with_what_was_expected(tmp_path, text, message):
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"grid\.toml: .*{message}") as error:
        population_from_toml(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"recipe": {"preset": "demo", "seed": 3}}, "recipe has 'seed', expected seeds = N"),
        ({"grid": {"width": [1, 1.0]}}, "'width 1' and 'width 1.0' are the same training; leave out one"),
        (
            {"grid": {"kind": [{"name": "a"}, {"name": "b", "epochs": 3}]}},
            "'a' and 'b' are the same training; leave out one",
        ),
        (
            {"member": [{"file": "x.pt", "group": "photos:a, true labels"}]},
            "member 1: group = 'photos:a, true labels' is a condition of the grid; say its place there",
        ),
        (
            {"exclude": [{"labels": "true"}, {"labels": "permuted"}]},
            "every condition is excluded, expected some to be left",
        ),
    ],
)
def test_what_would_be_lost_or_doubled_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        population_of(values(**changes))

from itertools import combinations

import pytest

from covalign.errors import InputError
from covalign.papers.catalogue import NAMES, exhibit
from covalign.papers.differences import differences
from covalign.papers.encodings.population import pairs, trainings
from covalign.papers.scales.laptop import LAPTOP
from covalign.papers.scales.named import SCALES, scale
from covalign.papers.scales.paper import PAPER
from covalign.papers.scales.smoke import SMOKE

EVERY = [(name, size) for name in NAMES for size in SCALES.values()]


@pytest.mark.parametrize(("name", "size"), EVERY, ids=lambda value: getattr(value, "name", value))
def test_every_exhibit_is_planned_at_every_scale(name, size):
    for training in exhibit(name).trainings(size).values():
        assert training.data in size.data
        assert training.recipe in size.recipes


@pytest.mark.parametrize("size", SCALES.values(), ids=lambda size: size.name)
def test_no_two_networks_of_the_encodings_begin_alike(size):
    trainings = exhibit("encodings-fig4").trainings(size)
    seeds = [each.spec.seed for each in trainings.values()]
    assert len(set(seeds)) == len(seeds)
    random = [each.spec.label_realization for each in trainings.values() if each.spec.labels != "true"]
    assert len(set(random)) == len(random) == size.replicates


@pytest.mark.parametrize("size", [SMOKE, LAPTOP], ids=lambda size: size.name)
def test_networks_of_true_and_random_labels_differ_in_nothing_else(size):
    one, other = size.recipes["true labels"], size.recipes["random labels"]
    for name in one.__dataclass_fields__:
        assert name == "labels" or getattr(one, name) == getattr(other, name)


def test_class_subsets_of_the_paper_are_disjoint():
    one, other = (set(PAPER.data[name].drawn) for name in ("imagenet-a", "imagenet-b"))
    assert len(one) == len(other) == 100
    assert not one & other


def test_the_paper_differs_from_itself_in_our_choices_only():
    for name in NAMES:
        assert differences(exhibit(name), PAPER) == list(exhibit(name).choices)


def test_differences_are_found_in_the_specs():
    found = differences(exhibit("encodings-fig4"), LAPTOP)
    assert "encoding: width 0.25 instead of 1.0" in found
    assert "encoding: epochs 6 instead of 90" in found
    assert any(line.startswith("imagenet-a: 40 classes") for line in found)
    assert any("left out: imagenet, cifar100, cifar5, imagenet-b" in line for line in found)


def test_an_unknown_scale_is_named_with_those_that_exist():
    with pytest.raises(InputError, match="got 'huge', expected one of smoke, laptop, paper"):
        scale("huge")


def test_an_unknown_exhibit_is_named_with_those_that_exist():
    with pytest.raises(InputError, match=r"got 'fig9', expected one of encodings-fig4"):
        exhibit("fig9")


def test_the_smoke_scale_is_minutes_of_work():
    """Bounded in images seen by trainings, which take nearly all of its time: two epochs of CIFAR-10."""
    trainings = {(each.data, each.spec) for name in NAMES for each in exhibit(name).trainings(SMOKE).values()}
    seen = 0
    for data, spec in trainings:
        count = SMOKE.data[data].count
        seen += spec.epochs * min(spec.max_images or count, count)
    assert 0 < seen <= 100_000


def test_pairs_of_a_population_never_share_initial_weights():
    for size in SCALES.values():
        specs = {label: each.spec for label, each in trainings(size).items()}
        assert all(specs[pair.a].seed != specs[pair.b].seed for pair in pairs(size))
        groups = {pair.group for pair in pairs(size)}
        assert len(groups) == len(size.encodings) + len(list(combinations(size.encodings, 2))) + 3

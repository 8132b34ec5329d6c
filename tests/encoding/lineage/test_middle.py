import pytest
import torch

from covalign.encoding.lineage.middle import corner_cosines, is_merge, middle
from samples.planted import generator


def update(seed, size=0.3):
    return [
        size * torch.randn(20, 30, generator=generator(10 * seed + k), dtype=torch.float64) for k in range(3)
    ]


def plus(*parts):
    return [sum(layers) for layers in zip(*parts, strict=True)]


BASE, ONE, TWO = update(1, 1.0), update(2), update(3)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("between", "others"),
    [
        (BASE, [plus(BASE, ONE), plus(BASE, TWO)]),
        (plus(BASE, ONE), [BASE, plus(BASE, ONE, TWO)]),
    ],
    ids=["ancestor", "link"],
)
def test_the_ancestor_of_two_and_the_link_of_a_chain_stand_in_the_middle(place, between, others):
    ordered = [*others[:place], between, *others[place:]]
    assert middle(corner_cosines(ordered)) == place


def test_a_mean_lies_on_the_line():
    a, b = plus(BASE, ONE), plus(BASE, TWO)
    mean = [(x + y) / 2 for x, y in zip(a, b, strict=True)]
    cosines = corner_cosines([a, mean, b])
    assert middle(cosines) == 1
    assert is_merge(cosines[1])
    assert not is_merge(corner_cosines([a, BASE, b])[1])


def test_three_children_of_one_parent_have_no_middle():
    assert middle(corner_cosines([plus(BASE, update(seed)) for seed in (2, 3, 4)])) is None


def test_equal_networks_have_no_angles():
    assert middle(corner_cosines([BASE, BASE, plus(BASE, ONE)])) is None

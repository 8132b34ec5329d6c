import pytest
import torch

from covalign.encoding.lineage.balance import balanced
from covalign.encoding.lineage.matching import LARGEST, match_neurons
from encoding.lineage.test_order import rows
from samples.planted import generator


@pytest.mark.parametrize("law", ["gaussian", "heavy"])
@pytest.mark.parametrize(("n", "c", "s"), [(16, 3, 9), (24, 16, 9), (40, 12, 1)])
def test_matching_independent_neurons_makes_no_small_p_values(law, n, c, s):
    draw = generator(n)
    found = [
        match_neurons(
            *(balanced(rows(law, n, c, s, draw)) for _ in "a"),
            [balanced(rows(law, n, c, s, draw))],
            draws=199,
        )
        for _ in range(60)
    ]
    for level in (0.02, 0.1, 0.3):
        below = sum(each.p_value <= level for each in found)
        assert below <= 60 * level + 3 * (60 * level * (1 - level)) ** 0.5


@pytest.mark.parametrize("cosine", [0.9, 1.0])
@pytest.mark.parametrize(("n", "c", "s"), [(16, 3, 9), (32, 16, 9), (48, 64, 1)])
def test_the_order_of_relatives_is_found(cosine, n, c, s):
    a, other = (
        torch.nn.functional.normalize(rows("gaussian", n, c, s, generator(k)).flatten(1)) for k in (1, 2)
    )
    order = torch.randperm(n, generator=generator(3))
    b = (cosine * a + (1 - cosine**2) ** 0.5 * other)[order]
    found = match_neurons(a.view(n, c, s), [b.view(n, c, s)], draws=999)
    assert found.p_value <= 0.004
    assert (order[found.order] == torch.arange(n)).double().mean() > 0.8


def test_the_right_order_of_the_inputs_is_chosen_among_candidates():
    a = balanced(rows("gaussian", 24, 8, 9, generator(0)))
    inputs = torch.randperm(8, generator=generator(1))
    b = a[torch.randperm(24, generator=generator(2))][:, inputs]
    back = inputs.argsort()
    found = match_neurons(a, [b, b[:, torch.arange(8).flip(0)], b[:, back]], draws=999)
    assert found.inputs == 2
    assert torch.equal(b[found.order][:, back], a)


def test_layers_that_are_too_small_too_large_or_zero_are_not_matched():
    small, large = torch.ones(4, 3, 9), torch.ones(LARGEST + 1, 1, 9)
    nothing = torch.zeros(8, 3, 9)
    assert all(match_neurons(each.double(), [each.double()]) is None for each in (small, large, nothing))

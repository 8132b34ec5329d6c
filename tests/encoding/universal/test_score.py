import pytest
import torch

from covalign.encoding.debiased.groups import group_similarity
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.universal.score import universality_score
from covalign.errors import InputError
from samples.planted import generator


def averages(count: int, cross: float) -> torch.Tensor:
    """U_12 of as many networks of two or three conditions in turn, noisy."""
    draws = torch.rand(count, count, generator=generator(0), dtype=torch.float64)
    same = torch.arange(count) % 2
    plain = torch.where(same[:, None] == same, 1.0, cross) + 0.2 * draws
    return (plain + plain.T) / 2


def test_of_two_conditions_is_q_with_its_interval():
    conditions = ["a", "b"] * 4
    cross = averages(8, 0.4)
    cross[0, 1] = cross[1, 0] = torch.nan
    found = universality_score(cross, conditions)
    a, b = torch.arange(0, 8, 2), torch.arange(1, 8, 2)
    expected = group_similarity(cross[a][:, b], cross[a][:, a], cross[b][:, b])
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high)
    )
    assert (found.reason, found.conditions, found.networks) == (Reason.NONE, 2, 8)


def test_is_one_where_conditions_leave_no_trace_and_zero_where_they_share_nothing():
    conditions = [name for name in "abc" for _ in range(3)]
    assert universality_score(torch.ones(9, 9).double(), conditions).value == pytest.approx(1)
    same = torch.tensor([[float(a == b) for b in conditions] for a in conditions], dtype=torch.float64)
    assert universality_score(same, conditions).value == 0


def test_three_conditions_are_averaged_by_what_each_shares_within():
    conditions = [name for name in "abc" for _ in range(3)]
    strength = {"a": 1.0, "b": 2.0, "c": 3.0}
    cross = torch.tensor([[strength[a] * strength[b] for b in conditions] for a in conditions]).double()
    found = universality_score(cross, conditions)
    assert found.value == pytest.approx(1)
    assert found.low == pytest.approx(1)


@pytest.mark.parametrize(
    ("conditions", "cross", "reason"),
    [
        (["a"] * 4, torch.ones(4, 4).double(), Reason.NO_PAIRS),
        (["a", "a", "b", "b"], torch.ones(4, 4).double(), Reason.TOO_FEW_SEEDS),
        (["a", "a", "b", "b"], -torch.ones(4, 4).double(), Reason.TOO_LITTLE_LEARNED),
    ],
)
def test_what_is_withheld_says_why(conditions, cross, reason):
    found = universality_score(cross, conditions)
    assert found.reason is reason
    assert found.low != found.low


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"expected \[m, m\]"):
        universality_score(torch.ones(2, 2).double(), ["a"])

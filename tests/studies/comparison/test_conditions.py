import math

import pandas as pd
import pytest
import torch

from covalign.encoding.debiased.groups import group_similarity
from covalign.errors import InputError
from covalign.studies.comparison.conditions import condition_table, conditions_of
from covalign.studies.comparison.measure import compare
from covalign.studies.subjects import Subject
from samples.networks import images, module, read

NAMES = ("a0", "a1", "a2", "b0", "b1", "b2")
CONDITIONS = {name: name[0] for name in NAMES}


def rows(values, **changes) -> pd.DataFrame:
    """One layer's table for all pairs of the six networks, U_12 by pair of conditions."""
    found = []
    for i, a in enumerate(NAMES):
        for b in NAMES[i + 1 :]:
            found.append(
                {"a": a, "b": b, "layer_a": "layer", "depth": 1, "debiased_cross": values[a[0] + b[0]],
                 "debiased_within_a": 2.0, "debiased_within_b": 2.0, "same_start": False, "debiased_reason": ""}
            )  # fmt: skip
    return pd.DataFrame(found).assign(**changes)


def test_conditions_that_share_half_of_what_seeds_share():
    (found,) = condition_table(rows({"aa": 1.0, "bb": 4.0, "ab": 1.0}), CONDITIONS).itertuples()
    assert (found.condition_a, found.condition_b, found.layer, found.seeds_a, found.seeds_b) == (
        *("a", "b", "layer"),
        *(3, 3),
    )
    assert found.q == pytest.approx(0.5)
    assert (found.low, found.high) == (pytest.approx(0.5), pytest.approx(0.5))
    assert (found.independence_a, found.independence_b) == (pytest.approx(0.5), pytest.approx(2.0))


def test_q_is_that_of_the_matrices():
    table = rows({"aa": 1.0, "bb": 1.0, "ab": 1.0})
    generator = torch.Generator().manual_seed(0)
    table["debiased_cross"] = torch.rand(len(table), generator=generator).tolist()
    table["debiased_cross"] += 1
    cross = {frozenset(pair): u for *pair, u in table[["a", "b", "debiased_cross"]].itertuples(index=False)}

    def matrix(first, second):
        return torch.tensor([[cross.get(frozenset((x, y)), math.nan) for y in second] for x in first])

    first, second = NAMES[:3], NAMES[3:]
    expected = group_similarity(matrix(first, second), matrix(first, first), matrix(second, second))
    (found,) = condition_table(table, CONDITIONS).itertuples()
    assert (found.q, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))


def test_networks_that_started_alike_or_match_are_never_a_pair():
    table = rows({"aa": 1.0, "bb": 1.0, "ab": 0.5})
    kin = (table["a"] == "a0") & (table["b"] == "b0")
    table.loc[kin, "debiased_cross"] = 50.0
    said = [kin.map({True: reason, False: ""}) for reason in ("related", "same_moment")]
    for mark in ({"same_start": kin}, *({"debiased_reason": reasons} for reasons in said)):
        (found,) = condition_table(table.assign(**mark), CONDITIONS).itertuples()
        assert found.q == pytest.approx(0.5)


def test_two_seeds_give_a_value_without_interval_and_say_so():
    table = rows({"aa": 1.0, "bb": 1.0, "ab": 0.5})
    few = table[~table["a"].isin(["a2"]) & ~table["b"].isin(["a2"])]
    (found,) = condition_table(few, {n: c for n, c in CONDITIONS.items() if n != "a2"}).itertuples()
    assert found.q == pytest.approx(0.5)
    assert math.isnan(found.low)
    assert found.reason == "too_few_seeds"


def test_conditions_are_given_by_order_by_name_or_by_training():
    network = read(module(), "net")
    opened = [Subject("one", network), Subject("two", network)]
    assert conditions_of(opened, None) == {}
    assert conditions_of(opened, ["x", "y"]) == {"one": "x", "two": "y"}
    assert conditions_of(opened, {"two": "y", "one": "x", "three": "z"}) == {"one": "x", "two": "y"}
    with pytest.raises(InputError, match="got 1 conditions for 2 networks"):
        conditions_of(opened, ["x"])
    with pytest.raises(InputError, match="'two' has no condition"):
        conditions_of(opened, {"one": "x"})
    with pytest.raises(InputError, match="got 'training', but 'one' is no stored run"):
        conditions_of(opened, "training")


def test_a_comparison_knows_its_conditions(tmp_path):
    networks = {f"{seed}": read(module(widths=(12, 24, 24), seed=seed)) for seed in range(4)}
    comparison = compare(networks, images(60), draws=2, calibrate=False, by=["x", "x", "y", "y"])
    assert comparison.conditions == {"0": "x", "1": "x", "2": "y", "3": "y"}
    found = comparison.by_condition
    assert list(found["depth"]) == [1, 2, 3]
    assert set(found["condition_a"]) == {"x"}
    assert "Do conditions teach the same?" in comparison.report(tmp_path / "report.html").read_text("utf-8")

import math

import pandas as pd
import pytest
import torch

from covalign.report.columns import frame
from covalign.studies.atlas.agreements import LayerAgreements
from covalign.studies.atlas.classes import axes_of, classes_of, letter
from covalign.studies.atlas.columns import AxisRow, ClassRow, ValueRow
from samples.conditions import learned

DATA, LABELS = ("one", "same as one", "other"), ("true", "random")
PLACES = {f"{data}, {labels}": {"data": data, "labels": labels} for data in DATA for labels in LABELS}


def population(seeds: int = 5, effect: float = 1.5, seed: int = 0):
    """Two data sets that teach the same and one that does not; labels that make no difference."""
    generator = torch.Generator().manual_seed(seed)
    base, other = torch.randn(2, 16, generator=generator)
    conditions = [name for name in PLACES for _ in range(seeds)]
    templates = [base + effect * other * (PLACES[name]["data"] == "other") for name in conditions]
    vectors = learned(templates, 0.7, generator)
    empty = torch.full((len(conditions), len(conditions)), torch.nan, dtype=torch.float64)
    matrix = (vectors @ vectors.T).fill_diagonal_(torch.nan)
    return [LayerAgreements("layer", 1, matrix, empty, empty[0])], conditions


def part(layer, kept):
    """The same layer of some of the networks."""
    matrices = (each[kept][:, kept] for each in (layer.agreement, layer.contained))
    return LayerAgreements(layer.layer, layer.depth, *matrices, layer.directions[kept])


def tables(layers, conditions, places=PLACES, draws=999):
    q = pd.DataFrame(
        [
            {
                "condition_a": a,
                "condition_b": b,
                "depth": 1,
                "q": 0.5 if ("other" in a) != ("other" in b) else 1.0,
            }
            for i, a in enumerate(places)
            for b in list(places)[i + 1 :]
        ]
    )
    found = classes_of(layers, axes_of(places), conditions, q, draws=draws)
    return frame(found.axes, AxisRow), frame(found.values, ValueRow), frame(found.classes, ClassRow)


def labels_of(classes, axis):
    return dict(classes[classes["axis"] == axis][["value", "label"]].itertuples(index=False))


def test_planted_classes_are_found_and_labels_that_make_no_difference_are_one():
    axes, values, classes = tables(*population())
    assert labels_of(classes, "data") == {"one": "A", "same as one": "A", "other": "B"}
    assert labels_of(classes, "labels") == {"true": "A", "random": "A"}
    by_axis = axes.set_index("axis")
    assert by_axis.loc["data", "p_value"] == by_axis.loc["data", "least"] == 0.001
    assert by_axis.loc["labels", "p_value"] > 0.05
    told = values.set_index(["value_a", "value_b"])["apart"]
    assert list(told) == [False, True, True, False]
    assert values.set_index(["value_a", "value_b"]).loc[("one", "other"), "q"] == 0.5


def test_the_level_holds_over_all_pairs_of_values():
    """Without any difference, some pair of the three data sets is told apart in a twentieth of populations."""
    wrong, times = 0, 80
    for seed in range(times):
        layers, conditions = population(effect=0.0, seed=seed)
        true = [index for index, name in enumerate(conditions) if name.endswith("true")]
        one = part(layers[0], true)
        places = {name: place for name, place in PLACES.items() if name.endswith("true")}
        _, values, _ = tables([one], [conditions[index] for index in true], places, draws=19)
        wrong += bool(values["apart"].any())
    assert wrong <= times * 0.05 + 3 * math.sqrt(times * 0.05 * 0.95)


def test_four_seeds_are_drawn_and_not_tested():
    axes, values, classes = tables(*population(seeds=4))
    assert axes["p_value"].isna().all()
    assert not values["apart"].any()
    assert set(classes["label"]) == {""}
    assert set(axes["remark"]) == {
        "fewer than two conditions of 5 networks that differ in this axis alone: drawn, not tested"
    }


def test_a_value_with_few_seeds_leaves_the_others_tested():
    layers, conditions = population()
    few = [index for index, name in enumerate(conditions) if name != "other, true" or index % 5 < 3]
    axes, values, _ = tables([part(layers[0], few)], [conditions[index] for index in few])
    by_axis = axes.set_index("axis")
    assert (
        by_axis.loc["data", "strata"],
        by_axis.loc["data", "values"],
        by_axis.loc["data", "networks"],
    ) == (2, 3, 25)
    by_pair = values.set_index(["value_a", "value_b"])
    assert by_pair.loc[("one", "same as one"), "strata"] == 2
    assert by_pair.loc[("one", "other"), "strata"] == 1
    assert by_pair.loc[("one", "other"), "least"] == pytest.approx(1 / 126)


def test_conditions_without_places_are_one_axis():
    (axis,) = axes_of({"x": {}, "y": {}})
    assert (axis.name, axis.values, axis.strata) == ("condition", ("x", "y"), ({"x": "x", "y": "y"},))


def test_an_axis_of_one_value_is_none_and_foreign_groups_have_no_place():
    places = {"a, t": {"data": "a", "labels": "t"}, "b, t": {"data": "b", "labels": "t"}, "published": {}}
    (axis,) = axes_of(places)
    assert (axis.name, axis.strata) == ("data", ({"a": "a, t", "b": "b, t"},))


def test_letters_go_on_after_z():
    assert [letter(index) for index in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]

from dataclasses import replace

import pytest
import torch

from covalign.studies.comparison.layer_map import LayerMap
from covalign.studies.comparison.layer_map_words import SCOPE, correspondence
from samples.synthetic import layer_map


@pytest.fixture
def found():
    values = torch.tensor([[0.9, 0.2, 0.1], [0.3, torch.nan, 0.5], [torch.nan] * 3], dtype=torch.float64)
    names = ("p", "q", "r")
    matched = (("p", "s"), ("q", "t"), ("q", "s"), ("r", "u"))
    return LayerMap("one", "two", names, ("s", "t", "u"), (1, 2, 4), (1, 2, 3), values, matched, 64)


def test_partners_are_the_compared_layers_that_have_a_value_beside_the_nearest(found):
    assert found.partners.to_dict("records") == [
        {
            "layer_a": "p",
            "layer_b": "s",
            "value": 0.9,
            "nearest": "s",
            "nearest_value": 0.9,
            "steps": 0,
            "columns": 3,
        },
        {
            "layer_a": "q",
            "layer_b": "s",
            "value": 0.3,
            "nearest": "u",
            "nearest_value": 0.5,
            "steps": 2,
            "columns": 2,
        },
    ]
    assert found.nearest == ((0, 0), (1, 2))
    assert found.places == ((0, 0), (1, 1), (1, 0), (2, 2))


def test_the_table_has_a_row_for_every_two_layers(found):
    table = found.table
    assert len(table) == 9
    assert table[table["compared"]][["depth_a", "depth_b"]].values.tolist() == [
        [1, 1],
        [2, 1],
        [2, 2],
        [4, 3],
    ]
    assert table["value"].notna().sum() == 5


def test_it_shows_itself_in_a_notebook(found):
    assert "values: 3x3" in repr(found)
    assert found._repr_html_().count("<rect") == 9


def test_what_is_said_is_counted():
    ours, own = layer_map("one", "two", "joint"), layer_map("one", "one", "joint", matched=False)
    said, scope = correspondence([ours, own], 1)
    assert said == (
        "In 7 of 8 layers of one, what a layer receives is most like what its counterpart in two receives, the layer "
        "that its weights are compared with; 1 would be by chance. In the other one a layer 2 places away is more "
        "alike, by 0.10. Neighbouring layers of one network are alike by 0.90 on average."
    )
    assert scope == SCOPE


def test_of_several_pairs_the_sum_is_said():
    ours = [layer_map("one", name, "joint") for name in ("two", "three")]
    assert correspondence(ours, 5)[0] == (
        "In 14 of 16 layers of the first network of 2 of 5 pairs, what a layer receives is most like what its "
        "counterpart in the second receives, the layer that its weights are compared with; 2 would be by chance. In "
        "the 2 others another layer is more alike, by 0.10 and 2.0 places away on average."
    )


def test_where_nothing_has_a_value_nothing_is_claimed(found):
    silent = replace(found, values=torch.full((3, 3), torch.nan, dtype=torch.float64))
    assert correspondence([silent], 1)[0].startswith("Not known: no two layers whose weights were compared")
    assert correspondence([layer_map("one", "one", "joint", matched=False)], 1)[0].startswith("Not known")

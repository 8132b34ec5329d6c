import pytest
import torch

from covalign.studies.atlas.agreements import layer_agreements
from samples.conditions import comparison, learned


@pytest.mark.parametrize(
    "kin", [{"same_start": True}, {"debiased_reason": "related"}, {"debiased_reason": "same_moment"}]
)
def test_copies_and_networks_of_one_start_are_no_pair(kin):
    names = ["a0", "a1", "a2"]
    vectors = learned(torch.eye(3), 0.1, torch.Generator().manual_seed(0))
    found = comparison(dict.fromkeys(names, "a"), [vectors])
    rows = (found.table["a"] == "a0") & (found.table["b"] == "a2")
    for column, value in kin.items():
        found.table.loc[rows, column] = value
    (layer,) = layer_agreements(found.table, found.curves, names)
    assert layer.agreement.isnan().tolist() == [
        [True, False, True],
        [False, True, False],
        [True, False, True],
    ]

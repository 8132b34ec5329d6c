import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from covalign.errors import InputError
from covalign.studies.comparison.layers import layer_statistics
from covalign.studies.comparison.measure import compare
from samples.networks import module, read


def test_statistics_of_layers_are_those_that_a_comparison_gives():
    networks = {"one": read(module(seed=1)), "other": read(module(seed=2))}
    alone = layer_statistics(networks)
    whole = compare(networks, None).layers
    assert list(alone.columns) == list(whole.columns)
    both = alone.merge(whole, on=["network", "layer"])
    assert len(both) == len(whole)
    for name in set(whole.columns) - {"network", "layer"}:
        pd.testing.assert_series_equal(
            both[f"{name}_x"], both[f"{name}_y"], check_names=False, rtol=1e-9, atol=1e-9
        )


def test_a_weight_file_alone_has_statistics_of_all_its_layers(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3))
    save_file(network.state_dict(), tmp_path / "net.safetensors")
    table = layer_statistics([tmp_path / "net.safetensors"])
    assert list(table["layer"]) == ["0", "2"]
    assert list(table["d"]) == [27, 144]
    largest = torch.linalg.matrix_norm(network[2].weight.detach().double().flatten(1), 2).square() / 32
    assert table["largest"][1] * table["init_variance"][1] == pytest.approx(float(largest), rel=1e-9)


def test_what_cannot_be_read_is_refused():
    with pytest.raises(InputError, match="no such file"):
        layer_statistics(["nowhere.safetensors"])

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from covalign.encoding.spatial import matched_cosines, spatial_covariance, subspace_overlap
from covalign.errors import InputError
from covalign.networks.filters import analytic_filters
from covalign.networks.network import Network
from covalign.studies.spatial.bank import filter_bank
from covalign.studies.spatial.measure import spatial_summary
from samples.networks import module, read
from samples.planted import generator


@pytest.fixture(scope="module")
def pair():
    return {seed: read(module("joint", widths=(8, 12, 12), seed=seed), f"net {seed}") for seed in (0, 1)}


@pytest.fixture(scope="module")
def summary(pair):
    return spatial_summary(list(pair.values()), provenance={"command": "test"})


def test_every_layer_meets_every_other_once_at_every_rank(summary):
    assert len(summary.layers) == 6
    assert list(summary.layers["depth"]) == [1, 2, 3] * 2
    assert len(summary.table) == 3 * 15
    assert set(summary.table["rank"]) == {3, 5, 6}
    assert summary.table["beyond_first"].sum() == 3 * 6


def test_numbers_are_those_of_the_single_measures(pair, summary):
    row = summary.table[(summary.table["depth_a"] == 2) & (summary.table["rank"] == 5)].iloc[0]
    a, b = (
        spatial_covariance(pair[int(network[-1])].layer(layer).weight)
        for network, layer in ((row["a"], row["layer_a"]), (row["b"], row["layer_b"]))
    )
    cosines = matched_cosines(a, b, 5)
    assert row["overlap"] == subspace_overlap(a, b, 5)
    assert (row["cosine"], row["lowest_cosine"]) == (float(cosines.mean()), float(cosines.min()))
    assert row["chance"] == 5 / 9


def test_shares_are_of_the_whole_variance(summary):
    shares = summary.layers[[f"share_{rank}" for rank in range(1, 10)]]
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)


def test_layers_of_one_pattern_share_everything():
    bank = analytic_filters().filters

    def smooth(seed):
        layers = nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU(), nn.Conv2d(20, 30, 3))
        for layer in layers[::2]:
            weights = torch.randn(*layer.weight.shape[:2], 5, generator=generator(seed))
            layer.weight.data = torch.einsum("oif,fhw->oihw", weights, bank)
        return read(layers, str(seed))

    table = spatial_summary([smooth(0), smooth(1)]).table
    np.testing.assert_allclose(table["overlap"][table["rank"] == 5], 1)
    assert (table["overlap"][table["rank"] == 3] < 1).all()


def test_kernels_of_unequal_size_are_not_compared_and_1x1_kernels_are_named():
    network = nn.Sequential(
        nn.Conv2d(3, 8, 5), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, (1, 3))
    )
    nn.init.zeros_(network[1].weight)
    summary = spatial_summary([read(network)])
    assert list(summary.layers["kernel"]) == ["5x5", "1x3"]
    assert summary.table.empty
    assert list(summary.table.columns)[:3] == ["a", "layer_a", "depth_a"]
    assert dict(summary.skipped["net"]) == {
        "1": "all its kernels are zero, or it was not chosen",
        "2": "no space: its kernels are 1x1",
    }


def test_initial_weights_hide_patterns_until_they_are_subtracted():
    """Two updates of the analytic filters, each on white noise ten times as large."""
    bank = analytic_filters().filters

    def trained(seed, initial_seed):
        network = read(nn.Sequential(nn.Conv2d(3, 20, 3), nn.ReLU(), nn.Conv2d(20, 30, 3)), str(seed))
        layers = []
        for layer in network.layers:
            shape = layer.weight.shape
            start = torch.randn(shape, generator=generator(initial_seed))
            update = torch.einsum(
                "oif,fhw->oihw", torch.randn(*shape[:2], 5, generator=generator(seed)), bank
            )
            layers.append(dataclasses.replace(layer, weight=start + 0.1 * update, initial=start))
        return dataclasses.replace(network, layers=tuple(layers))

    pair = [trained(0, 10), trained(1, 11)]
    raw, update = (spatial_summary(pair, subtract_initial=subtract) for subtract in (False, True))
    assert set(raw.layers["of"]) == {"weights"}
    assert set(update.layers["of"]) == {"update"}
    five = raw.table["rank"] == 5
    assert raw.table["overlap"][five].mean() < 0.8
    np.testing.assert_allclose(update.table["overlap"][five], 1, atol=1e-4)
    twins = spatial_summary([trained(0, 10), trained(1, 10)], ["2"]).table
    assert twins["overlap"].mean() > 0.9
    untrained = dataclasses.replace(pair[0].layers[0], weight=pair[0].layers[0].initial)
    with pytest.raises(InputError, match="that are not zero"):
        spatial_summary([Network("new", (untrained,))], subtract_initial=True)


def test_it_is_kept_on_disk(summary, tmp_path):
    folder = summary.save(tmp_path / "out")
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "table.parquet"), summary.table)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "layers.parquet"), summary.layers)
    assert list(pd.read_csv(folder / "table.csv").columns) == list(summary.table.columns)
    document = json.loads((folder / "results.json").read_text())
    assert (document["schema_version"], document["kind"]) == (2, "spatial")
    assert len(document["spatial"]["$pairs"]) == len(document["layers"]) == 6
    tensors = load_file(folder / "tensors.safetensors")
    assert torch.equal(tensors["spatial/5/eigenvectors"], list(summary.spatial.values())[5].eigenvectors)


def test_bare_weight_files_are_enough(tmp_path, summary):
    for seed in (0, 1):
        save_file(
            module("joint", widths=(8, 12, 12), seed=seed).state_dict(), tmp_path / f"{seed}.safetensors"
        )
    bare = spatial_summary([tmp_path / "0.safetensors", tmp_path / "1.safetensors"])
    np.testing.assert_allclose(bare.table["overlap"], summary.table["overlap"])


def test_published_networks_use_the_same_patterns(shared):
    files = [shared / "models/cifar10-resnets" / f"resnet{depth}.safetensors" for depth in (20, 56)]
    if not all(file.is_file() for file in files):
        pytest.skip("no published networks beside the repository")
    table = spatial_summary(files).table
    rows = table[(table["rank"] == 5) & table["beyond_first"]]
    assert rows["overlap"].mean() > 5 / 9 + 0.1


def test_a_bank_of_joint_networks_keeps_its_filters_at_other_sizes(pair):
    weights = {net.name: [layer.weight for layer in net.layers[:-1]] for net in pair.values()}
    bank = filter_bank(weights)
    assert bank.filters.shape == (5, 3, 3)
    assert bank.provenance["layers"] == 4
    for size in (5, 7):
        resized = bank.resize(size)
        assert resized.filters.shape == (5, size, size)
        torch.testing.assert_close(resized.filters.flatten(1).norm(dim=1), torch.ones(5))
        assert resized.provenance["resized_from"] == 3
    again = analytic_filters().resize(5).resize(3).filters.flatten(1)
    assert float((again * analytic_filters().filters.flatten(1)).sum(1).abs().min()) > 0.8


def test_what_has_no_patterns_is_named(pair):
    with pytest.raises(InputError, match="got no network"):
        spatial_summary([])
    with pytest.raises(InputError, match="no layer of flat has kernels larger than 1x1"):
        spatial_summary(
            [Network("flat", read(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))).layers)]
        )
    with pytest.raises(InputError, match="no layer 'elsewhere'"):
        spatial_summary([pair[0]], ["elsewhere"])

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from covalign.encoding.update import MEASURES
from covalign.errors import InputError
from covalign.networks.architectures.resnet import resnet, resnet20, resnet56
from covalign.networks.architectures.vgg import vgg11
from covalign.networks.network import Network
from covalign.networks.readers.bare import read_bare
from covalign.networks.readers.torch_file import WeightFile
from covalign.studies.difference.measure import REFERRED, diff
from covalign.studies.subjects import load_network


def network(seed=0):
    torch.manual_seed(seed)
    return vgg11("joint", width=0.15)


def perturbed(module, sizes, seed=1):
    """Return a copy whose named layers changed by noise of the given relative size."""
    copy = vgg11("joint", width=0.15, classes=len(module.head.weight))
    copy.load_state_dict(module.state_dict())
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, size in sizes.items():
            weight = copy.get_parameter(f"{name}.weight")
            noise = torch.randn(weight.shape, generator=generator)
            weight += size * weight.norm() * noise / noise.norm()
    return copy


def permuted(module):
    """Return the same function, hidden channels renamed throughout."""
    copy = perturbed(module, {})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        order = None
        for stage in copy.stages:
            weight = stage.convolution.weight
            weight.copy_(weight if order is None else weight[:, order])
            order = torch.randperm(len(weight), generator=generator)
            weight.copy_(weight[order])
            for value in (stage.norm.running_mean, stage.norm.running_var):
                value.copy_(value[order])
        copy.head.weight.copy_(copy.head.weight[:, order])
    return copy


SIZES = {"stages.1.convolution": 0.01, "stages.3.convolution": 0.3, "stages.5.convolution": 0.1, "head": 0.03}


def test_planted_changes_come_out_at_their_size_and_the_rest_at_exactly_zero():
    base = network()
    table = diff(base, perturbed(base, SIZES), draws=2).table.set_index("layer")
    for name, change in table["relative_change"].items():
        assert change == pytest.approx(SIZES.get(name, 0), rel=1e-4, abs=0)
    frozen = table.loc["stages.0.convolution"]
    assert all(frozen[name] == 0 for name in MEASURES if name != "inside")
    assert frozen["reason"] == "unchanged"


@pytest.mark.slow
def test_independent_noise_is_within_what_random_turns_give():
    base = network()
    table = diff(base, perturbed(base, dict.fromkeys(SIZES, 0.1)), draws=20).table.set_index("layer")
    for name in ("stages.3.convolution", "stages.5.convolution"):
        row = table.loc[name]
        for measure in ("rescaling", "rotation", "channel_change", "update_effective_rank"):
            width = row[f"{measure}_high"] - row[f"{measure}_low"]
            assert row[f"{measure}_low"] - width < row[measure] < row[f"{measure}_high"] + width


@pytest.mark.slow
def test_an_update_along_one_direction_stands_out_from_its_reference():
    base = network()
    other = perturbed(base, {})
    weight = other.get_parameter("stages.5.convolution.weight")
    with torch.no_grad():
        pattern = torch.outer(torch.randn(len(weight)), weight.flatten(1)[0])
        weight += (0.1 * weight.norm() * pattern / pattern.norm()).view_as(weight)
    row = diff(base, other).table.set_index("layer").loc["stages.5.convolution"]
    assert row["update_effective_rank"] == pytest.approx(1, abs=0.01)
    assert row["update_effective_rank_low"] > 10


def test_a_permuted_copy_is_the_same_function_and_no_relative():
    base = network().eval()
    copy = permuted(base).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(copy(x), base(x), atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match="VGG and copy do not share a basis: in 0 of 9 layers"):
        diff(base, load_network(copy, name="copy"))


def test_independent_networks_are_refused_with_advice():
    with pytest.raises(InputError, match="cannot be subtracted: use compare with images"):
        diff(network(0), network(1))


def test_networks_without_a_common_layer_are_refused_with_advice():
    with pytest.raises(InputError, match=r"no layer of equal name and shape.*: use compare with images"):
        diff(network(), nn.Sequential(nn.Conv2d(3, 8, 5)))


def test_networks_too_small_to_tell_are_refused():
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    with pytest.raises(InputError, match="fewer than 6 channels"):
        diff(small, small)


def test_a_replaced_readout_is_said_to_be_one():
    base = network()
    other = perturbed(base, SIZES)
    other.head = nn.Linear(other.head.in_features, 7, bias=False)
    row = diff(base, other, draws=2).table.set_index("layer").loc["head"]
    assert row["reason"] == "VGG (other) has no layer of this name and shape"
    assert pd.isna(row["relative_change"])


def test_a_layer_trained_anew_is_said_not_to_correspond():
    base = network()
    other = perturbed(base, {})
    nn.init.normal_(other.get_parameter("stages.6.convolution.weight"))
    row = diff(base, other, draws=2).table.set_index("layer").loc["stages.6.convolution"]
    assert not row["shares_basis"]
    assert row["reason"].startswith("replaced or permuted")


def test_layers_with_other_names_correspond_by_order():
    class Renamed(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.elsewhere = inner

        def forward(self, x):
            return self.elsewhere(x)

    base = network()
    table = diff(base, Renamed(perturbed(base, SIZES)), draws=2).table.set_index("layer")
    assert table.loc["head", "relative_change"] == pytest.approx(0.03, rel=1e-4)


@pytest.mark.slow
def test_a_replicate_gives_the_spread_from_seed_to_seed():
    """Two updates with a common part: their cosine is its share, and the spread is the rest."""
    base = network()
    common = perturbed(base, {"stages.5.convolution": 0.2})
    seeds = [perturbed(common, {"stages.5.convolution": 0.1}, seed) for seed in (2, 3)]
    row = (
        diff(base, seeds[0], replicate=seeds[1], draws=2).table.set_index("layer").loc["stages.5.convolution"]
    )
    assert row["relative_change_spread"] == pytest.approx(0.1, rel=0.1)
    assert row["update_cosine"] == pytest.approx(0.8, abs=0.05)
    assert all(row[f"{name}_spread"] >= 0 for name in ("rotation", "rescaling", "channel_change"))


@pytest.mark.slow
def test_independent_updates_have_a_spread_as_large_as_themselves():
    base = network()
    seeds = [perturbed(base, {"stages.5.convolution": 0.1}, seed) for seed in (2, 3)]
    row = (
        diff(base, seeds[0], replicate=seeds[1], draws=2).table.set_index("layer").loc["stages.5.convolution"]
    )
    assert row["relative_change"] / row["relative_change_spread"] == pytest.approx(1, rel=0.05)
    assert abs(row["update_cosine"]) < 0.1


def test_a_replicate_of_something_else_is_refused():
    base = network()
    with pytest.raises(InputError, match="do not share a basis"):
        diff(base, perturbed(base, SIZES), replicate=network(5))


@pytest.mark.slow
def test_every_measure_has_its_reference_and_its_range():
    base = network()
    table = diff(base, perturbed(base, SIZES), draws=2).table
    for name in REFERRED:
        assert {name, f"{name}_reference", f"{name}_low", f"{name}_high"} <= set(table.columns)
    assert {"learned_rank", "rank_rule", "correlation", "correlation_shuffled", "shares_basis"} <= set(table)


@pytest.mark.slow
def test_the_largest_change_is_a_number_for_exit_codes():
    base = network()
    assert diff(base, perturbed(base, SIZES), draws=2).largest_change == pytest.approx(0.3, rel=1e-4)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table():
    base = network()
    one, two = (diff(base, perturbed(base, SIZES), draws=2, seed=4).table for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.slow
def test_results_are_written_as_tables_and_json(tmp_path):
    base = network()
    other = perturbed(base, SIZES)
    other.head = nn.Linear(other.head.in_features, 7, bias=False)
    found = diff(base, load_network(other, name="other"), draws=2)
    folder = found.save(tmp_path / "out")
    document = json.loads((folder / "results.json").read_text())
    assert (document["kind"], document["base"], document["other"]) == ("difference", "VGG", "other")
    assert document["table"][-1]["relative_change"] is None
    assert document["provenance"]["seed"] == 0
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "table.parquet"), found.table)
    assert (folder / "table.csv").read_text().startswith("layer,kind,neurons,d,relative_change")


def test_chosen_layers_are_measured_alone():
    base = network()
    table = diff(base, perturbed(base, SIZES), layers=["head", "stages.3.convolution"], draws=2).table
    assert list(table["layer"]) == ["head", "stages.3.convolution"]
    with pytest.raises(InputError, match="has no layer 'absent'"):
        diff(base, base, layers=["absent"])


def test_progress_is_told():
    told = []
    base = network()
    diff(base, base, layers=["head"], draws=2, progress=lambda *stage: told.append(stage))
    assert told == [("layers", 1.0)]


def test_one_draw_has_no_range():
    with pytest.raises(InputError, match="got 1 draws, expected at least 2"):
        diff(network(), network(), draws=1)


def test_networks_of_one_family_and_different_depth_are_no_relatives():
    torch.manual_seed(0)
    with pytest.raises(InputError, match=r"in [01] of \d+ layers"):
        diff(resnet20(), resnet(32))


@pytest.mark.shared
def test_the_two_published_resnets_are_no_relatives(shared):
    folder = shared / "models" / "cifar10-resnets"
    with pytest.raises(InputError, match="resnet20 and resnet56 do not share a basis: in 0 of 20 layers"):
        diff(folder / "resnet20.safetensors", folder / "resnet56.safetensors")
    with pytest.raises(InputError, match="use compare with images"):
        diff(load_network(folder / "resnet20.safetensors", resnet20()),
             load_network(folder / "resnet56.safetensors", resnet56()))  # fmt: skip


def test_one_shared_name_does_not_leave_out_the_layers_with_other_names():
    torch.manual_seed(0)
    base = {f"layers.{index}.weight": torch.randn(16, 16) for index in range(12)}
    base = {"stem.weight": torch.randn(16, 3, 4, 4), **base}
    changed = {name.replace("layers", "blocks"): 1.1 * weight for name, weight in base.items()}
    networks = [bare(weights) for weights in (base, changed)]
    table = diff(*networks, draws=2).table
    assert table["relative_change"].round(6).tolist() == [0.1] * 13


def test_a_folded_batch_norm_is_said_to_change_lengths_alone():
    torch.manual_seed(0)
    weight, scale = torch.randn(16, 3, 3, 3), torch.rand(16) + 0.5
    norm = {"bn.weight": scale, "bn.bias": scale, "bn.running_mean": scale, "bn.running_var": scale}
    base = bare({"conv.weight": weight, **norm, "fc.weight": torch.randn(8, 16)})
    folded = {"conv.weight": weight * scale[:, None, None, None], "fc.weight": base.layers[1].matrix.float()}
    first, second = diff(base, bare(folded), draws=2).table["reason"]
    assert first.startswith("every neuron kept its direction and changed its length alone")
    assert second == "unchanged"
    tuned = {name: each + 0.01 * torch.randn(each.shape) for name, each in folded.items()}
    reasons = diff(base, bare(tuned), draws=2).table["reason"]
    assert all(reason.startswith("one file has batch norms, the other none") for reason in reasons)
    assert not any(diff(base, bare({**base_weights(base), **norm}), draws=2).table["reason"] != "unchanged")


def base_weights(network):
    return {f"{layer.name}.weight": layer.weight.squeeze(-1).squeeze(-1) for layer in network.layers}


def bare(weights):
    reading = read_bare(WeightFile(Path("net.pt"), weights, ordered=True))
    return Network("net", reading.layers, reading.skipped)

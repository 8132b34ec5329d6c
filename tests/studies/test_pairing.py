import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from covalign.errors import InputError
from covalign.networks.architectures.resnet import resnet
from covalign.networks.network import Network
from covalign.networks.readers.opening import read_network
from covalign.studies.pairing import How, Match, match_layers
from covalign.studies.structure import hidden_layers
from samples.architectures import Residual, plain
from samples.networks import module, read


def names(pairs):
    return [(match.layer_a.name, match.layer_b.name) for match in pairs]


@pytest.fixture(scope="module")
def net():
    return read(module())


def test_networks_of_one_architecture_correspond_layer_by_layer(net):
    other = read(module(widths=(4, 12, 9)))
    expected = [f"stages.{index}.pointwise" for index in range(3)]
    found = match_layers(net, other)
    assert names(found) == [(name, name) for name in expected]
    assert {(match.how, match.candidates) for match in found} == {(How.NAMES, 1)}


def test_the_readout_is_left_out_unless_it_is_named(net):
    assert [layer.name for layer in net.layers][-1] == "head"
    assert "head" not in [layer.name for layer in hidden_layers(net)]
    assert names(match_layers(net, net, {"head": "head"})) == [("head", "head")]


def test_a_single_linear_layer_is_no_readout():
    only = Network("one", read(nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))).layers)
    assert len(hidden_layers(only)) == 1


def test_names_choose_and_pairs_choose_freely(net):
    assert names(match_layers(net, net, ["stages.1.pointwise"])) == [
        ("stages.1.pointwise", "stages.1.pointwise")
    ]
    crossed = [("stages.0.pointwise", "stages.2.pointwise"), ("stages.0.pointwise", "stages.1.pointwise")]
    assert names(match_layers(net, net, crossed)) == crossed
    assert names(match_layers(net, net, dict(crossed[1:]))) == crossed[1:]
    assert {match.how for match in match_layers(net, net, crossed)} == {How.CHOSEN}


def test_published_resnets_of_unequal_depth_meet_block_by_block():
    short, long = read(resnet(20)), read(resnet(32))
    found = match_layers(short, long)
    assert len(found) == len(hidden_layers(short))
    for match in found:
        left, right = match.layer_a.name.split("."), match.layer_b.name.split(".")
        assert (left[0], left[2:]) == (right[0], right[2:]), "stage and place within the block"
        assert match.layer_a.stride == match.layer_b.stride
    assert {name: other for name, other in names(found) if name.startswith("layer2")} == {
        f"layer2.{block}.conv{place}": f"layer2.{other}.conv{place}"
        for block, other in ((0, 0), (1, 1), (2, 4))
        for place in (1, 2)
    }
    assert names(match_layers(long, short)) == [(right, left) for left, right in names(found)]


CIFAR, IMAGENET = (8, 16, 32), (8, 16, 32, 64)
OTHER = {"roles": ("first", "second"), "stage": "part{}", "shortcut": "skip"}
"""Names that say nothing to who knows the usual ones."""

PAIRS = {
    "20 and 32": (Residual((3, 3, 3), CIFAR), Residual((5, 5, 5), CIFAR, seed=1)),
    "20 and 32 without shortcut weights": (
        Residual((3, 3, 3), CIFAR, project=False),
        Residual((5, 5, 5), CIFAR, project=False, seed=1),
    ),
    "20 and 32 under other names": (Residual((3, 3, 3), CIFAR), Residual((5, 5, 5), CIFAR, seed=1, **OTHER)),
    "20 and 56, wider": (Residual((3, 3, 3), CIFAR), Residual((9, 9, 9), (12, 24, 48), seed=1)),
    "20 wider, under other names": (
        Residual((3, 3, 3), CIFAR),
        Residual((3, 3, 3), (12, 24, 48), seed=1, **OTHER),
    ),
    "18 and 34": (
        Residual((2, 2, 2, 2), IMAGENET, imagenet=True),
        Residual((3, 4, 6, 3), IMAGENET, imagenet=True, seed=1),
    ),
    "50 and 101": (
        Residual((3, 4, 6, 3), IMAGENET, imagenet=True, roles=("conv1", "conv2", "conv3")),
        Residual((3, 4, 23, 3), IMAGENET, imagenet=True, roles=("conv1", "conv2", "conv3"), seed=1),
    ),
    "50 and 101 under other names": (
        Residual((3, 4, 6, 3), IMAGENET, imagenet=True, roles=("conv1", "conv2", "conv3")),
        Residual((3, 4, 23, 3), IMAGENET, imagenet=True, roles=("a", "b", "c"), stage="part{}", seed=1),
    ),
}


def weight_file(made: nn.Module, path: Path) -> Network:
    torch.save(made.state_dict(), path)
    return read_network(path)


def graph(made: nn.Module, path: Path) -> Network:
    pytest.importorskip("onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        torch.onnx.export(
            made.eval(),
            (torch.zeros(1, 3, 64, 64),),
            path,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": [0, 2, 3]},
        )
    return read_network(path)


ENDINGS = {"module": "", "file": ".pth", "graph": ".onnx"}


def renamed(found: list[Match], one: Network, other: Network, a: nn.Module, b: nn.Module) -> list[Match]:
    """Pairs under the names of the modules; exporters rename layers, but keep their order."""

    def known(network: Network, made: nn.Module) -> dict[str, str]:
        order = [layer.name for layer in read(made).layers]
        same = {layer.name for layer in network.layers} == set(order)
        return {layer.name: layer.name if same else order[i] for i, layer in enumerate(network.layers)}

    names_a, names_b = known(one, a), known(other, b)
    return [
        match._replace(
            layer_a=replace(match.layer_a, name=names_a[match.layer_a.name]),
            layer_b=replace(match.layer_b, name=names_b[match.layer_b.name]),
        )
        for match in found
    ]


def misplaced(found: list[Match], a: Residual, b: Residual) -> list[Match]:
    """Pairs whose stage or role differs, and blocks that are not whole or out of order."""
    wrong = []
    blocks: dict[tuple[int, int], tuple[int, int]] = {}
    for match in found:
        stage, block, role = a.truth[match.layer_a.name]
        other_stage, other_block, other_role = b.truth[match.layer_b.name]
        met = blocks.setdefault((stage, block), (other_stage, other_block))
        if (stage, role) != (other_stage, other_role) or met != (other_stage, other_block):
            wrong.append(match)
    in_order = [blocks[each] for each in sorted(blocks)]
    assert in_order == sorted(in_order)
    return wrong


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("kind", ["module", "file", "graph"])
def test_residual_networks_meet_block_by_block_whatever_they_are_read_from(kind, pair, tmp_path):
    a, b = PAIRS[pair]
    one, other = (
        {"module": lambda made, _: read(made), "file": weight_file, "graph": graph}[kind](made, path)
        for made, path in zip((a, b), (tmp_path / f"{side}{ENDINGS[kind]}" for side in "ab"), strict=True)
    )
    found = renamed(match_layers(one, other, resolution=64), one, other, a, b)
    assert misplaced(found, a, b) == []
    fewer = sum(min(depths) for depths in zip(a.depths, b.depths, strict=True))
    kinds = [role for _, _, role in a.truth.values()]
    assert len(found) == 1 + fewer * len(set(kinds) - {"stem", "short"}) + kinds.count("short")


def test_how_sure_a_pair_is_counts_what_the_evidence_leaves_open():
    a, b = PAIRS["20 and 32"]
    sure = {match.layer_a.name: (match.how, match.candidates) for match in match_layers(read(a), read(b))}
    assert sure["stem"] == (How.ROLES, 1)
    assert sure["layer2.0.conv1"] == (How.ROLES, 1), "the only block with a stride"
    assert sure["layer2.1.conv2"] == (How.ROLES, 3), "blocks 1 and 2 of 3 among blocks 1 to 4 of 5"
    a, b = PAIRS["20 and 32 under other names"]
    assert {match.how for match in match_layers(read(a), read(b))} == {How.ROLES, How.BLOCKS}


VGG11 = ((8,), (16,), (32, 32), (64, 64), (64, 64))
VGG16 = ((8, 8), (16, 16), (32, 32, 32), (64, 64, 64), (64, 64, 64))


@pytest.mark.parametrize(
    ("short", "long"),
    [(VGG11, VGG16), (VGG11, tuple(tuple(2 * w for w in stage) for stage in VGG16)), (VGG11[:3], VGG16[:3])],
    ids=["11 and 16", "11 and 16, wider", "cut"],
)
def test_plain_networks_meet_within_stages_first_with_first_and_last_with_last(short, long):
    (a, truth_a), (b, truth_b) = plain(short), plain(long, seed=1)
    found = match_layers(read(a), read(b))
    assert len(found) == len(truth_a)
    for match in found:
        stage, place, _ = truth_a[match.layer_a.name]
        other_stage, other_place, _ = truth_b[match.layer_b.name]
        assert stage == other_stage
        last = place == len(short[stage]) - 1 > 0
        assert other_place == (len(long[stage]) - 1 if last else 0)
    back = match_layers(read(b), read(a))
    assert sorted(names(back)) == sorted((right, left) for left, right in names(found))


def test_wider_weight_files_of_plain_networks_meet_by_width(tmp_path):
    (a, truth), (b, _) = plain(VGG11), plain(tuple(tuple(2 * w for w in stage) for stage in VGG11), seed=1)
    found = match_layers(weight_file(a, tmp_path / "a.pth"), weight_file(b, tmp_path / "b.pth"))
    assert names(found) == [(name, name) for name in truth]


def test_blocks_of_another_kind_meet_by_kernel_within_their_stage():
    a = Residual((2, 2, 2), CIFAR)
    b = Residual((2, 2, 2), (32, 64, 128), roles=("conv1", "conv2", "conv3"), seed=1)
    found = [match for match in match_layers(read(a), read(b)) if match.layer_a.weight.shape[2] == 3]
    assert {b.truth[match.layer_b.name][2] for match in found[1:]} == {"two"}
    assert all(a.truth[m.layer_a.name][0] == b.truth[m.layer_b.name][0] for m in found)
    assert {match.how for match in found[1:]} <= {How.STRIDES, How.KERNELS}


def test_what_cannot_be_paired_is_named(net):
    with pytest.raises(InputError, match="no layer 'elsewhere'"):
        match_layers(net, net, ["elsewhere"])
    with pytest.raises(InputError, match="no layers of equal kind, kernel size and stage"):
        match_layers(net, read(module("joint")))
    with pytest.raises(InputError, match="pair layers by name"):
        match_layers(net, net, [])

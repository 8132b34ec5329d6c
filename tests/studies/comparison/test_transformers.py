"""What no output of a transformer shows, no comparison shows either."""

import pytest
import torch
from torch import nn

from covalign.data.images import Images
from covalign.encoding.debiased.estimate import debiased_similarity
from covalign.networks.readers.opening import read_network
from covalign.networks.stream import fold_token_norms
from covalign.studies.comparison.measure import align, compare
from covalign.studies.pairing import match_layers
from covalign.studies.streaming import Link, fit_alignments
from covalign.studies.subjects import open_subject
from samples.transformers import SAME_FUNCTION, learned

WRITERS = ("patch_embed", "blocks.0.attn.proj", "blocks.0.mlp.fc2")


def read(module):
    return read_network(module, normalization="cifar")


def noise(count=120, side=16):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.zeros(count, dtype=torch.int64), ("noise",), "noise", "all")


@pytest.mark.parametrize("change", list(SAME_FUNCTION))
@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_the_changes_change_no_output(norm, change):
    module = learned(norm)
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(SAME_FUNCTION[change](module)(x), module(x))


@pytest.mark.parametrize("change", list(SAME_FUNCTION))
@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_a_network_of_the_same_function_reads_1_at_every_reader_of_the_stream(norm, change):
    module = learned(norm, depth=1)
    a, b = (fold_token_norms(read(each)) for each in (module, SAME_FUNCTION[change](module)))
    alignments = align(a, b, noise())
    for name, found in alignments.items():
        assert found.correlation == pytest.approx(1, abs=1e-4)
        rotated = change == "heads rotated" and "qkv" in name
        if (change == "stream rotated" and name in WRITERS) or rotated or name == "patch_embed":
            continue  # its neurons are rotated, or it is a convolution: see the table below
        same = debiased_similarity(a.layer(name).matrix, b.layer(name).matrix, found.rotation)
        assert same.value == pytest.approx(1, abs=1e-4), name
        assert same.reason == "related"


@pytest.mark.parametrize("change", ["stream rotated", "heads rotated"])
def test_the_table_of_a_comparison_says_1_even_where_neurons_are_rotated(change):
    module = learned(nn.RMSNorm, depth=1)
    found = compare(
        [read(module), read(SAME_FUNCTION[change](module))], noise(), draws=2, calibrate=False
    ).table
    assert len(found) == 7
    assert found["debiased"].tolist() == pytest.approx([1] * 7, abs=1e-4)
    assert set(found["debiased_reason"]) == {"related", "same_moment"}
    rotated = found[found["debiased_reason"] == "same_moment"]["layer_a"].tolist()
    assert rotated == (
        list(WRITERS) if change == "stream rotated" else [f"blocks.0.attn.qkv.{r}" for r in "qkv"]
    )


def test_without_folding_gains_hide_that_networks_are_the_same():
    module = learned(nn.RMSNorm, depth=1)
    copy = SAME_FUNCTION["stream rotated"](module)
    a, b = read(module), read(copy)
    links = {match.layer_a.name: Link(a, match.layer_a, b, match.layer_b) for match in match_layers(a, b)}
    (unfolded,) = fit_alignments([links["blocks.0.mlp.fc1"]], noise())
    assert unfolded.alignment.correlation < 0.99
    assert align(a, b, noise())["blocks.0.mlp.fc1"].correlation > 0.9999


def test_a_subject_can_be_had_as_its_layers_read():
    found = open_subject(learned(depth=1), name="one").as_read
    assert (found.name, found.network.details["token_norms"]) == ("one", "folded")


def test_another_network_reads_less_and_has_an_interval():
    a, b = read(learned(depth=1)), read(learned(depth=1, seed=3))
    row = (
        compare([a, b], noise(), draws=2, calibrate=False).table.set_index("layer_a").loc["blocks.0.mlp.fc1"]
    )
    assert row["d"] == 15
    assert row["debiased_low"] < row["debiased"] < row["debiased_high"]
    assert row["debiased"] < 0.5


def test_transformers_of_other_depth_are_paired_by_what_their_layers_do():
    matches = match_layers(read_network(learned(depth=2).float()), read_network(learned(depth=3).float()))
    assert {(m.layer_a.name, m.layer_b.name) for m in matches} >= {
        ("patch_embed", "patch_embed"),
        ("blocks.0.attn.qkv.q", "blocks.0.attn.qkv.q"),
        ("blocks.1.attn.qkv.v", "blocks.2.attn.qkv.v"),
        ("blocks.1.attn.proj", "blocks.2.attn.proj"),
        ("blocks.1.mlp.fc2", "blocks.2.mlp.fc2"),
    }
    ends = [(m.layer_a.name.split(".")[2:], m.layer_b.name.split(".")[2:]) for m in matches]
    assert all(one == other for one, other in ends)


def test_other_numbers_of_patches_are_averaged_over_the_tokens():
    a, b = read(learned(depth=1)), read(learned(depth=1, seed=3, side=32))
    found = align(a, b, noise(60, 32), ["blocks.0.mlp.fc1"])["blocks.0.mlp.fc1"]
    assert found.samples == 48  # one token an image, every fifth held out
    assert found.rotation.shape == (15, 15)

import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from covalign.encoding.alignment import Alignment
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.debiased.space import space_similarity
from covalign.encoding.reasons import Reason
from covalign.encoding.similarity import reference_levels
from covalign.errors import InputError
from covalign.studies.comparison.columns import PairRow
from covalign.studies.comparison.measure import align, compare
from covalign.studies.subjects import load_network
from samples.networks import images, module, noisy, permuted, read, slot_order
from samples.planted import generator, orthonormal, spiked

DESIGN = """
    a, b, layer_a, layer_b, form, d, neurons_a, neurons_b, kept_a, kept_b, effective_rank_a, effective_rank_b,
    bulk_ok, alignment_correlation, cosine, chance, ceiling, similarity, similarity_reversed, calibrated, low, high,
    p_value, reason"""
MORE = ["depth", "unaligned", "shuffled", "reason_codes"]
DEBIASED = """
    debiased, debiased_low, debiased_high, debiased_z, debiased_unaligned, debiased_shuffled, debiased_centred,
    debiased_without_top, coverage, debiased_reason"""
WIDTHS = (12, 24, 24)


@pytest.fixture(scope="module")
def twins():
    """A network and its copy with shuffled channels, compared."""
    original = module(widths=WIDTHS)
    twin, _ = permuted(original, seed=3)
    return compare({"net": read(original), "twin": read(twin)}, images(150), draws=3)


def test_the_table_has_the_columns_of_the_design(twins):
    names = [*re.findall(r"\w+", DESIGN), *MORE, *re.findall(r"\w+", DEBIASED)]
    assert set(names) <= set(twins.table.columns)
    assert list(twins.table.columns) == [field.name for field in dataclasses.fields(PairRow)]
    assert list(twins.table["layer_a"]) == [f"stages.{index}.pointwise" for index in range(3)]
    assert list(twins.table["depth"]) == [1, 2, 3]
    assert set(twins.layers["network"]) == {"net", "twin"}
    assert len(twins.layers) == 6


def test_a_copy_with_shuffled_channels_has_the_same_weights(twins):
    np.testing.assert_allclose(twins.table["cosine"], 1, atol=1e-5)
    assert list(twins.table["kept_a"]) == list(twins.table["kept_b"])
    assert (twins.table["similarity"] > 0.9).all()
    assert twins.table["reason"].str.contains("same weights").all()
    np.testing.assert_allclose(twins.table["calibrated"], 1, atol=1e-5)


def test_only_the_right_alignment_reveals_it(twins):
    hidden = twins.table[twins.table["depth"] > 1]
    assert (hidden["unaligned"].abs() < 0.35).all()
    assert (hidden["shuffled"] < hidden["similarity"] - 0.3).all()
    first = twins.table.iloc[0]
    assert first["unaligned"] == pytest.approx((first["similarity"] + first["similarity_reversed"]) / 2)
    assert math.isnan(first["shuffled"])


def test_maps_of_a_copy_are_the_identity(twins):
    cosines = twins.cosine_maps["net", "twin", "stages.1.pointwise"]
    kept = int(twins.table["kept_a"][1])
    np.testing.assert_allclose(cosines[:kept, :kept], np.eye(kept), atol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("narrow_first", [True, False])
def test_a_narrower_network_is_carried_into_the_wider(narrow_first):
    wide, narrow = read(module(widths=(16, 24)), "wide"), read(module(widths=(8, 24), seed=5), "narrow")
    pair = (narrow, wide) if narrow_first else (wide, narrow)
    table = compare(pair, images(150), draws=3, calibrate=False).table
    assert list(table["d"]) == [30, 160]
    own = compare((narrow, narrow), images(150), draws=3, calibrate=False, controls=False).table
    kept = table["kept_a" if narrow_first else "kept_b"]
    assert list(kept) == list(own["kept_a"])
    assert table["similarity"].notna().all()


def test_carrying_into_more_dimensions_adds_no_noise():
    c = weight_covariance(spiked(40, 60, 6, 4.0, seed=0))
    carried = c.rotate(Alignment(orthonormal(200, 60, seed=1)))
    assert (carried.dimension, carried.noise_dimension) == (200, 60)
    assert torch.equal(carried.shrink().eigenvalues, c.shrink().eigenvalues)
    ours, theirs = (reference_levels(each, draws=40) for each in (carried, c))
    assert ours.ceiling == theirs.ceiling
    assert ours.chance < theirs.chance
    again = carried.rotate(Alignment(orthonormal(300, 200, seed=2)))
    assert again.noise_dimension == 60


@pytest.mark.slow
def test_joint_convolutions_are_rotated_on_channels_alone():
    original = module("joint", widths=WIDTHS)
    twin, orders = permuted(original, seed=3)
    a, b = read(original, "a"), read(twin, "b")
    rotation = align(a, b, images(150))["stages.1.convolution"].rotation
    torch.testing.assert_close(rotation, torch.eye(12, dtype=torch.float64)[orders[0]], atol=1e-3, rtol=0)
    result = compare([a, b], images(150), draws=3, calibrate=False)
    np.testing.assert_allclose(result.table["cosine"], 1, atol=1e-5)
    assert list(result.table["d"]) == [27, 108, 216]
    expected = [
        space_similarity(one.matrix, other.matrix, 9).value
        for one, other in zip(a.layers[:3], b.layers[:3], strict=True)
    ]
    np.testing.assert_allclose(result.table["debiased_space"], expected, rtol=1e-9)
    assert result.spatial["a", "stages.0.convolution"].kernel_size == (3, 3)


def test_alignments_are_given_by_layer_and_their_control_on_request():
    original = module()
    twin, orders = permuted(original, seed=3)
    fitted = align(original_net := read(original), read(twin, "b"), images(100), ["stages.1.pointwise"])
    control = align(original_net, read(twin, "b"), images(100), ["stages.1.pointwise"], shuffled=True)
    assert list(fitted) == ["stages.1.pointwise"]
    expected = torch.eye(60, dtype=torch.float64)[slot_order(orders[0], 10)]
    torch.testing.assert_close(fitted["stages.1.pointwise"].rotation, expected, atol=1e-3, rtol=0)
    assert float((control["stages.1.pointwise"].rotation - expected).norm()) > 1


def test_an_unknown_initializer_is_replaced_by_the_bulk():
    pair = [read(noisy(True, seed), str(seed)) for seed in (0, 1)]
    row = compare(pair, images(60), ["2"], draws=3, calibrate=False).table.iloc[0]
    assert row["bulk_ok"]
    assert (row["kept_a"], row["kept_b"]) == (3, 3)
    assert np.isfinite(row["similarity"])
    assert Reason.DESCRIPTIVE.code not in row["reason_codes"]


def test_controls_of_a_withheld_value_are_withheld_too():
    pair = [read(module(widths=WIDTHS, seed=seed, spikes=0), str(seed)) for seed in (1, 2)]
    table = compare(pair, images(150), draws=3, calibrate=False).table
    withheld = table[table["debiased"].isna()]
    assert len(withheld) > 0
    assert withheld["debiased_slots"].isna().all()


def test_without_a_bulk_only_a_description_is_given():
    pair = [read(noisy(False, seed), str(seed)) for seed in (0, 1)]
    row = compare(pair, images(60), ["2"], draws=3).table.iloc[0]
    assert not row["bulk_ok"]
    assert Reason.DESCRIPTIVE.code in row["reason_codes"]
    assert 0 < row["chance"] < 1
    assert 0 < row["cosine"] <= 1
    assert row[["similarity", "similarity_reversed", "calibrated", "low", "high", "p_value"]].isna().all()


def test_a_bare_weight_file_is_described_and_not_aligned(tmp_path):
    network = module("joint")
    path = tmp_path / "net.safetensors"
    save_file(network.state_dict(), path)
    result = compare({"file": load_network(path), "net": read(network)}, images(30), draws=3)
    assert result.table["cosine"].isna().all()
    assert result.table["reason"].str.contains("bare weight file").all()
    assert result.spectra["file", "stages.1.convolution"].shape == (8,)
    assert ("file", "stages.1.convolution") in result.spatial


def test_without_images_first_layers_alone_are_compared():
    table = compare(
        [read(module(widths=(16, 16))), read(module(widths=(16, 16), seed=1))], None, draws=3
    ).table
    assert np.isfinite(table["cosine"][0])
    assert "no images were given" in table["reason"][1]


@pytest.mark.slow
def test_untrained_networks_say_that_nothing_was_learned():
    pair = [read(module(widths=(16, 32), spikes=0, seed=seed), str(seed)) for seed in (0, 5)]
    table = compare(pair, images(60), draws=3, calibrate=False).table
    assert table["similarity"].isna().all()
    assert table["reason"].str.contains("nothing learned").all()


def test_grouped_convolutions_are_not_compared_and_say_why():
    def grouped(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return nn.Sequential(
                nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=4), nn.ReLU(), nn.Conv2d(8, 2, 1)
            )

    table = compare([read(grouped(0), "0"), read(grouped(1), "1")], images(30), draws=2).table
    assert "grouped convolution" in table.set_index("layer_a").loc["2", "reason"]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table_and_another_seed_other_draws():
    pair = [read(module(seed=seed), str(seed)) for seed in (0, 5)]
    one, same, other = (
        compare(pair, images(60), draws=2, seed=seed, max_images=40, calibrate=False, controls=False).table
        for seed in (1, 1, 2)
    )
    assert one.equals(same)
    assert not one["chance"].equals(other["chance"])


def test_names_are_unique_and_provenance_tells_the_images():
    net = read(module())
    result = compare(
        [net, net, net], images(40), ["stages.1.pointwise"], draws=2, controls=False, calibrate=False
    )
    pairs = list(zip(result.table["a"], result.table["b"], strict=True))
    assert pairs == [("net", "net (2)"), ("net", "net (3)"), ("net (2)", "net (3)")]
    assert result.provenance["images"]["count"] == 40


def test_progress_reaches_the_end_of_every_stage():
    told: dict[str, list[float]] = {}
    net = read(module())
    compare(
        [net, net],
        images(40),
        draws=2,
        calibrate=False,
        progress=lambda stage, done: told.setdefault(stage, []).append(done),
    )
    assert list(told) == ["weight covariances", "alignments", "similarities", "layer maps"]
    assert all(shares[-1] == 1 for shares in told.values())


def test_what_cannot_be_compared_is_named():
    net = read(module())
    with pytest.raises(InputError, match="got 1 network, expected at least two"):
        compare([net], images(10))
    nothing_known = dataclasses.replace(net, normalization=None)
    with pytest.raises(InputError, match="state --normalization"):
        compare([net, nothing_known], images(20))
    with pytest.raises(InputError, match="cannot run on images of 3x1x1"):
        compare([read(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 3)))] * 2, images(20, side=1))


def test_equal_neurons_scaled_by_a_constant_change_nothing_but_the_scale():
    w = torch.randn(8, 20, generator=generator(0), dtype=torch.float64)
    one, other = weight_covariance(w, 0.1), weight_covariance(3 * w, 0.9)
    torch.testing.assert_close(one.eigenvalues, other.eigenvalues)


def test_pruned_and_dead_layers_are_described_with_their_reason():
    pruned, dead = noisy(bulk=True), noisy(bulk=True, seed=1)
    with torch.no_grad():
        for part in pruned.modules():
            if isinstance(part, nn.Conv2d):
                part.weight[1:] = part.weight[:1]
        for part in dead.modules():
            if isinstance(part, nn.Conv2d):
                part.weight.zero_()
    normalized = {
        name: load_network(net, name=name, normalization="none")
        for name, net in (("pruned", pruned), ("dead", dead))
    }
    table = compare(normalized, images(40), draws=2, controls=False).table
    assert table["reason"].str.contains("all weights are zero").any()
    again = {**normalized, "dead": load_network(noisy(bulk=True, seed=2), name="c", normalization="none")}
    table = compare(again, images(40), draws=2, controls=False).table
    assert table["reason"].str.contains("no noise to measure").any()

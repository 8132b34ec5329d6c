import copy
from dataclasses import replace

import pytest
import torch

from covalign.encoding.reasons import Reason
from covalign.errors import InputError
from covalign.networks.filters import FilterBank, analytic_filters
from covalign.studies.comparison.measure import align, compare
from covalign.studies.coordinates import known_rotation, slot_permutation
from covalign.studies.difference.measure import diff
from covalign.studies.subjects import load_network
from samples.networks import images, module, read

ORDER = torch.tensor([3, 0, 4, 1, 2])
SIGNS = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])


def reordered() -> FilterBank:
    """The analytic filters in another order, two of them with the other sign."""
    return FilterBank(analytic_filters().filters[ORDER] * SIGNS[:, None, None], {})


def turned() -> FilterBank:
    """Other filters that span the same space."""
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator)).Q
    return FilterBank(torch.einsum("ij,jkl->ikl", rotation, analytic_filters().filters), {})


def slots_in_order() -> torch.Tensor:
    """Where each slot of the reordered bank stands in the analytic one."""
    signs = torch.cat([SIGNS, -SIGNS])
    return torch.cat([ORDER, ORDER]) + 5 * (signs < 0)


@torch.no_grad()
def with_bank(original, bank: FilterBank):
    """The same function with its bank listed in another order."""
    other = copy.deepcopy(original)
    for stage in other.stages:
        channels = stage.depthwise.in_channels
        stage.depthwise.weight.copy_(bank.signed.repeat(channels, 1, 1)[:, None])
        slots = torch.cat([slots_in_order() + 10 * channel for channel in range(channels)])
        stage.pointwise.weight.copy_(stage.pointwise.weight[:, slots])
        for values in (stage.norm.running_mean, stage.norm.running_var):
            values.copy_(values[slots].clone())
    return other


@pytest.fixture(scope="module")
def original():
    return module(widths=(12, 24, 24))


@pytest.mark.slow
def test_a_reordered_bank_is_the_same_function(original):
    x = torch.randn(4, 3, 8, 8)
    torch.testing.assert_close(with_bank(original, reordered())(x), original(x), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_the_same_function_with_its_bank_in_another_order_has_the_same_weights(original):
    other = with_bank(original, reordered())
    table = compare({"a": read(original), "b": read(other)}, images(150), draws=3).table
    assert table["reason_codes"].map(lambda codes: Reason.SAME_WEIGHTS.code in codes).all()
    matched = table["reason_codes"].map(lambda codes: Reason.MATCHED_FILTERS.code in codes)
    assert list(matched) == [True, False, False]
    assert table["cosine"].min() > 1 - 1e-5
    assert table["unaligned"][0] < 0.9
    assert "slots matched one to one" in table["reason"][0]


def test_equal_banks_share_their_coordinates(original):
    a, b = read(original), read(module(widths=(12, 24, 24), seed=9))
    rotation, remarks = known_rotation(a, a.layers[0], b, b.layers[0])
    assert torch.equal(rotation, torch.eye(30, dtype=torch.float64))
    assert not remarks
    assert known_rotation(a, a.layers[1], b, b.layers[1]) == (None, ())


@pytest.mark.slow
def test_different_banks_are_aligned_on_images_and_say_so(original):
    other = copy.deepcopy(original)
    with torch.no_grad():
        for stage in other.stages:
            stage.depthwise.weight.copy_(turned().signed.repeat(stage.depthwise.in_channels, 1, 1)[:, None])
    a, b = read(original, "a"), read(other, "b")
    first = next(iter(align(a, b, images(100)).values()))
    assert first.fitted
    row = compare([a, b], images(100), draws=3).table.iloc[0]
    assert Reason.OTHER_FILTERS.code in row["reason_codes"]
    unaligned = compare([a, b], None, draws=3).table.iloc[0]
    assert Reason.NOT_ALIGNED.code in unaligned["reason_codes"]


def test_other_normalizations_share_nothing(original):
    a = read(original)
    b = replace(a, normalization=replace(a.normalization, mean=(0.1,)))
    rotation, remarks = known_rotation(a, a.layers[0], b, b.layers[0])
    assert rotation is None
    assert [remark.reason for remark in remarks] == [Reason.OTHER_NORMALIZATION]


def test_slots_are_matched_by_filter_and_sign():
    found = slot_permutation(analytic_filters(), reordered())
    carried = found @ analytic_filters().signed.double().flatten(1)
    torch.testing.assert_close(carried, reordered().signed.double().flatten(1))
    assert torch.equal(found.sum(0), torch.ones(10, dtype=torch.float64))
    assert slot_permutation(analytic_filters(), turned()) is None
    assert slot_permutation(analytic_filters(), FilterBank(analytic_filters().filters[:4], {})) is None


def test_a_bank_that_lists_a_filter_twice_is_matched_place_by_place():
    twice = FilterBank(analytic_filters().filters[[0, 0, 1, 2, 3]], {})
    apart = FilterBank(analytic_filters().filters[[0, 1, 0, 2, 3]], {})
    assert torch.equal(slot_permutation(twice, twice), torch.eye(10, dtype=torch.float64))
    found = slot_permutation(twice, apart)
    torch.testing.assert_close(found @ twice.signed.double().flatten(1), apart.signed.double().flatten(1))


def test_filters_of_another_length_are_other_filters():
    bank = analytic_filters()
    assert slot_permutation(bank, FilterBank(2 * bank.filters, {})) is None


class Wrapped(torch.nn.Module):
    def __init__(self, inside):
        super().__init__()
        self.inside = inside

    def forward(self, x):
        return self.inside(x)


def test_frozen_filters_count_inside_a_wrapper_too(original):
    names = {"a": read(Wrapped(original)), "b": read(Wrapped(with_bank(original, reordered())))}
    assert [layer.form for layer in names["a"].layers][:2] == ["factorized", "factorized"]
    first = compare(names, images(100), draws=2, calibrate=False).table.iloc[0]
    assert {Reason.SAME_WEIGHTS.code, Reason.MATCHED_FILTERS.code} <= set(first["reason_codes"])
    beside = compare({"a": names["a"], "b": read(original)}, images(100), draws=2, calibrate=False).table
    assert beside["reason_codes"].map(lambda codes: Reason.SAME_WEIGHTS.code in codes).all()


def test_the_row_says_why_first_layers_were_aligned_on_images(original):
    a = read(original)
    fewer = read(module(widths=(12, 24, 24)))
    few = FilterBank(analytic_filters().filters[:3], {})
    _, remarks = known_rotation(a, a.layers[0], replace(fewer, filters=few), fewer.layers[0])
    assert [remark.reason for remark in remarks] == [Reason.OTHER_FILTERS]


def test_networks_know_their_frozen_filters(original):
    assert read(original).filters.fingerprint == analytic_filters().fingerprint
    assert read(module("joint")).filters is None


def test_networks_behind_different_filters_are_not_subtracted(original):
    other = copy.deepcopy(original)
    with torch.no_grad():
        for stage in other.stages:
            stage.depthwise.weight.copy_(turned().signed.repeat(stage.depthwise.in_channels, 1, 1)[:, None])
    with pytest.raises(InputError, match="frozen filters are other filters, expected the same bank"):
        diff(read(original, "a"), read(other, "b"), draws=2)
    with pytest.raises(InputError, match="stand in another order or with other signs"):
        diff(read(original, "a"), read(with_bank(original, reordered()), "b"), draws=2)


class Attention(torch.nn.Module):
    """Attention of a stated number of heads, which no weight shows."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.num_heads, self.qkv, self.proj = heads, torch.nn.Linear(8, 24), torch.nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).movedim(-3, 0).transpose(-2, -3)
        return self.proj((torch.softmax(q @ k.mT, -1) @ v).transpose(-2, -3).flatten(-2))


class Patches(torch.nn.Module):
    """Attention over patches of an image."""

    def __init__(self, heads: int = 2, patch: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.attn = torch.nn.Conv2d(3, 8, patch, patch), Attention(heads)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attn(self.embed(x).flatten(2).mT).mean(1))


def codes(one, other, layer):
    networks = {name: load_network(net, normalization="none") for name, net in (("a", one), ("b", other))}
    table = compare(networks, images(), [(layer, layer)], calibrate=False, controls=False).table
    return set(table["reason_codes"].iloc[0])


def test_equal_weights_of_other_heads_are_said_to_be():
    four = Patches(heads=4)
    four.load_state_dict((two := Patches()).state_dict())
    assert {Reason.SAME_WEIGHTS.code, Reason.OTHER_HEADS.code} <= codes(two, four, "attn.qkv.q")
    assert Reason.OTHER_HEADS.code not in codes(two, copy.deepcopy(two), "attn.qkv.q")


def test_an_alignment_on_means_over_positions_is_said_to_be_one():
    assert Reason.MEAN_POSITIONS.code in codes(Patches(), Patches(patch=2), "attn.qkv.v")
    assert Reason.MEAN_POSITIONS.code not in codes(Patches(), Patches(), "attn.qkv.v")

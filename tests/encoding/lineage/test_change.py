import pytest
import torch

from covalign.encoding.lineage.change import Kind, measure_change, measure_equality
from samples.planted import generator


def layer(seed=0, shape=(16, 8, 9)):
    return torch.randn(shape, generator=generator(seed)).double()


def pruned(weight, share=0.5):
    return weight * (weight.abs() > weight.abs().flatten().kthvalue(int(share * weight.numel())).values)


def eight_bits(weight):
    step = weight.abs().amax((1, 2), keepdim=True) / 127
    return (weight / step).round() * step


def few_levels(weight):
    step = (weight.max() - weight.min()) / 255
    return (weight / step).round() * step + 0.01


def low_rank(weight):
    update = layer(1, (16, 2, 1))[..., 0] @ layer(2, (2, 72, 1))[..., 0]
    return weight + 0.1 * update.view_as(weight)


def scaled(weight):
    rows, columns = (torch.rand(k, generator=generator(k), dtype=torch.float64) + 0.1 for k in (16, 8))
    return weight * rows[:, None, None] * columns[:, None]


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (lambda w: w.clone(), Kind.SAME),
        (lambda w: w.half().double(), Kind.ROUNDED),
        (lambda w: w.bfloat16().double(), Kind.ROUNDED),
        (scaled, Kind.RESCALED),
        (pruned, Kind.PRUNED),
        (lambda w: scaled(pruned(w, 0.9)), Kind.PRUNED),
        (lambda w: pruned(w) + 0.01 * (pruned(w) != 0) * layer(5), Kind.PRUNED_TRAINED),
        (eight_bits, Kind.QUANTIZED),
        (few_levels, Kind.QUANTIZED),
        (low_rank, Kind.LOW_RANK),
        (lambda w: w + 0.1 * layer(3), Kind.TRAINED),
    ],
)
def test_the_kind_of_a_change_is_read_off_the_numbers_in_either_direction(made, kind):
    base = layer()
    assert measure_change(base, made(base)).kind is kind
    assert measure_change(made(base), base).kind is kind


def test_sizes_ranks_and_zeros_are_those_that_were_planted():
    base = layer()
    noise = layer(3)
    change = measure_change(base, base + 0.1 * base.norm() * noise / noise.norm())
    assert change.size == pytest.approx(0.1, rel=0.15)  # scales of neurons and channels absorb a part
    assert measure_change(base, low_rank(base)).rank == 2
    assert measure_change(base, pruned(base)).zeros_b == pytest.approx(0.5, abs=0.01)
    assert measure_change(base, scaled(base)).size < 1e-5


def test_a_layer_that_became_zero_has_changed_by_all_of_it():
    assert measure_change(layer(), torch.zeros(16, 8, 9, dtype=torch.float64)).size == 1


def test_neurons_that_were_turned_over_by_a_negative_scale_are_equal():
    base = layer()
    signs = torch.randn(16, 1, 1, generator=generator(4), dtype=torch.float64)
    assert measure_change(base, scaled(base) * signs).kind is Kind.RESCALED
    assert measure_equality(base, scaled(base) * signs) is not None
    assert measure_equality(base, base + 0.1 * layer(3)) is None


@pytest.mark.parametrize(("rank", "found"), [(5, 5), (24, 0)])
def test_ranks_are_low_up_to_a_third_of_all_directions(rank, found):
    update = layer(1, (60, rank, 1))[..., 0] @ layer(2, (rank, 72, 1))[..., 0]
    base = layer(0, (60, 8, 9))
    assert measure_change(base, base + 0.01 * update.view_as(base)).rank == found

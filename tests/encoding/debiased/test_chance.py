import math

import pytest
import torch

from covalign.encoding.debiased import chance
from covalign.encoding.debiased.estimate import debiased_similarity
from samples import pairs as reference
from samples.planted import draw, generator, power_law, turned


def rotations(dimension, count, seed):
    gaussian = torch.randn(count, dimension, dimension, generator=generator(seed), dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    return q * r.diagonal(dim1=1, dim2=2).sign()[:, None]


def moment(rows):
    return rows.T @ rows / len(rows)


def crossed(first, second, turns):
    """<P S_1, O P S_2 O^T> of dense matrices for many rotations O."""
    return torch.einsum("bij,jk,blk,il->b", turns, second, turns, first)


def test_plain_variance_and_skewness_are_exact_over_10000_rotations():
    rows = [reference.unit(draw(7, power_law(7, 5, 1.5), seed)) for seed in (0, 1)]
    first, second = (moment(each) - torch.eye(5) / 5 for each in rows)
    values = crossed(first, second, rotations(5, 10_000, 0))
    energies = [float(each.square().sum()) for each in (first, second)]
    variance = chance.plain_variance(*energies, 5)
    assert float(values.mean()) == pytest.approx(0, abs=3 * math.sqrt(variance / 10_000))
    assert float(values.var()) == pytest.approx(variance, rel=0.05)
    skewness = float((values**3).mean()) / variance**1.5
    assert chance.plain_skewness(*rows, *energies) == pytest.approx(skewness, abs=0.1)


def test_skewness_of_two_single_directions_is_that_of_a_beta_variable():
    d = 9
    single = torch.eye(d).double()[:1]
    a, b = 0.5, (d - 1) / 2
    beta = 2 * (b - a) * math.sqrt(a + b + 1) / ((a + b + 2) * math.sqrt(a * b))
    assert chance.plain_skewness(single, single, 1 - 1 / d, 1 - 1 / d) == pytest.approx(beta, rel=1e-12)


def test_tail_is_normal_without_skewness_and_chi_square_for_single_directions():
    assert chance.upper_tail(1.6448536) == pytest.approx(0.05, abs=1e-7)
    assert chance.upper_tail(1.6448536, 1e-4) == pytest.approx(0.05, abs=1e-5)
    quantile = (3.841459 - 1) / math.sqrt(2)
    assert chance.upper_tail(quantile, math.sqrt(8)) == pytest.approx(0.05, abs=1e-6)
    assert chance.upper_tail(quantile, -math.sqrt(8)) < 0.05
    assert math.isnan(chance.upper_tail(math.nan))


@pytest.mark.parametrize(("n", "c", "s"), [(3, 5, 2), (9, 5, 2), (4, 3, 4), (3, 2, 2)])
def test_joint_variance_is_exact_over_10000_rotations_of_channels(n, c, s):
    blocks = [reference.unit(draw(n, power_law(n, c * s), seed)).reshape(n, c, s) for seed in (0, 1)]
    first, second = (
        torch.stack([reference.joint(row, s) for row in each.flatten(1)]).mean(0).reshape(c, s, c, s)
        for each in blocks
    )
    turns = rotations(c, 10_000, 1)
    carried = torch.einsum("nij,jakb->niakb", turns, second)
    values = torch.einsum("niakb,nlk,ialb->n", carried, turns, first)
    variance = chance.joint_variance(*blocks)
    assert float(values.mean()) == pytest.approx(0, abs=3 * math.sqrt(variance / 10_000))
    assert float(values.var()) == pytest.approx(variance, rel=0.06)


def test_three_ways_to_the_joint_variance_agree():
    few, many = (torch.randn(n, 4, 3, generator=generator(n), dtype=torch.float64) for n in (3, 9))
    expected = chance.joint_variance(few, many)
    parts = [chance.parts_by_channel(each) for each in (few, many)]
    products = [float((a.T @ b).square().sum()) for a, b in zip(*parts, strict=True)]
    assert expected == pytest.approx(2 * products[0] / (3 * 6) + 2 * products[1] / 12, rel=1e-12)


def test_memory_blocks_of_the_joint_variance_change_nothing(monkeypatch):
    few = [torch.randn(4, 6, 3, generator=generator(n), dtype=torch.float64) for n in (3, 9)]
    expected = chance.joint_variance(*few)
    monkeypatch.setattr(chance, "BLOCK", 10)
    assert chance.joint_variance(*few) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [3, 9])
def test_slot_variance_is_exact_over_10000_rotations_of_each_slot(n):
    c, s = 4, 3
    blocks = [reference.unit(draw(n, power_law(n, c * s), seed)).reshape(n, c, s) for seed in (0, 1)]
    first, second = (
        torch.stack([reference.slotted(row, s) for row in each.flatten(1)]).mean(0).reshape(c, s, c, s)
        for each in blocks
    )
    turns = torch.stack([rotations(c, 10_000, slot) for slot in range(s)], 1)
    carried = torch.einsum("naij,jakb->niakb", turns, second)
    values = torch.einsum("niakb,nblk,ialb->n", carried, turns, first)
    assert float(values.var()) == pytest.approx(chance.slot_variance(*blocks), rel=0.06)


@pytest.mark.slow
def test_z_is_standard_over_orientations_even_where_neurons_depend_on_each_other():
    rows = draw(12, power_law(12, 8, 1.5), 0)
    rows = torch.cat([rows, rows + 0.1 * draw(12, torch.ones(8), 1)])
    other = torch.linalg.qr(draw(8, torch.ones(8), 2)).Q[:6] * 3 + 0.1
    found = [debiased_similarity(rows, turned(other, seed)).z for seed in range(250)]
    values = torch.tensor(found)
    assert float(values.mean()) == pytest.approx(0, abs=0.2)
    assert float(values.std()) == pytest.approx(1, abs=0.12)


@pytest.mark.slow
def test_p_values_of_a_dominating_direction_are_uniform():
    variances = torch.ones(12).double()
    variances[0] = 200
    rows, other = draw(10, variances, 0), draw(10, variances, 1)
    found = torch.tensor([debiased_similarity(rows, turned(other, seed)).p_value for seed in range(250)])
    assert 0.03 <= float((found <= 0.05).double().mean()) <= 0.08
    assert float((found <= 0.01).double().mean()) <= 0.025

import math
from dataclasses import replace

import pytest
import torch

from covalign.encoding.calibration.estimate import (
    MISFIT,
    calibrated_similarity,
    classical_calibration,
    corrected_eigenvector_cosines,
)
from covalign.encoding.calibration.independence import shared_noise
from covalign.encoding.calibration.simulation import Simulation
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.reasons import Reason, Remark
from covalign.errors import InputError
from samples.planted import generator, neurons, orthonormal, spiked


def pair(n=64, d=320, strength=3.0, shared=16, seed=0, rank=16):
    """Two layers whose populations share their first directions."""
    frame = orthonormal(d, 2 * rank - shared, seed=seed)
    spikes = strength * (d / n) ** 0.5 * torch.linspace(3, 1, rank, dtype=torch.float64)
    order = torch.randperm(rank, generator=generator(seed))
    second = torch.cat([frame[:, :shared], frame[:, rank:]], 1)
    return (
        weight_covariance(neurons(n, frame[:, :rank], spikes[order], 2 * seed + 100)),
        weight_covariance(neurons(n, second, spikes[order], 2 * seed + 101)),
    )


@pytest.mark.slow
def test_populations_that_agree_are_at_one():
    values = [calibrated_similarity(*pair(seed=seed)).value for seed in range(8)]
    assert sum(values) / 8 == pytest.approx(1, abs=0.05)


def test_the_error_follows_the_simulated_one_from_agreement_to_agreement():
    draws = generator(3)
    truth = torch.rand(4000, generator=draws, dtype=torch.float64)
    spread = (0.004 + 0.04 * truth * (1 - truth)).sqrt()
    statistics = torch.randn(4000, 3, generator=draws, dtype=torch.float64)
    statistics[:, 0] = truth + spread * statistics[:, 0]
    simulated = Simulation(statistics, truth, 1.0)
    for level in (0.0, 0.25, 0.5, 0.9):
        value, error = classical_calibration(
            simulated, torch.tensor([[level, 0.0, 0.0]], dtype=torch.float64)
        )
        assert value == pytest.approx(level, abs=0.03)
        assert error == pytest.approx((0.004 + 0.04 * level * (1 - level)) ** 0.5, rel=0.25)


def test_few_simulations_make_the_error_larger():
    truth = torch.linspace(0, 1, 12, dtype=torch.float64)
    noise = torch.randn(12, 3, generator=generator(5), dtype=torch.float64)
    simulated = Simulation(truth[:, None] + 0.1 * noise, truth, 1.0)
    twice = Simulation(simulated.statistics.repeat(2, 1), truth.repeat(2), 1.0)
    observed = torch.full((1, 3), 0.5, dtype=torch.float64)
    ratio = classical_calibration(simulated, observed)[1] / classical_calibration(twice, observed)[1]
    assert ratio == pytest.approx(math.sqrt(18 / 6 / (30 / 18)), rel=1e-6)


@pytest.mark.slow
def test_unrelated_populations_are_at_zero():
    found = []
    for seed in range(8):
        first, _ = pair(seed=seed)
        _, second = pair(seed=seed + 50)
        found.append(calibrated_similarity(first, second))
    assert sum(c.value for c in found) / 8 == pytest.approx(0, abs=0.03)
    assert sum(c.low <= 0 <= c.high for c in found) >= 6
    assert min(c.value for c in found) < 0
    assert sum(c.p_value <= 0.05 for c in found) <= 2


@pytest.mark.slow
def test_half_of_the_directions_in_common_is_about_one_half():
    values = [calibrated_similarity(*pair(shared=8, seed=seed)).value for seed in range(8)]
    assert sum(values) / 8 == pytest.approx(0.44, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d", "strength"), [(64, 64, 2.0), (64, 64, 8.0), (48, 480, 3.0)])
def test_intervals_reach_the_truth(n, d, strength):
    found = [calibrated_similarity(*pair(n, d, strength, rank=8, shared=8, seed=seed)) for seed in range(8)]
    assert sum(c.low <= 1 <= c.high for c in found) >= 6
    assert all(c.p_value == pytest.approx(1 / 201) for c in found)
    assert all(c.detectable for c in found)
    assert sum(c.reason == "" for c in found) >= 7


def raised(level: float, seed: int):
    """A pair of equal populations whose noise is `level` times the unit."""
    basis = orthonormal(640, 12, seed)
    spikes = torch.linspace(40, 12, 12, dtype=torch.float64)
    found = []
    for half in (0, 1):
        g = generator(10 * seed + half)
        noise = level**0.5 * torch.randn(128, 640, generator=g, dtype=torch.float64)
        signal = torch.randn(128, 12, generator=g, dtype=torch.float64) * spikes.sqrt()
        found.append(weight_covariance(noise + signal @ basis.T))
    return found


@pytest.mark.slow
def test_a_bulk_above_the_unit_is_found_out_and_becomes_the_unit():
    for seed in range(2):
        plain, lifted = (calibrated_similarity(*raised(level, seed)) for level in (1.0, 1.35))
        assert plain.reason == ""
        assert "in units of the bulks' own noise, 1.3" in lifted.reason
        assert lifted.misfit < MISFIT
        assert lifted.value == pytest.approx(1, abs=0.05)


def apart_in_the_strongest(n, d, r, seed):
    """Two layers that agree in all weak directions and not in one that outweighs them."""
    basis = orthonormal(d, r + 1, seed)
    spikes = torch.tensor([400.0] + [8.0] * (r - 1), dtype=torch.float64)
    first, second = basis[:, :r], torch.cat([basis[:, r:], basis[:, 1:r]], 1)
    return [weight_covariance(neurons(n, b, spikes, 10 * seed + i)) for i, b in ((1, first), (2, second))]


def test_what_fits_in_no_units_is_withheld(monkeypatch):
    pair = apart_in_the_strongest(64, 128, 16, seed=3)
    found = calibrated_similarity(*pair, draws=20)
    monkeypatch.setattr("covalign.encoding.calibration.estimate.MISFIT", math.inf)
    plain = calibrated_similarity(*pair, draws=20)
    assert plain.misfit > MISFIT
    assert not math.isnan(plain.value)
    assert all(math.isnan(value) for value in (found.value, found.low, found.high))
    assert (found.misfit, found.p_value) == (plain.misfit, plain.p_value)
    assert [remark.reason for remark in found.remarks] == [Reason.MISFIT]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["uniform", "rademacher"])
def test_noise_need_not_be_gaussian(kind):
    values = []
    for seed in range(6):
        c = []
        for half in (0, 1):
            g = generator(10 * seed + half)
            uniform = torch.rand(64, 320, generator=g, dtype=torch.float64)
            noise = (uniform - 0.5) * 12**0.5 if kind == "uniform" else torch.sign(uniform - 0.5)
            basis = orthonormal(320, 12, seed)
            spikes = torch.linspace(30, 12, 12, dtype=torch.float64)
            signal = torch.sign(torch.rand(64, 12, generator=g, dtype=torch.float64) - 0.5) * spikes.sqrt()
            c.append(weight_covariance(noise + signal @ basis.T))
        values.append(calibrated_similarity(*c).value)
    assert sum(values) / 6 == pytest.approx(1, abs=0.08)


@pytest.mark.slow
def test_spectra_that_differ_keep_the_similarity_below_one():
    d, n = 320, 64
    basis = orthonormal(d, 12, seed=0)
    flat = torch.full((12,), 40.0, dtype=torch.float64)
    steep = 250 * 0.6 ** torch.arange(12, dtype=torch.float64)
    cosine = float((flat * steep).sqrt().sum() / (flat.sum() * steep.sum()).sqrt())
    values = [
        calibrated_similarity(
            weight_covariance(neurons(n, basis, flat, seed)),
            weight_covariance(neurons(n, basis, steep, seed + 100)),
        ).value
        for seed in range(6)
    ]
    assert sum(values) / 6 == pytest.approx((cosine - 0.15) / 0.85, abs=0.1)


def test_the_order_does_not_matter():
    first, second = pair(shared=8)
    assert calibrated_similarity(first, second) == calibrated_similarity(second, first)


def test_the_estimate_is_deterministic_and_its_seed_moves_it_little():
    first, second = pair(shared=8)
    a, b, other = (calibrated_similarity(first, second, seed=s) for s in (0, 0, 1))
    assert a == b
    assert other.value == pytest.approx(a.value, abs=a.high - a.value)


def test_a_common_rotation_changes_nothing():
    first, second = pair(shared=8, d=128)
    turn = orthonormal(128, 128, seed=9)
    turned = [replace(c, eigenvectors=turn @ c.eigenvectors) for c in (first, second)]
    assert calibrated_similarity(*turned).value == pytest.approx(calibrated_similarity(first, second).value)


def test_a_rotated_permuted_copy_has_the_same_weights():
    w = spiked(48, 96, 6, 3.0, seed=1)
    turn = orthonormal(96, 96, seed=3)
    copy = w[torch.randperm(48, generator=generator(0))] @ turn.T
    back = weight_covariance(copy)
    aligned = replace(back, eigenvectors=turn.T @ back.eigenvectors)
    found = calibrated_similarity(weight_covariance(w), aligned)
    assert found.value == 1
    assert found.remarks == (Remark(Reason.SAME_WEIGHTS),)
    assert Remark(Reason.SAME_WEIGHTS) not in calibrated_similarity(weight_covariance(w), back).remarks


def test_networks_that_share_their_noise_are_not_two_samples():
    w = spiked(64, 128, 8, 3.0, seed=1)
    later = w + 0.05 * torch.randn(64, 128, generator=generator(2), dtype=torch.float64)
    found = calibrated_similarity(weight_covariance(w), weight_covariance(later))
    assert math.isnan(found.value)
    assert "not independent: the noise of both networks has correlation" in found.reason


def test_shared_noise_is_the_correlation_of_centred_bulks():
    w = torch.randn(20, 30, generator=generator(0), dtype=torch.float64)
    later = w + 0.3 * torch.randn(20, 30, generator=generator(1), dtype=torch.float64)

    def bulk(c, kept):
        v, values = c.eigenvectors, c.eigenvalues
        rest = torch.eye(30).double() - v[:, :kept] @ v[:, :kept].T
        return (v[:, kept:] * values[kept:]) @ v[:, kept:].T - values[kept:].sum() / (30 - kept) * rest

    first, second = weight_covariance(w), weight_covariance(later)
    a, b = bulk(first, 2), bulk(second, 3)
    expected = float((a * b).sum() / (a.norm() * b.norm()))
    assert shared_noise(first, second, 2, 3) == pytest.approx(expected)


@pytest.mark.parametrize("d", [32, 64, 320])
def test_equal_populations_do_not_share_their_noise(d):
    first, second = pair(64, d, 8.0, shared=8, rank=8)
    assert abs(shared_noise(first, second, 8, 8)) < 0.15


@pytest.mark.parametrize(("n", "d"), [(64, 64), (64, 320)])
def test_untrained_networks_are_undetectable_or_contain_zero(n, d):
    for seed in range(5):
        c = [weight_covariance(spiked(n, d, 1, 1e-9, seed=2 * seed + half)) for half in (0, 1)]
        found = calibrated_similarity(*c)
        assert "undetectable" in found.reason or found.low <= 0 <= found.high


def test_a_bulk_that_has_decayed_withholds_the_value():
    w = spiked(64, 320, 6, 8.0, seed=1)
    basis = orthonormal(320, 6, seed=0)
    decayed = weight_covariance(0.5 * w + 0.5 * w @ basis @ basis.T)
    found = calibrated_similarity(weight_covariance(w), decayed)
    assert math.isnan(found.value)
    assert "bulk check failed in the second network" in found.reason


@pytest.mark.slow
def test_different_widths_can_be_compared():
    basis = orthonormal(200, 8, seed=0)
    spikes = torch.linspace(60, 20, 8, dtype=torch.float64)
    values = [
        calibrated_similarity(
            weight_covariance(neurons(50, basis, spikes, seed)),
            weight_covariance(neurons(120, basis, spikes, seed + 100)),
        ).value
        for seed in range(6)
    ]
    assert sum(values) / 6 == pytest.approx(1, abs=0.05)


@pytest.mark.slow
def test_corrected_cosines_are_those_of_the_population():
    n, d = 200, 400
    basis, spikes = orthonormal(d, 3, seed=0), torch.tensor([60.0, 30.0, 12.0]).double()
    corrected = torch.stack(
        [
            corrected_eigenvector_cosines(
                *(weight_covariance(neurons(n, basis, spikes, 2 * seed + half)) for half in (0, 1)), ranks=3
            )
            for seed in range(20)
        ]
    ).mean(0)
    assert corrected.diagonal() == pytest.approx(torch.ones(3).double(), abs=0.08)


def test_unusable_input_is_named():
    first, second = pair(16, 32, 3.0, 2, rank=4)
    wider, _ = pair(16, 64, 3.0, 2, rank=4)
    with pytest.raises(InputError, match="align the narrower network"):
        calibrated_similarity(first, wider)
    with pytest.raises(InputError, match="expected the original with its noise"):
        calibrated_similarity(first.shrink(), second)
    with pytest.raises(InputError, match="expected at least 1"):
        calibrated_similarity(first, second, draws=0)

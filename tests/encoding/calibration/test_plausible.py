import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.calibration.plausible import Spectrum, contract, fit_spikes, plausible_populations
from samples.planted import generator, neurons, orthonormal


def spectrum(n, d, spikes, seed):
    w = neurons(n, orthonormal(d, len(spikes), seed=0), spikes, seed)
    return Spectrum(torch.linalg.svdvals(w).square() / n, n, d)


def falling(strength, n, d, rank=16):
    return strength * (d / n) ** 0.5 * torch.linspace(3, 1, rank, dtype=torch.float64)


@pytest.mark.parametrize(("n", "d"), [(64, 64), (64, 320)])
def test_traces_are_unbiased_missed_spikes_included(n, d):
    spikes = falling(1.0, n, d)
    drawn = [spectrum(n, d, spikes, seed) for seed in range(60)]
    assert sum(s.trace for s in drawn) / 60 == pytest.approx(float(spikes.sum()), rel=0.05)
    squares = sum(s.concentration * s.trace**2 for s in drawn) / 60
    assert squares == pytest.approx(float(spikes.square().sum()), rel=0.1)
    assert max(s.kept for s in drawn) < 14


@pytest.mark.parametrize(("n", "d"), [(64, 64), (64, 320), (128, 64)])
@pytest.mark.parametrize("strength", [3.0, 8.0])
def test_fitted_spikes_are_those_of_the_population(n, d, strength):
    spikes = falling(strength, n, d)
    fits = [fit_spikes(spectrum(n, d, spikes, seed)) for seed in range(12)]
    assert sum(len(f) for f in fits) / 12 == pytest.approx(16, abs=2.5)
    assert sum(float(f.sum()) for f in fits) / 12 == pytest.approx(float(spikes.sum()), rel=0.06)
    leading = torch.stack([f[:8] for f in fits]).mean(0)
    assert leading == pytest.approx(spikes[:8], rel=0.25)


def test_fitted_spikes_fall():
    assert bool((fit_spikes(spectrum(64, 128, falling(2.0, 64, 128), 0)).diff() <= 0).all())


@pytest.mark.slow
@given(shape=st.lists(st.floats(0.1, 10), min_size=2, max_size=20), concentration=st.floats(0.0, 1.0))
def test_contraction_keeps_sum_and_sign_and_never_widens(shape, concentration):
    x = torch.tensor(shape, dtype=torch.float64)
    result = contract(x, concentration)
    assert float(result.sum()) == pytest.approx(1)
    assert bool((result > 0).all())
    assert float(result.square().sum()) <= float((x / x.sum()).square().sum()) + 1e-12


def test_contraction_reaches_the_wanted_concentration():
    x = torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64)
    assert float(contract(x, 0.36).square().sum()) == pytest.approx(0.36)


def test_equal_spectra_are_pooled_and_unequal_ones_are_not():
    n, d = 64, 320
    flat, steep = (falling(4.0, n, d).mean().expand(16), 120 * 0.6 ** torch.arange(16).double())

    def spread(first, second):
        populations = plausible_populations(
            spectrum(n, d, first, 0), spectrum(n, d, second, 1), 8, generator(0)
        )
        one, other = (p / p.sum(1, keepdim=True) for p in populations)
        rank = min(one.shape[1], other.shape[1])
        return float((one[:, :rank].sqrt() * other[:, :rank].sqrt()).sum(1).mean())

    assert spread(flat, flat) > 0.99
    expected = float(((flat / flat.sum()).sqrt() * (steep / steep.sum()).sqrt()).sum())
    assert spread(flat, steep) == pytest.approx(expected, abs=0.1)


def test_populations_vary_as_much_as_the_traces_allow():
    n, d = 64, 320
    spikes = falling(3.0, n, d)
    traces = torch.tensor([spectrum(n, d, spikes, seed).trace for seed in range(60)])
    first, _ = plausible_populations(spectrum(n, d, spikes, 0), spectrum(n, d, spikes, 1), 12, generator(0))
    assert float(first.sum(1).log().std()) == pytest.approx(float(traces.log().std()), rel=0.4)

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from covalign.encoding.spiked import (
    bulk_edges,
    bulk_median,
    bulk_quantile,
    eigenvector_overlap,
    population_spike,
    sample_eigenvalue,
)
from covalign.errors import InputError
from samples.planted import generator, neurons, orthonormal

gammas = st.floats(0.05, 20)


@given(gamma=gammas, excess=st.floats(1.01, 100))
def test_the_map_of_spikes_inverts(gamma, excess):
    spike = excess * math.sqrt(gamma)
    assert float(population_spike([float(sample_eigenvalue([spike], gamma))], gamma)) == pytest.approx(
        spike, rel=1e-6
    )


@given(gamma=gammas, spike=st.floats(0, 1))
def test_weak_spikes_hide_in_the_bulk(gamma, spike):
    hidden = [spike * math.sqrt(gamma)]
    assert float(sample_eigenvalue(hidden, gamma)) == pytest.approx(bulk_edges(gamma)[1])
    assert float(eigenvector_overlap(hidden, gamma)) == pytest.approx(0, abs=1e-12)
    assert float(population_spike([bulk_edges(gamma)[1]], gamma)) == 0


@pytest.mark.parametrize(
    ("gamma", "spikes", "overlaps"),
    [(5.0, [5, 10, 20, 50], [0.40, 0.63, 0.79, 0.91]), (10.0, [5, 10, 20, 50], [0.20, 0.45, 0.65, 0.83])],
)
def test_overlaps_are_the_published_ones(gamma, spikes, overlaps):
    assert eigenvector_overlap(spikes, gamma) == pytest.approx(torch.tensor(overlaps).double(), abs=0.005)


def test_a_simulated_spike_shows_as_predicted():
    n, d, spike = 400, 800, 8.0
    basis = orthonormal(d, 1, seed=0)
    w = neurons(n, basis, torch.tensor([spike]).double(), seed=1)
    _, singular, right = torch.linalg.svd(w, full_matrices=False)
    assert float(singular[0] ** 2 / n) == pytest.approx(float(sample_eigenvalue([spike], d / n)), rel=0.1)
    assert float((right[0] @ basis) ** 2) == pytest.approx(
        float(eigenvector_overlap([spike], d / n)), abs=0.06
    )


@pytest.mark.slow
@pytest.mark.parametrize("gamma", [0.3, 1.0, 4.0])
def test_noise_follows_the_bulk(gamma):
    n = 500
    noise = torch.randn(n, int(gamma * n), generator=generator(0), dtype=torch.float64)
    values = torch.linalg.svdvals(noise).square() / n
    wanted = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert values.quantile(wanted) == pytest.approx(bulk_quantile(wanted, gamma), rel=0.05)
    assert float(values.median()) == pytest.approx(bulk_median(gamma), rel=0.03)


def test_quantiles_end_at_the_edges():
    assert bulk_quantile([0.0, 1.0], 3.0) == pytest.approx(torch.tensor(bulk_edges(3.0)).double())


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.inf, math.nan])
def test_an_impossible_aspect_ratio_is_named(gamma):
    with pytest.raises(InputError, match="expected dimension / neurons"):
        bulk_edges(gamma)

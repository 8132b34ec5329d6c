import pytest
import torch

from covalign.encoding.haar import haar_block, wishart_factor
from covalign.encoding.resampling import noise_chain, sample_eigenvalues, sample_eigenvectors, sample_overlaps
from samples.planted import generator, neurons, orthonormal

SPIKES = torch.tensor([12.0, 8.0, 5.0], dtype=torch.float64)


def direct(n, d, count, draws):
    """The same quantities from weight matrices drawn in full."""
    values, coordinates = [], []
    basis = orthonormal(d, len(SPIKES), seed=0)
    for seed in range(draws):
        _, singular, right = torch.linalg.svd(neurons(n, basis, SPIKES, seed), full_matrices=False)
        values.append(singular[:count] ** 2 / n)
        coordinates.append((basis.T @ right[:count].T).square().sum(0))
    return torch.stack(values), torch.stack(coordinates)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "d"), [(40, 20), (40, 40), (40, 200), (7, 60), (60, 7)])
def test_draws_agree_with_weight_matrices_drawn_in_full(n, d):
    count = 4
    values, overlap = direct(n, d, count, 300)
    drawn, axes = sample_eigenvectors(SPIKES.expand(300, -1), n, d, count, generator(1))
    error = values.std(0) / 300**0.5
    assert bool(((drawn.mean(0) - values.mean(0)).abs() < 6 * error).all())
    assert drawn.std(0) == pytest.approx(values.std(0), rel=0.3)
    assert axes.square().sum(1).mean(0) == pytest.approx(overlap.mean(0), abs=0.06)


@pytest.mark.slow
def test_a_cut_chain_shows_the_same_spikes():
    n, d = 400, 800
    spikes = torch.linspace(9, 3, 16, dtype=torch.float64).expand(40, -1)
    assert noise_chain(spikes[:1], n, d, generator(0)).shape[1] < n
    cut = sample_eigenvalues(spikes, n, d, 16, generator(0)).mean(0)
    whole = []
    for seed in range(8):
        w = torch.randn(n, d, generator=generator(seed), dtype=torch.float64)
        w[:, :16] *= (1 + spikes[0]).sqrt()
        whole.append(torch.linalg.eigvalsh(w @ w.T / n).flip(0)[:16])
    assert cut == pytest.approx(torch.stack(whole).mean(0), rel=0.04)


def test_total_variance_is_conserved():
    n, d = 12, 30
    chain = noise_chain(SPIKES.expand(4000, -1), n, d, generator(0))
    assert float(chain.square().sum((1, 2)).mean() / n) == pytest.approx(d + float(SPIKES.sum()), rel=0.02)


@pytest.mark.parametrize("degrees", [0, 2, 5, 50])
def test_wishart_factors_have_their_mean_and_rank(degrees):
    factor = wishart_factor(3000, 5, degrees, generator(0))
    gram = factor @ factor.mT
    assert gram.mean(0) == pytest.approx(
        degrees * torch.eye(5).double(), abs=0.1 * degrees**0.5 + 0.02 * degrees
    )
    assert int(torch.linalg.matrix_rank(factor[0])) == min(degrees, 5)


@pytest.mark.parametrize(("d", "r1", "r2"), [(6, 4, 5), (6, 6, 6), (20, 3, 4), (9, 4, 4)])
def test_haar_blocks_are_those_of_random_rotations(d, r1, r2):
    blocks = haar_block(4000, d, r1, r2, generator(0))
    assert blocks.square().mean(0) == pytest.approx(torch.full((r1, r2), 1 / d).double(), rel=0.15)
    rotations = torch.linalg.qr(torch.randn(4000, d, d, generator=generator(1), dtype=torch.float64)).Q
    expected = torch.linalg.svdvals(rotations[:, :r1, :r2]).mean(0)
    assert torch.linalg.svdvals(blocks).mean(0) == pytest.approx(expected, abs=0.02)


def test_shared_directions_are_exact_and_the_others_avoid_them():
    shared = torch.tensor([[True, False, True, False]]).expand(2000, -1)
    blocks = haar_block(2000, 10, 4, 5, generator(0), shared)
    assert torch.equal(blocks[:, [0, 2]][:, :, [0, 2]], torch.eye(2).double().expand(2000, 2, 2))
    assert float(blocks[:, [0, 2]][:, :, [1, 3, 4]].abs().max()) == 0
    assert float(blocks[:, [1, 3]][:, :, [1, 3, 4]].square().mean()) == pytest.approx(1 / 8, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(("d", "cosine"), [(40, 0.6), (300, 0.6), (300, 1.0), (300, 0.0), (5, 1.0)])
def test_overlaps_agree_with_weight_matrices_drawn_in_full(d, cosine):
    n, count, draws = 30, 3, 200
    frame = orthonormal(d, min(6, d), seed=0)
    first = frame[:, :3]
    second = cosine * first + (1 - cosine**2) ** 0.5 * frame[:, -3:]
    expected = []
    for seed in range(draws):
        pair = []
        for basis, offset in ((first, 0), (second, 10_000)):
            w = neurons(n, basis, SPIKES, seed + offset)
            pair.append(torch.linalg.svd(w, full_matrices=False).Vh[:count])
        expected.append(torch.linalg.svdvals(pair[0] @ pair[1].T))
    spikes = SPIKES.expand(draws, -1)
    g = generator(1)
    axes = [sample_eigenvectors(spikes, n, d, count, g)[1] for _ in range(2)]
    overlap = (first.T @ second).expand(draws, -1, -1)
    drawn = torch.linalg.svdvals(sample_overlaps(*axes, overlap, d, g))
    assert drawn.mean(0) == pytest.approx(torch.stack(expected).mean(0), abs=0.05)
    assert float(drawn.max()) <= 1 + 1e-9


def test_draws_are_deterministic():
    draws = [sample_eigenvalues(SPIKES[None], 20, 30, 5, generator(3)) for _ in range(2)]
    assert torch.equal(*draws)

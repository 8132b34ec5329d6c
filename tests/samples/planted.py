"""Weight matrices with known populations: every sampler of a stated structure."""

from collections.abc import Callable

import torch
from hypothesis import strategies as st
from torch import Tensor

from covalign.encoding.haar import haar_frame


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def orthonormal(d: int, r: int, seed: int) -> Tensor:
    return torch.linalg.qr(torch.randn(d, r, generator=generator(seed), dtype=torch.float64)).Q


def noise(n: int, d: int, seed: int) -> Tensor:
    """Rows drawn from N(0, I)."""
    return torch.randn(n, d, generator=generator(seed), dtype=torch.float64)


def neurons(n: int, basis: Tensor, spikes: Tensor, seed: int) -> Tensor:
    """Rows drawn from N(0, I + U diag(spikes) U^T)."""
    white = noise(n, len(basis), seed)
    return white + (white @ basis) * ((1 + spikes).sqrt() - 1) @ basis.T


def spiked(n: int, d: int, r: int, strength: float, seed: int, basis_seed: int = 0) -> Tensor:
    """Spikes falling from 3 to 1 times strength * sqrt(gamma)."""
    return neurons(n, orthonormal(d, r, basis_seed), falling(strength, n, d, r), seed)


def falling(strength: float, n: int, d: int, r: int) -> Tensor:
    """Spikes falling from 3 to 1 times strength * sqrt(gamma), the weakest that n neurons can show at strength 1."""
    return strength * (d / n) ** 0.5 * torch.linspace(3, 1, r, dtype=torch.float64)


def power_law(n: int, d: int, exponent: float = 1.0, strength: float = 8.0) -> Tensor:
    """Variances 1 + strength sqrt(d / n) i^-exponent, which reach below the bulk edge."""
    ranks = torch.arange(1, d + 1, dtype=torch.float64)
    return 1 + strength * (d / n) ** 0.5 * ranks**-exponent


def draw(n: int, variances: Tensor, seed: int) -> Tensor:
    """Neurons with independent normal coordinates of given variances."""
    return noise(n, len(variances), seed) * variances.sqrt()


def unit_rows(n: int, d: int, seed: int) -> Tensor:
    """Neurons of length one, in uniform directions."""
    return torch.nn.functional.normalize(noise(n, d, seed))


def low_rank(n: int, d: int, seed: int, r: int = 3) -> Tensor:
    """A product of two noises: all beyond rank r is exactly nothing."""
    return noise(n, r, seed) @ noise(r, d, seed + 1)


def sharing(n: int, d: int, r: int, shared: int, strength: float, seed: int) -> tuple[Tensor, Tensor]:
    """Two samples of r falling spikes in shuffled order, whose populations have `shared` directions in common."""
    frame = orthonormal(d, 2 * r - shared, seed)
    spikes = falling(strength, n, d, r)[torch.randperm(r, generator=generator(seed))]
    other = torch.cat([frame[:, :shared], frame[:, r:]], 1)
    return neurons(n, frame[:, :r], spikes, 2 * seed + 100), neurons(n, other, spikes, 2 * seed + 101)


def turned(rows: Tensor, seed: int) -> Tensor:
    """Rows in random orientation: unrelated to what they were."""
    return rows @ haar_frame(rows.shape[1], rows.shape[1], generator(seed))


def shuffled(w: Tensor, seed: int) -> Tensor:
    """The same neurons in another order."""
    return w[torch.randperm(len(w), generator=generator(seed))]


STRUCTURES: dict[str, Callable[[int, int, int], Tensor]] = {
    "spiked": lambda n, d, seed: spiked(n, d, 3, 4.0, seed),
    "weakly spiked": lambda n, d, seed: spiked(n, d, 3, 1.5, seed),
    "power law": lambda n, d, seed: draw(n, power_law(n, d), seed),
    "noise": noise,
    "unit rows": unit_rows,
    "low rank": low_rank,
}
"""Samplers by name, each of ``(n, d, seed)``."""

SEEDS = st.integers(0, 10_000)


def weights(n: int = 9, d: int = 14, kinds: tuple[str, ...] = tuple(STRUCTURES)) -> st.SearchStrategy[Tensor]:
    """Weight matrices of every structure, for hypothesis."""
    return st.builds(lambda kind, seed: STRUCTURES[kind](n, d, seed), st.sampled_from(kinds), SEEDS)

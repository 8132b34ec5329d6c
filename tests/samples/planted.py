"""Weight matrices with known populations."""

import torch
from torch import Tensor


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def orthonormal(d: int, r: int, seed: int) -> Tensor:
    return torch.linalg.qr(torch.randn(d, r, generator=generator(seed), dtype=torch.float64)).Q


def neurons(n: int, basis: Tensor, spikes: Tensor, seed: int) -> Tensor:
    """Rows drawn from N(0, I + U diag(spikes) U^T)."""
    g = generator(seed)
    noise = torch.randn(n, len(basis), generator=g, dtype=torch.float64)
    return noise + (noise @ basis) * ((1 + spikes).sqrt() - 1) @ basis.T


def spiked(n: int, d: int, r: int, strength: float, seed: int, basis_seed: int = 0) -> Tensor:
    """Spikes falling from 3 to 1 times strength * sqrt(gamma)."""
    spikes = torch.linspace(3, 1, r, dtype=torch.float64) * strength * (d / n) ** 0.5
    return neurons(n, orthonormal(d, r, basis_seed), spikes, seed)

"""What would other networks of the same population have shown?

Draws the sample eigenvalues and eigenvectors of spiked populations exactly, without ever drawing a weight
matrix. Noise has no preferred direction, so the part of the weights outside the r spikes may be rotated on
both sides until it is a chain of small triangular blocks whose entries are independent normal and χ
variables (Bartlett 1933; Dumitriu & Edelman 2002, in blocks of r). Leading eigenvectors reach only a few
blocks into the chain, so a draw costs the same for 64 neurons as for 512.

Shapes: b draws, r spikes, k leading sample eigenvectors, d dimensions.
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.encoding.haar import normal, wishart_factor

BLOCKS, BLOCK_ROWS = 5, 128
"""A chain is cut after this many blocks and at least this many rows (exact where the neurons end first)."""


def noise_chain(
    spikes: Float64[Tensor, "b r"],
    neurons: int,
    dimension: int,
    generator: torch.Generator,
) -> Float64[Tensor, "b rows columns"]:
    """Weights of a spiked population, rotated to a block bidiagonal matrix; its first r columns are spikes.

    The spike columns [n, r] become an upper triangle; the noise columns alternate lower triangles (rotating
    the space) and upper triangles (rotating the neurons). Draws are balanced: over a batch, each spike's sample
    variance is right on average. That leaves a draw's law all but unchanged and removes most Monte-Carlo error
    from means over few draws.
    """
    batch, r = spikes.shape
    blocks = min(math.ceil(neurons / r), max(BLOCKS, math.ceil(BLOCK_ROWS / r)))
    rows = [min(r, neurons - j * r) for j in range(blocks)]
    matrix = spikes.new_zeros(batch, sum(rows), r + min(sum(rows), dimension - r))
    factor = wishart_factor(batch, r, neurons, generator).mT
    balance = (neurons / factor.square().sum(1, keepdim=True).mean(0)).sqrt()
    factor = factor * balance * (1 + spikes).sqrt()[:, None]
    matrix[:, : rows[0], :r] = factor[:, : rows[0]]
    top, left = 0, r
    for height in rows:
        width = min(height, dimension - left)
        if width == 0:
            break
        right, bottom = left + width, top + height
        diagonal = wishart_factor(batch, height, dimension - left, generator)
        matrix[:, top:bottom, left:right] = diagonal[:, :, :width]
        below = min(width, matrix.shape[1] - bottom)
        under = wishart_factor(batch, width, neurons - bottom, generator).mT
        matrix[:, bottom : bottom + below, left:right] = under[:, :below]
        top, left = bottom, right
    return matrix


def sample_eigenvalues(
    spikes: Float64[Tensor, "b r"], neurons: int, dimension: int, count: int, generator: torch.Generator
) -> Float64[Tensor, "b count"]:
    """Draw the leading sample eigenvalues, descending (those beyond the chain are zero)."""
    chain = noise_chain(spikes, neurons, dimension, generator)
    gram = chain @ chain.mT if chain.shape[1] <= chain.shape[2] else chain.mT @ chain
    values = torch.linalg.eigvalsh(gram / neurons).flip(1)[:, :count].clamp(min=0)
    return torch.nn.functional.pad(values, (0, count - values.shape[1]))


def sample_eigenvectors(
    spikes: Float64[Tensor, "b r"], neurons: int, dimension: int, count: int, generator: torch.Generator
) -> tuple[Float64[Tensor, "b k"], Float64[Tensor, "b r k"]]:
    """Draw leading sample eigenvalues and the coordinates of their eigenvectors along the spikes."""
    chain = noise_chain(spikes, neurons, dimension, generator)
    r = spikes.shape[1]
    if chain.shape[1] > chain.shape[2]:
        values, vectors = torch.linalg.eigh(chain.mT @ chain / neurons)
        return values.flip(1)[:, :count], vectors.flip(2)[:, :r, :count]
    values, vectors = torch.linalg.eigh(chain @ chain.mT / neurons)
    values, vectors = values.flip(1)[:, :count], vectors.flip(2)[:, :, :count]
    return values, chain[:, :, :r].mT @ vectors / (neurons * values).sqrt()[:, None]


def sample_overlaps(
    first: Float64[Tensor, "b r1 k1"],
    second: Float64[Tensor, "b r2 k2"],
    overlap: Float64[Tensor, "b r1 r2"],
    dimension: int,
    generator: torch.Generator,
) -> Float64[Tensor, "b k1 k2"]:
    """Inner products of the sample eigenvectors of two independent matrices.

    Each sample eigenvector has known coordinates along its own spikes; the rest of it is uniformly oriented
    in the complement. Both are written in one basis: the r1 spikes of the first, what the spikes of the
    second add to them, and the remaining dimensions, of which at most k1 + k2 matter.

    Args:
        first: coordinates along the first population's spikes (`sample_eigenvectors`).
        second: the same for the second.
        overlap: R = U₁ᵀU₂ of the population eigenvectors.
        dimension: d.
        generator: source of randomness.
    """
    batch, r1, k1 = first.shape
    r2, k2 = second.shape[1:]
    joint = min(dimension, r1 + r2)
    added = _root(torch.eye(r2, dtype=torch.float64) - overlap.mT @ overlap, joint - r1)
    spikes = torch.cat([overlap, added], 1)
    fill = normal(batch, joint, joint - r2, generator=generator)
    complement = torch.linalg.qr(torch.cat([spikes, fill], 2)).Q[:, :, r2:]
    rest = dimension - joint
    if rest > k1 + k2:
        far1 = torch.nn.functional.pad(wishart_factor(batch, k1, rest, generator).mT, (0, 0, 0, k2))
        triangle = wishart_factor(batch, k2, rest - k1, generator).mT
        far2 = torch.cat([normal(batch, k1, k2, generator=generator), triangle], 1)
    else:
        far1, far2 = (normal(batch, rest, k, generator=generator) for k in (k1, k2))
    noise1 = _remainder(first, torch.cat([normal(batch, joint - r1, k1, generator=generator), far1], 1))
    noise2 = _remainder(second, torch.cat([normal(batch, joint - r2, k2, generator=generator), far2], 1))
    inside = spikes @ second + complement @ noise2[:, : joint - r2]
    left = torch.cat([first, noise1], 1)
    return left.mT @ torch.cat([inside, noise2[:, joint - r2 :]], 1)


def _root(matrix: Float64[Tensor, "b r r"], rows: int) -> Float64[Tensor, "b rows r"]:
    """Return B with BᵀB equal to a positive semidefinite matrix of rank at most ``rows``."""
    values, vectors = torch.linalg.eigh(matrix)
    root = values.clamp(min=0).sqrt()[:, :, None] * vectors.mT
    size = matrix.shape[1]
    return torch.nn.functional.pad(root[:, max(size - rows, 0) :], (0, 0, 0, max(rows - size, 0)))


def _remainder(
    coordinates: Float64[Tensor, "b r k"], directions: Float64[Tensor, "b m k"]
) -> Float64[Tensor, "b m k"]:
    """Uniformly oriented E with EᵀE = I - PᵀP: what unit vectors with spike coordinates P have elsewhere."""
    k = coordinates.shape[2]
    q, triangle = torch.linalg.qr(directions)
    frame: Tensor = q * triangle.diagonal(dim1=1, dim2=2).sign()[:, None]
    missing = torch.eye(k, dtype=torch.float64) - coordinates.mT @ coordinates
    return frame @ _root(missing, frame.shape[2])

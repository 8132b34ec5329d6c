"""How are random rotations and random noise drawn, a block at a time?"""

import torch
from jaxtyping import Float64
from torch import Tensor


def normal(*shape: int, generator: torch.Generator) -> Float64[Tensor, "..."]:
    """Standard normal numbers in float64."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def wishart_factor(
    batch: int, size: int, degrees: int, generator: torch.Generator, square: Tensor | None = None
) -> Float64[Tensor, "b size size"]:
    """Lower triangle L with LLᵀ a Wishart matrix of ``degrees`` ≥ 0 degrees of freedom (Bartlett 1933).

    Below the diagonal stand the standard normal numbers of ``square`` (None: drawn after the diagonal), on it χ
    variables.
    """
    degrees_left = (degrees - torch.arange(size, dtype=torch.float64)).clamp(min=0)
    shape = (degrees_left / 2).clamp(min=0.5).expand(batch, size)
    chi = torch.where(degrees_left > 0, (2 * torch._standard_gamma(shape, generator=generator)).sqrt(), 0.0)
    below = normal(batch, size, size, generator=generator) if square is None else square
    return (below.tril(-1) + torch.diag_embed(chi)) * (degrees_left > 0)


def noise_factor(rows: int, columns: int, generator: torch.Generator) -> Float64[Tensor, "rows m"]:
    """L with LLᵀ distributed like ZZᵀ for a standard normal Z of shape ``[rows, columns]``; at most square."""
    square = normal(rows, min(rows, columns), generator=generator)
    return square if columns <= rows else wishart_factor(1, rows, columns, generator, square)[0]


def haar_block(
    batch: int,
    dimension: int,
    rows: int,
    columns: int,
    generator: torch.Generator,
    shared: Tensor | None = None,
) -> Float64[Tensor, "b rows columns"]:
    """Inner products UᵀV of two random orthonormal frames, V uniformly (Haar) oriented against U.

    Args:
        batch: number of draws.
        dimension: d, at least rows and columns.
        rows: vectors in U.
        columns: vectors in V.
        generator: source of randomness.
        shared: boolean ``[b, min(rows, columns)]``; where true, v_i = u_i, and the others are uniform in
            what remains.
    """
    rest = dimension - rows
    inside = normal(batch, rows, columns, generator=generator)
    if rest > columns:
        outside = wishart_factor(batch, columns, rest, generator).mT
    else:
        outside = normal(batch, rest, columns, generator=generator)
    if shared is not None:
        row = torch.nn.functional.pad(shared, (0, rows - shared.shape[1]))
        column = torch.nn.functional.pad(shared, (0, columns - shared.shape[1]))
        identity = torch.eye(rows, columns, dtype=torch.float64)
        inside = torch.where(row[:, :, None] | column[:, None], column[:, None] * identity, inside)
        outside = torch.where(column[:, None], 0.0, outside)
    gram = inside.mT @ inside + outside.mT @ outside
    solved: Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(gram), inside.mT, upper=False)
    return solved.mT


def haar_frame(dimension: int, count: int, generator: torch.Generator) -> Float64[Tensor, "d r"]:
    """Return ``count`` orthonormal columns, uniformly distributed: the Q of a Gaussian's QR with positive R."""
    q, r = torch.linalg.qr(normal(dimension, count, generator=generator))
    frame: Tensor = q * torch.sign(r.diagonal())
    return frame

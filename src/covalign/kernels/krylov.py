"""What are the r leading singular triplets of a large matrix, without decomposing it?

Block Lanczos (Golub, Luk & Overton 1981; Musco & Musco 2015) on M^T M from a random block V_0 of r + `SPARE` columns:
Q spans V_0, (M^T M) V_0, (M^T M)^2 V_0, ..., orthogonalized; with (M Q)^T (M Q) = Z L Z^T the triplets are
s = L^(1/2), v = Q z, u = M v / s. Then M v = s u holds by construction, and

    residual = max_i |M^T u_i - s_i v_i|

bounds the distance of every s_i from a singular value of M. Where it does not fall below the tolerance, nothing is
returned, and the caller decomposes M.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

SPARE = 16
"""Columns of a block beyond the directions asked for."""

STEPS = 16
"""Blocks after which a spectrum counts as too flat; the decomposition then costs no more."""

Triplets = tuple[Float64[Tensor, "d2 r"], Float64[Tensor, " r"], Float64[Tensor, "d1 r"]]
"""u in columns, s descending, v in columns."""


def leading_triplets(matrix: Float64[Tensor, "d2 d1"], count: int, tolerance: float) -> Triplets | None:
    """Return the leading triplets with residuals of at most ``tolerance`` s_1; None where they do not converge."""
    columns = matrix.shape[1]
    generator = torch.Generator().manual_seed(count)
    start = torch.randn(columns, count + SPARE, generator=generator, dtype=torch.float64).to(matrix)
    basis = block = torch.linalg.qr(start).Q
    image = back = matrix.new_zeros(0)
    for step in range(STEPS):
        forth = matrix @ block
        image = torch.cat([image, forth], 1) if step else forth
        back = torch.cat([back, matrix.T @ forth], 1) if step else matrix.T @ forth
        squares, turn = torch.linalg.eigh(image.T @ image)
        squares, turn = squares.flip(0)[:count], turn.flip(1)[:, :count]
        if not bool(squares[-1] > 0):
            return None
        singular = squares.sqrt()
        right = basis @ turn
        residual = (back @ turn / singular - right * singular).norm(dim=0).max()
        if bool(residual <= tolerance * singular[0]):
            return image @ turn / singular, singular, right
        if basis.shape[1] + 2 * block.shape[1] > columns // 2:
            return None
        block = _outside(back[:, -block.shape[1] :], basis)
        basis = torch.cat([basis, block], 1)
    return None


def _outside(block: Float64[Tensor, "d b"], basis: Float64[Tensor, "d k"]) -> Float64[Tensor, "d b"]:
    """Orthonormal columns for what a block adds to a basis; twice, so that rounding adds nothing."""
    for _ in range(2):
        block = torch.linalg.qr(block - basis @ (basis.T @ block)).Q
    return block

"""What sort of change is an update of one layer's weights?

Of D = W' - W, rows being neurons, and in units of ||W||:

    relative change    ||D|| / ||W||
    rescaling          sqrt(sum_i (|w'_i| - |w_i|)^2) / ||W||             the neurons' lengths
    rotation           sqrt(sum_i 2 |w_i| |w'_i| (1 - cos_i)) / ||W||     their directions
    spatial change     d_BW(sum of w w^T over all kernels) / ||W||
    channel change     d_BW(sum of w w^T over neurons and positions) / ||W||

and without units

    inside             ||D V_r||^2 / ||D||^2, V_r the leading r eigenvectors of the base's weight covariance
    effective rank     sum_k k s_k^2 / sum_k s_k^2, s the singular values of D (as Guth & Menard 2024, eq. 4)
    stable rank        sum_k s_k^2 / s_1^2

Squares of rescaling and rotation add up to that of the relative change. The Bures-Wasserstein distances d_BW,
being min_Q ||W' - Q W|| for a factor W, are at most the relative change: what they leave out only rearranges
kernels. Each measure has a reference: the same update turned at random, D O with O Haar in the space of
neurons, which keeps its norm and singular values; for the ranks, a Gaussian update. These measures are our
choice.
"""

import math

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from covalign.encoding.bures import bures_wasserstein_distance, factor_distance
from covalign.encoding.covariance import weight_covariance
from covalign.encoding.haar import haar_frame

MEASURES = (
    "relative_change",
    "rescaling",
    "rotation",
    "spatial_change",
    "channel_change",
    "inside",
    "update_effective_rank",
    "update_stable_rank",
)


def measure_update(
    base: Float[Tensor, "c_out c k_h k_w"],
    weight: Float64[Tensor, "c_out c k_h k_w"],
    learned: Float64[Tensor, "d r"],
    grouped: bool = False,
) -> dict[str, float]:
    """Return all `MEASURES` of the change from ``base`` to ``weight``.

    Args:
        base: a layer's weight before.
        weight: its weight after.
        learned: orthonormal directions of what the base learned; none (r = 0) leaves ``inside`` undefined.
        grouped: whether the layer's neurons see different input channels.

    Returns:
        0 for every change of a layer that did not change, and NaN for what is undefined: ``inside`` for such
        layers, spatial change of 1x1 kernels, channel change of grouped ones, any change relative to zero.
    """
    before = base.detach().double()
    update = weight - before
    size = float(before.norm())
    lengths = weight.flatten(1).norm(dim=1) - before.flatten(1).norm(dim=1)
    relative, rescaling = _ratio(float(update.norm()), size), _ratio(float(lengths.norm()), size)
    return {
        "relative_change": relative,
        "rescaling": rescaling,
        "rotation": math.nan if math.isnan(relative) else math.sqrt(max(0.0, relative**2 - rescaling**2)),
        "spatial_change": _ratio(spatial_distance(before, weight), size),
        "channel_change": math.nan if grouped else _ratio(channel_distance(before, weight), size),
        "inside": share_inside(update, learned),
        **update_ranks(update),
    }


def random_turns(
    base: Float[Tensor, "c_out c k_h k_w"],
    weight: Float64[Tensor, "c_out c k_h k_w"],
    learned: Float64[Tensor, "d r"],
    draws: int,
    seed: int,
    grouped: bool = False,
) -> list[dict[str, float]]:
    """Return the measures of ``draws`` updates as large as that from ``base`` to ``weight`` and else random."""
    before = base.detach().double()
    update = (weight - before).flatten(1)
    factor = _short_factor(update)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for _ in range(draws):
        frame = haar_frame(update.shape[1], factor.shape[1], generator)
        turned = (factor @ frame.T).view_as(before)
        noise = float(update.norm()) * torch.randn(update.shape, generator=generator, dtype=torch.float64)
        found.append({**measure_update(base, before + turned, learned, grouped), **update_ranks(noise)})
    return found


def learned_directions(
    matrix: Float64[Tensor, "n d"], init_variance: float | None
) -> tuple[Float64[Tensor, "d r"], str]:
    """Return the leading eigenvectors of a layer's weight covariance, and the rule by which they count.

    Where the initial variance is known, those above the bulk; otherwise as many as the effective rank of the
    whole spectrum, which noise makes larger.
    """
    covariance = weight_covariance(matrix, init_variance or 1.0)
    if init_variance is not None:
        rank, rule = covariance.kept, "above the bulk of the initial weights"
    else:
        rank = math.ceil(effective_rank(covariance.eigenvalues))
        rule = "effective rank of the whole spectrum (initial variance unknown)"
    return covariance.eigenvectors[:, :rank], rule


def share_inside(update: Tensor, directions: Float64[Tensor, "d r"]) -> float:
    """Return ||D V||^2 / ||D||^2; NaN for no update or no directions."""
    rows = update.flatten(1)
    total = float(rows.square().sum())
    return float((rows @ directions).square().sum()) / total if total and directions.shape[1] else math.nan


def update_ranks(update: Tensor) -> dict[str, float]:
    """Return effective and stable rank of an update; 0 for none."""
    rows = update.flatten(1)
    rows = rows if len(rows) <= rows.shape[1] else rows.T
    values = torch.linalg.eigvalsh(rows @ rows.T).flip(0).clamp(min=0)
    stable = _ratio(float(values.sum()), float(values[0]))
    return {"update_effective_rank": effective_rank(values), "update_stable_rank": stable}


def update_rank(base: Float[Tensor, "c_out c k_h k_w"], weight: Float[Tensor, "c_out c k_h k_w"]) -> int:
    """Return in how many directions an update is more than the rounding of the weights after it.

    The singular values of W' - W above eps (||W|| + ||W'||), with eps that of the type in which W' is stored: an
    adapter of rank r, applied in float64, has r; a copy in a coarser type has 0.
    """
    before, after = base.detach().double(), weight.detach().double()
    values = torch.linalg.svdvals((after - before).flatten(1))
    size = float(before.norm()) + float(after.norm())
    return int((values > torch.finfo(weight.dtype).eps * size).sum())


def effective_rank(values: Float64[Tensor, " r"]) -> float:
    """Return sum_k k lambda_k / sum_k lambda_k of descending eigenvalues; 0 if all are zero."""
    order = torch.arange(1, len(values) + 1, dtype=values.dtype)
    return _ratio(float((order * values).sum()), float(values.sum()))


def spatial_distance(before: Tensor, after: Tensor) -> float:
    """Bures-Wasserstein distance of the second moments of kernels; NaN for 1x1 kernels."""
    if before[0, 0].numel() == 1:
        return math.nan
    return _moment_distance(*(weight.flatten(2).flatten(0, 1) for weight in (before, after)))


def channel_distance(before: Tensor, after: Tensor) -> float:
    """Bures-Wasserstein distance of the second moments over input channels."""
    return _moment_distance(*(weight.transpose(1, 3).flatten(0, 2) for weight in (before, after)))


def _short_factor(update: Float64[Tensor, "n d"]) -> Float64[Tensor, "n r"]:
    """Return L with L L^T = D D^T and r = min(n, d) columns: L times a Haar frame is D O."""
    if update.shape[1] <= len(update):
        return update
    values, vectors = torch.linalg.eigh(update @ update.T)
    factor: Tensor = vectors * values.clamp(min=0).sqrt()
    return factor


def _moment_distance(one: Float64[Tensor, "m p"], two: Float64[Tensor, "m p"]) -> float:
    """Return the distance of the second moments of rows, through the smaller of [p, p] and [p, m]."""
    if torch.equal(one, two):
        return 0.0
    if len(one) < one.shape[1]:
        return factor_distance(one.T, two.T)
    return bures_wasserstein_distance(one.T @ one, two.T @ two)


def _ratio(numerator: float, denominator: float) -> float:
    """Return a quotient, 0 for 0 / 0, and NaN for anything else over 0."""
    if denominator:
        return numerator / denominator
    return 0.0 if numerator == 0 else math.nan

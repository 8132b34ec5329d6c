"""How large an agreement is chance?

Chance is that one network's inputs are turned at random against the other's: U_12 = <P S_1, O P S_2 O^T>, O uniformly
distributed (Haar) over rotations. Its mean is 0 and its variance is exact for any neurons, dependent ones included,
because only their second moments S enter:

    plain    2 ||P S_1||^2 ||P S_2||^2 / ((d - 1)(d + 2))
    joint    2/((c - 1)(c + 2)) <G_1, G_2> + 2/(c (c - 1)) <H_1, H_2>     O on channels, one for all places
    slots    sum_s 2 ||P M_ss||^2 ||P N_ss||^2 / ((c - 1)(c + 2)) + sum_{s<t} 4 ||M_st||^2 ||N_st||^2 / c^2

(second moments of matrix elements of irreducible representations; Collins & Sniady 2006). In "joint", M^{ab} are the
c x c blocks of S_1 for places a, b; G holds the inner products of their symmetric traceless parts and H those of
their antisymmetric parts. In "slots" every slot is turned by a rotation of its own.

The third moment of the plain statistic follows from zonal polynomials (James 1964): with X = P S_1, Y = P S_2

    E U_12^3 = 8 d tr X^3 tr Y^3 / ((d - 2)(d - 1)(d + 2)(d + 4)),

so that its p-value is that of the gamma distribution with the exact mean, variance and skewness (exact in the limit
for two single directions, where U_12 is a chi-square of one degree); the others use the normal distribution.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.kernels.symmetric import gram

BLOCK = 2**22
"""Numbers held at a time; our choice."""


def plain_variance(energy_1: float, energy_2: float, dimension: int) -> float:
    """Return the variance of U_12 from ||P S_1||^2 and ||P S_2||^2."""
    return 2 * energy_1 * energy_2 / ((dimension - 1) * (dimension + 2))


def plain_skewness(
    rows_1: Float64[Tensor, "n1 d"],
    rows_2: Float64[Tensor, "n2 d"],
    energy_1: float,
    energy_2: float,
    inner: tuple[Tensor | None, Tensor | None] = (None, None),
) -> float:
    """Return the skewness of U_12 over rotations: 0 in two dimensions, where it is symmetric.

    ``inner`` are the inner products of either network's rows, where they are known.
    """
    d = rows_1.shape[1]
    variance = plain_variance(energy_1, energy_2, d) if d > 1 else 0.0
    one, two = (traceless_cube(rows, own) for rows, own in zip((rows_1, rows_2), inner, strict=True))
    return skewness_of_cubes(one, two, variance, d)


def skewness_of_cubes(cube_1: float, cube_2: float, variance: float, d: int) -> float:
    """Return the skewness of U_12 from tr (P S_1)^3 and tr (P S_2)^3."""
    if d < 3 or not variance > 0:
        return 0.0
    third = 8 * d * cube_1 * cube_2 / ((d - 2) * (d - 1) * (d + 2) * (d + 4))
    return third / (variance * math.sqrt(variance))


def traceless_cube(rows: Float64[Tensor, "n d"], inner: Float64[Tensor, "n n"] | None = None) -> float:
    """Return tr (S - tr S I / d)^3 with S = mean w w^T, from the smaller Gram matrix."""
    n, d = rows.shape
    products = (gram(rows.T) if n > d else gram(rows) if inner is None else inner) / n
    square = gram(products)  # the square of a symmetric matrix
    first, second = float(products.trace()), float(square.trace())
    third = float(square.flatten().dot(products.flatten()))
    return third - 3 * first * second / d + 2 * first**3 / d**2


def upper_tail(z: float, skewness: float = 0.0) -> float:
    """Return the probability of at least z by chance: a gamma distribution of the given skewness (Pearson's III)."""
    if math.isnan(z):
        return math.nan
    if abs(skewness) < 1e-3:
        return math.erfc(z / math.sqrt(2)) / 2
    shape = 4 / skewness**2
    at = torch.tensor(max(0.0, shape + z * math.copysign(math.sqrt(shape), skewness)), dtype=torch.float64)
    order = torch.tensor(shape, dtype=torch.float64)
    tail = torch.special.gammaincc if skewness > 0 else torch.special.gammainc
    return float(tail(order, at))


def slot_variance(blocks_1: Float64[Tensor, "n1 c s"], blocks_2: Float64[Tensor, "n2 c s"]) -> float:
    """Return the variance of U_12 where every slot is turned by its own rotation."""
    channels = blocks_1.shape[1]
    first, second = (_slot_energies(blocks) for blocks in (blocks_1, blocks_2))
    products = first * second
    own = products.diagonal().sum()
    return float(2 * own / ((channels - 1) * (channels + 2)) + 2 * (products.sum() - own) / channels**2)


def _slot_energies(blocks: Float64[Tensor, "n c s"]) -> Float64[Tensor, "s s"]:
    """||M_st||^2 of the blocks of the second moment, without the trace on the diagonal."""
    neurons, channels, _ = blocks.shape
    sides = blocks.movedim(2, 0)
    if neurons <= channels:
        grams = (sides @ sides.mT).flatten(1)
        found = grams @ grams.T
    else:
        found = torch.stack([(side.T @ sides).square().sum((1, 2)) for side in sides])
    found = found / neurons**2
    traces = blocks.square().sum((0, 1)) / neurons
    return found - (traces.square() / channels).diag()


def joint_variance(blocks_1: Float64[Tensor, "n1 c s"], blocks_2: Float64[Tensor, "n2 c s"]) -> float:
    """Return the variance of U_12 where one rotation turns the channels at all places."""
    channels, places = blocks_1.shape[1:]
    if channels <= places:
        parts = [parts_by_channel(blocks) for blocks in (blocks_1, blocks_2)]
        products = [float((a.T @ b).square().sum()) for a, b in zip(*parts, strict=True)]
    else:
        parts = [_products_of_parts(blocks) for blocks in (blocks_1, blocks_2)]
        products = [float((a * b).sum()) for a, b in zip(*parts, strict=True)]
    symmetric, antisymmetric = products
    return 2 * symmetric / ((channels - 1) * (channels + 2)) + 2 * antisymmetric / (channels * (channels - 1))


def _second_moment(blocks: Float64[Tensor, "n c s"]) -> Float64[Tensor, "s s c c"]:
    channels, places = blocks.shape[1:]
    rows = blocks.mT.flatten(1)
    return (rows.T @ rows / len(rows)).reshape(places, channels, places, channels).transpose(1, 2)


def parts_by_channel(blocks: Float64[Tensor, "n c s"]) -> tuple[Tensor, Tensor]:
    """Symmetric traceless and antisymmetric parts of all blocks M^{ab}, ``[s^2, c^2]`` each (few channels)."""
    moment = _second_moment(blocks)
    channels = moment.shape[2]
    trace = moment.diagonal(dim1=2, dim2=3).mean(2)[..., None, None] * torch.eye(channels).to(moment)
    symmetric, antisymmetric = (moment + moment.mT) / 2 - trace, (moment - moment.mT) / 2
    return symmetric.flatten(2).flatten(0, 1), antisymmetric.flatten(2).flatten(0, 1)


def _products_of_parts(blocks: Float64[Tensor, "n c s"]) -> tuple[Tensor, Tensor]:
    """Inner products of the symmetric traceless, and of the antisymmetric, parts of all M^{ab}: ``[s^2, s^2]``."""
    neurons, channels, places = blocks.shape
    if neurons <= channels:
        products = _products_by_pairs(blocks)
    else:
        moment = _second_moment(blocks).reshape(places**2, -1)
        products = moment @ moment.T
    products = products.reshape(places, places, places, places)
    swapped = products.transpose(2, 3)
    traces = (blocks.mT @ blocks).mean(0)
    symmetric = (products + swapped) / 2 - traces[:, :, None, None] * traces / channels
    return symmetric.flatten(2).flatten(0, 1), ((products - swapped) / 2).flatten(2).flatten(0, 1)


def _products_by_pairs(blocks: Float64[Tensor, "n c s"]) -> Float64[Tensor, "s2 s2"]:
    """<M^{ab}, M^{a'b'}> = mean over neurons i, j of T_aa' T_bb', T = W_i^T W_j: no d x d matrix is formed."""
    neurons, _, places = blocks.shape
    total = blocks.new_zeros(places**2, places**2)
    for pairs in _pair_products(blocks):
        total += pairs.T @ pairs
    total = total.reshape(places, places, places, places).transpose(1, 2)
    return total.reshape(places**2, places**2) / neurons**2


def _pair_products(blocks: Float64[Tensor, "n c s"]) -> Iterator[Float64[Tensor, "pairs s2"]]:
    """W_i^T W_j of all pairs of neurons, a row each, some neurons i at a time."""
    neurons, channels, places = blocks.shape
    columns = blocks.movedim(1, 0).reshape(channels, -1)
    step = max(1, BLOCK // (neurons * places**2))
    for start in range(0, neurons, step):
        part = blocks[start : start + step]
        products = part.mT.reshape(-1, channels) @ columns
        products = products.reshape(len(part), places, neurons, places).transpose(1, 2)
        yield products.reshape(-1, places**2)

"""Do two layers tell the same images apart in the same way?

Not of weights: of what layers *receive*. Two images are as similar, to a layer, as the inner product of what it
receives for them. With K_ij the similarities of n images in one layer, L_ij in another, and A, B both without what
belongs to a single image (`distinctions`),

    HSIC_1 = sum_{i != j} A_ij B_ij / (n (n - 3)),
    debiased CKA = HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)),

a cosine of distinctions that are made between *different* images. No image meets itself, so that HSIC_1 is unbiased
however many dimensions a layer has (Song et al. 2012, eq. 5): like R of weights (`covalign.encoding.debiased`),
which averages over different neurons. The cosine that keeps the diagonal, plain CKA, goes to 1 for *unrelated* layers
of many more dimensions than there are images; this one is then 0 on average.

It says which layers correspond, not whether they learned the same: networks of other weights, and untrained ones,
tell images apart alike where the images themselves do so strongly.
"""

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.arrays import ArrayLike, as_float64
from covalign.errors import InputError

IMAGES = 4
"""Fewest images for which distinctions are known: HSIC_1 is an average over four different ones."""
SMALLEST = 1e-6
"""What a layer has to vary by, relative to its size; below, the rounding of float32 is compared (our choice)."""


def debiased_cka(rows_1: ArrayLike, rows_2: ArrayLike) -> float:
    """Return how alike two layers tell images apart: debiased centered kernel alignment (CKA).

        debiased CKA = HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)),   K = X X^T, L = Y Y^T,
        HSIC_1(K, L) = (tr(KL) + 1^T K 1 1^T L 1 / ((n - 1)(n - 2)) - 2/(n - 2) 1^T K L 1) / (n (n - 3)),

    with the diagonals of K and L set to 0. A cosine, unitless, in [-1, 1]: 1 where similarities of different images
    are proportional, up to what belongs to a single image; 0 on average where images of one layer are dealt to the
    other at random, whatever the dimensions; negative where what one layer takes for alike the other takes apart. A
    rotation, a shift and a factor common to all rows change nothing. It compares what layers *receive*, not their
    weights.

    Args:
        rows_1: X ``[n, d1]``, what one layer receives for n images, a row each, in any unit.
        rows_2: Y ``[n, d2]``, another layer for the same images, in the same order.

    Returns:
        The value; NaN where a layer makes no distinctions (`SMALLEST`).

    Raises:
        InputError: arrays of other shapes, different numbers of images, or fewer than four.

    Example:
        Two unrelated layers of far more dimensions than images, and one layer that is turned:

        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> one, other = torch.randn(40, 2000), torch.randn(40, 2000)
        >>> abs(debiased_cka(one, other)) < 0.1
        True
        >>> round(debiased_cka(one, one.flip(1)), 6)
        1.0

    References:
        Song, Smola, Gretton, Bedo & Borgwardt, "Feature selection via dependence maximization", Journal of Machine
        Learning Research 13, 2012, eq. 5 (HSIC_1); Kornblith, Norouzi, Lee & Hinton, "Similarity of neural network
        representations revisited", ICML 2019 (CKA); Nguyen, Raghu & Kornblith, "Do wide and deep networks learn the
        same things?", ICLR 2021 (with HSIC_1); Murphy, Zylberberg & Fyshe, "Correcting biased centered kernel
        alignment measures in biological and artificial neural networks", Re-Align workshop at ICLR 2024.
    """
    first, second = as_float64(rows_1, "rows_1", "n d1"), as_float64(rows_2, "rows_2", "n d2")
    if len(first) != len(second) or len(first) < IMAGES:
        raise InputError(
            f"debiased CKA: got {len(first)} and {len(second)} rows, expected one for each of the same images, "
            f"{IMAGES} at least; pass the same images through both networks"
        )
    return float(distinctions(first) @ distinctions(second))


def distinctions(rows: Float64[Tensor, "n d"]) -> Float64[Tensor, " pairs"]:
    """Return how a layer tells images apart: A of every two different images, at unit length.

        A_ij = K_ij - r_i - r_j + s,   r_i = sum_{l != i} K_il / (n - 2),   s = sum_{k != l} K_kl / ((n - 1)(n - 2)),

    for i != j (U-centring, Szekely & Rizzo 2014): every row of A sums to 0. Debiased CKA is the inner product of the
    distinctions of two layers.

    Args:
        rows: what the layer receives, a row an image; four images at least.

    Returns:
        A_ij of i < j, row by row, ``[n (n - 1) / 2]``; NaN where all images are received alike, or differ in nothing
        that two of them share.
    """
    n = len(rows)
    centred = rows - rows.mean(0)
    gram = centred @ centred.T
    size = float(gram.norm())
    upper = torch.triu_indices(n, n, 1)
    gram.fill_diagonal_(0)
    sums = gram.sum(1)
    own = sums / (n - 2)
    total = sums.sum() / ((n - 1) * (n - 2))
    found: Tensor = gram[upper[0], upper[1]] - own[upper[0]] - own[upper[1]] + total
    length = float(found.norm())
    varies = float(centred.norm()) > SMALLEST * float(rows.norm())
    if not varies or length <= SMALLEST * size:
        return torch.full_like(found, torch.nan)
    return found / length

"""Which pictures does a report show, where every pixel is a number?"""

from collections.abc import Mapping, Sequence

from jaxtyping import Float64
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from covalign.encoding.spatial import SpatialCovariance
from covalign.figures.spatial import greys
from covalign.report.page import Gallery, Raster
from covalign.report.tables import left_out

PICTURES = 9
STRIPS = 120
FOLDED_FROM = 12
"""Rows from which a gallery shows only when it is opened."""
PIXELS = 64
"""Largest side of a picture of a kernel."""


def spatial_eigenvectors(spatial: Mapping[tuple[str, str], SpatialCovariance]) -> Gallery | None:
    """Return the nine leading spatial eigenvectors of every layer, or as many as it has kernels, with their shares.

    Args:
        spatial: `Comparison.spatial`, by network and layer.
    """
    rows = []
    for (name, layer), space in list(spatial.items())[:STRIPS]:
        shares = (space.eigenvalues / space.eigenvalues.sum()).tolist()
        tiles = tuple(
            Raster(
                greys(coarse(picture)),
                f"Spatial eigenvector of {layer}: {share:.0%} of the variance.",
                f"{share:.0%}",
            )
            for picture, share in zip(space.pictures[: min(PICTURES, space.patterns)], shares, strict=False)
        )
        rows.append((f"{name} · {layer}", tiles))
    caption = (
        "Leading eigenvectors of each layer’s spatial covariance, with their share of its variance. Mid-grey is "
        "zero; the sign is a convention."
        + left_out(len(spatial), STRIPS, "layers")
        + _coarsened([space.kernel_size for space in list(spatial.values())[:STRIPS]])
    )
    folded = len(rows) > FOLDED_FROM
    return Gallery(tuple(rows), caption, size=44, columns=2, folded=folded) if rows else None


def coarse(kernel: Float64[Tensor, "k_h k_w"]) -> Float64[Tensor, "p q"]:
    """Average a kernel of more than `PIXELS` taps along a side over that many cells."""
    size = (min(PIXELS, kernel.shape[0]), min(PIXELS, kernel.shape[1]))
    return kernel if size == tuple(kernel.shape) else adaptive_avg_pool2d(kernel[None], size)[0]


def _coarsened(sizes: Sequence[tuple[int, int]]) -> str:
    """Say how many layers are shown coarser than their kernels are."""
    count = sum(max(size) > PIXELS for size in sizes)
    noun = "layer" if count == 1 else "layers"
    return f" Kernels of {count} {noun} are averaged to at most {PIXELS} pixels a side." if count else ""


def kernel_gallery(heading: str, kernels: Sequence[Tensor], caption: str) -> Gallery:
    """Return kernels as numbered pictures.

    Args:
        heading: of the row.
        kernels: each of shape ``[k_h, k_w]``.
        caption: of the gallery.
    """
    tiles = tuple(
        Raster(greys(kernel), f"{heading}, number {rank}.", str(rank))
        for rank, kernel in enumerate(kernels, 1)
    )
    return Gallery(((heading, tiles),), caption, size=76)

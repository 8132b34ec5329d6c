"""Which pictures does a report show, where every pixel is a number?"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from covalign.encoding.spatial import SpatialCovariance
from covalign.figures.spatial import greys
from covalign.report.page import Gallery, Raster
from covalign.report.tables import left_out

PICTURES = 9
STRIPS = 120


def spatial_eigenvectors(spatial: Mapping[tuple[str, str], SpatialCovariance]) -> Gallery | None:
    """Return the nine leading spatial eigenvectors of every layer, with their share of its variance.

    Args:
        spatial: `Comparison.spatial`, by network and layer.
    """
    rows = []
    for (name, layer), space in list(spatial.items())[:STRIPS]:
        shares = (space.eigenvalues / space.eigenvalues.sum()).tolist()
        tiles = tuple(
            Raster(
                greys(picture),
                f"Spatial eigenvector of {layer}: {share:.0%} of the variance.",
                f"{share:.0%}",
            )
            for picture, share in zip(space.pictures[:PICTURES], shares, strict=False)
        )
        rows.append((f"{name} · {layer}", tiles))
    caption = (
        "Leading eigenvectors of each layer’s spatial covariance, with their share of its variance. Mid-grey is "
        "zero; the sign is a convention." + left_out(len(spatial), STRIPS, "layers")
    )
    return Gallery(tuple(rows), caption, size=44, columns=2) if rows else None


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

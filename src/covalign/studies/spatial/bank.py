"""Which filters does a population of networks agree on?"""

from collections.abc import Mapping, Sequence

import torch

from covalign.arrays import ArrayLike
from covalign.encoding.spatial import check_same_size, diagonalize, spatial_covariance
from covalign.errors import InputError
from covalign.networks.filters import FilterBank


def filter_bank(
    weights: Mapping[str, Sequence[ArrayLike]], count: int = 5, skip_first: bool = True
) -> FilterBank:
    """Make a filter bank from joint networks.

    The trace-normalized spatial covariances of all layers (but the first) are averaged; the ``count``
    leading eigenvectors are the filters. Which networks and kernel size the paper used is not stated; this
    average is our choice.

    Args:
        weights: per network name, the weights ``[c_out, c_in, k, k]`` of its layers in order.
        count: number of filters.
        skip_first: leave out every network's first layer, whose patterns differ.

    Raises:
        InputError: no layer is left, or kernel sizes differ.
    """
    used = [
        spatial_covariance(weight)
        for layers in weights.values()
        for weight in (layers[1:] if skip_first else layers)
    ]
    if not used:
        raise InputError("filter bank: no layer to average; pass networks with at least two layers")
    for other in used:
        check_same_size(used[0], other)
    mean = sum((c.matrix / c.eigenvalues.sum() for c in used), torch.zeros_like(used[0].matrix)) / len(used)
    average = diagonalize(mean, used[0].kernel_size, sum(c.kernels for c in used))
    share = average.eigenvalues[:count].sum() / average.eigenvalues.sum()
    provenance = {
        "name": "measured",
        "networks": list(weights),
        "layers": len(used),
        "skip_first": skip_first,
        "trace_share": float(share),
    }
    return FilterBank.of(average.pictures[:count], provenance)

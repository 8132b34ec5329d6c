"""How are the neurons of a new layer drawn?

A row is K g + sqrt(rest) h with K K^T + rest I the covariance of the encoding and g, h standard normal: neurons are
independent Gaussian draws
(Guth, Menard, Rochette & Mallat 2023, "A rainbow in deep network black boxes"). With A ``[d, d_new]`` the alignment
of the new network's inputs with the reference's, E |phi - A phi_new|^2 smallest, the row acts on the new inputs as
A^T w. Kernels of another size are interpolated (bicubic), as filter banks are. Where the new layer is narrower than
the encoding, what lies outside the range of A is lost; the coverage says how much is left.

Lengths: covariances are in units of the initial variance, so that the mean square of new weights is 1 / (3 d_new)
times tr C / d, whatever was lost.
"""

import math

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.nn import functional

from covalign.encoding.haar import normal
from covalign.errors import InputError
from covalign.first_layer.initialization import initial_filters
from covalign.first_layer.patches import patch_covariance
from covalign.first_layer.prediction import predicted_energy
from covalign.studies.universal.record import EncodedLayer

PEAK_TIME = 60.0
"""tau lambda_1^2 of the closed form: in the middle of what networks fit best (41 to 114 on CIFAR-10; our choice)."""


def drawn_rows(
    layer: EncodedLayer,
    rotation: Float64[Tensor, "c c_new"],
    neurons: int,
    kernel: tuple[int, int],
    generator: torch.Generator,
) -> tuple[Float64[Tensor, "n c_new k_h k_w"], float]:
    """Draw neurons from an encoded layer into the coordinates of a new one.

    Args:
        layer: of the encoding.
        rotation: A, alignment of the new inputs (columns) with the reference's (rows).
        neurons: n.
        kernel: height and width in the new layer.
        generator: of the draws.

    Returns:
        The weights, and the coverage: the share of the rows' energy that A keeps.

    Raises:
        InputError: another kernel where the encoding has none, or a rotation of another size.
    """
    if (layer.kernel == (1, 1)) != (kernel == (1, 1)):
        raise InputError(
            f"universal encoding: layer {layer.name!r} has kernels of {layer.kernel[0]}x{layer.kernel[1]}, which "
            f"cannot become {kernel[0]}x{kernel[1]}; pointwise layers stay pointwise"
        )
    factor = layer.factor.double()
    rows = normal(neurons, factor.shape[1], generator=generator) @ factor.T
    if layer.rest:
        rows += math.sqrt(layer.rest) * normal(*rows.shape, generator=generator)
    blocks = rows.reshape(neurons, layer.channels, layer.places)
    turned = torch.einsum("ncs,ck->nks", blocks, rotation)
    whole = float(rows.square().sum())
    coverage = float(turned.square().sum()) / whole if whole > 0 else math.nan
    weight = _with_kernel(turned.unflatten(2, layer.kernel), kernel)
    target = layer.variance / (3 * weight[0].numel())
    return weight * math.sqrt(target / float(weight.square().mean())), coverage


def closed_form_rows(
    inputs: Float64[Tensor, "n c h w"], neurons: int, kernel: tuple[int, int], seed: int
) -> Float64[Tensor, "neurons c k_h k_w"]:
    """Draw a first layer from what its own inputs look like, in any number of channels.

    Its energy along the principal axes of patches is that of the linear network (Chowers & Weiss 2023, eq. 7) at the
    time `PEAK_TIME`, its orientation within them random. Where the layer reads the responses to a filter bank, these
    are the patches.

    Raises:
        InputError: a kernel that is not square.
    """
    if kernel[0] != kernel[1]:
        raise InputError(f"first layer: got kernels of {kernel[0]}x{kernel[1]}, expected square ones")
    patches = patch_covariance(inputs, kernel[0])
    profile = predicted_energy(patches, PEAK_TIME / float(patches.standard_deviations[0]) ** 2)
    return initial_filters(patches, profile, neurons, seed=seed)


def _with_kernel(
    weight: Float64[Tensor, "n c h w"], kernel: tuple[int, int]
) -> Float64[Tensor, "n c k_h k_w"]:
    if tuple(weight.shape[2:]) == kernel:
        return weight
    return functional.interpolate(weight, size=kernel, mode="bicubic", align_corners=False)

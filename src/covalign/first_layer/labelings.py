"""Data sets made so that their labels, or their images, favour one patch component.

Each transformation returns new `Images` to train on: the experiments of Chowers & Weiss 2023, appendix D, and
a planted dependence of chosen strength.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.errors import InputError
from covalign.first_layer.patches import PatchCovariance, average_patches, pixel_batches


def patch_energies(
    images: Images, patch_covariance: PatchCovariance, normalization: Normalization | None = None
) -> Float64[Tensor, "n d"]:
    """Energy sum_j (p_j^T u_i)^2 of each image along each patch component, over its J patches."""
    components, stride = patch_covariance.components, patch_covariance.stride
    return torch.cat(
        [
            torch.nn.functional.conv2d(batch, components, stride=stride).square().sum((2, 3))
            for batch in pixel_batches(images, normalization)
        ]
    )


def energy_decile_labels(
    images: Images,
    patch_covariance: PatchCovariance,
    component: int,
    normalization: Normalization | None = None,
    bins: int = 10,
) -> Images:
    """Relabel images by the energy of one component: class 0 has the most, class ``bins`` - 1 the least.

    Such labels are even in the component's coefficient, so that the *linear* model predicts little change.

    Args:
        images: the images.
        patch_covariance: gives the component.
        component: index, 0 for the leading one (the paper counts from 1).
        normalization: as for the patch covariance.
        bins: number of classes of equal size.

    References:
        Chowers & Weiss 2023, appendix D.1.
    """
    _check_component(component, patch_covariance)
    energy = patch_energies(images, patch_covariance, normalization)[:, component]
    return _quantile_labels(images, -energy, bins, f"energy {component}")


def mean_patch_labels(
    images: Images,
    patch_covariance: PatchCovariance,
    component: int,
    strength: float | int = 1.0,
    normalization: Normalization | None = None,
    bins: int = 2,
    seed: int = 0,
) -> Images:
    """Relabel images by the average patch's coefficient along one component, mixed with noise.

    The score is s z + sqrt(1 - s^2) noise, with z the standardized coefficient, s the strength; classes are
    its quantiles, class 0 the lowest. Strength 0 gives random labels.

    Args:
        images: the images.
        patch_covariance: gives the component.
        component: index, 0 for the leading one.
        strength: s, from 0 to 1.
        normalization: as for the patch covariance.
        bins: number of classes of equal size.
        seed: of the noise.

    Raises:
        InputError: a strength outside [0, 1] or a component that does not exist.
    """
    _check_component(component, patch_covariance)
    if not 0 <= strength <= 1:
        raise InputError(f"strength: got {strength}, expected a number from 0 (random) to 1 (planted)")
    averages = average_patches(images, patch_covariance.kernel_size, patch_covariance.stride, normalization)
    coefficient = averages @ patch_covariance.eigenvectors[:, component]
    coefficient = (coefficient - coefficient.mean()) / coefficient.std(correction=0)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(images), generator=generator, dtype=torch.float64)
    score = strength * coefficient + (1 - strength**2) ** 0.5 * noise
    return _quantile_labels(images, score, bins, f"mean patch {component}, {strength:g}")


def amplified_component(
    images: Images,
    patch_covariance: PatchCovariance,
    component: int,
    factor: float | int,
    normalization: Normalization,
    padding: int = 0,
    reading: Normalization | None = None,
) -> tuple[Images, Normalization]:
    """Amplify one patch component: p <- p + (factor - 1) (p^T u) u for every patch of every image.

    Overlapping patches cannot all be changed within one image, so they are laid out side by side: an image
    with P x Q windows becomes one of kP x kQ pixels, to be read by a first layer of stride k and no padding.
    Its patches have standard deviation factor x lambda along u and are otherwise unchanged
    (see `amplified_covariance`).

    Args:
        images: the images.
        patch_covariance: gives the component; its stride is that of the windows.
        component: index, 0 for the leading one.
        factor: by which it is amplified.
        normalization: as for the patch covariance.
        padding: zeros (in normalized units) around every image before its windows are taken; with k // 2 and
            factor 1, a first layer sees exactly what it sees of the original images.
        reading: the normalization that the new images are to be read by, whose range cuts off what lies beyond;
            None takes the range that the values need.

    Returns:
        The images, as uint8, and the normalization that maps them back to the amplified values, to half a step of
        its range. Rounding adds step^2 / 12 to every variance, which the smallest ones feel.

    References:
        Chowers & Weiss 2023, appendix D.2 (factor not stated there; stride inferred).
    """
    _check_component(component, patch_covariance)
    batches = partial(_amplified_batches, images, patch_covariance, component, factor, normalization, padding)
    name = f"{images.name} (component {component} x {factor:g})"
    if reading is None:
        extremes = [torch.stack(batch.aminmax()) for batch in batches()]
        low, high = float(torch.stack(extremes).min()), float(torch.stack(extremes).max())
        scale = (high - low) or 1.0
        reading = Normalization(name, (-low / scale,), (1 / scale,))
    mean, std = (
        torch.tensor(each, dtype=torch.float64).view(-1, 1, 1) for each in (reading.mean, reading.std)
    )
    pixels = [(255 * (batch * std + mean)).round().clamp(0, 255).to(torch.uint8) for batch in batches()]
    return replace(images, pixels=torch.cat(pixels), name=name), reading


def amplified_covariance(
    patch_covariance: PatchCovariance, component: int, factor: float | int
) -> PatchCovariance:
    """Patch covariance after one component is amplified: lambda_t becomes factor x lambda_t, and finds its place.

    With T = I + (factor - 1) u u^T, second moments become T Sigma T and T A T, and the mean T p; eigenvectors stay.

    Args:
        patch_covariance: of the images as they are.
        component: index t of the amplified component, 0 for the leading one.
        factor: by which it is amplified, positive.

    References:
        Chowers & Weiss 2023, appendix D.2.
    """
    _check_component(component, patch_covariance)
    direction = patch_covariance.eigenvectors[:, component]
    turn = torch.eye(len(direction), dtype=torch.float64) + (factor - 1) * torch.outer(direction, direction)
    deviations = patch_covariance.standard_deviations.clone()
    deviations[component] *= factor
    order = deviations.argsort(descending=True, stable=True)
    return replace(
        patch_covariance,
        standard_deviations=deviations[order],
        eigenvectors=patch_covariance.eigenvectors[:, order],
        mean=turn @ patch_covariance.mean,
        average_covariance=turn @ patch_covariance.average_covariance @ turn,
    )


def _amplified_batches(
    images: Images,
    patch_covariance: PatchCovariance,
    component: int,
    factor: float | int,
    normalization: Normalization,
    padding: int,
) -> Iterator[Float64[Tensor, "n c h w"]]:
    """Yield amplified patches laid out side by side, in normalized units."""
    k, stride = patch_covariance.kernel_size, patch_covariance.stride
    direction = patch_covariance.components[component]
    for batch in pixel_batches(images, normalization):
        padded = torch.nn.functional.pad(batch, (padding,) * 4)
        windows = padded.unfold(2, k, stride).unfold(3, k, stride)
        coefficients = torch.einsum("ncpqhw,chw->npq", windows, direction)
        changed = windows + (factor - 1) * torch.einsum("npq,chw->ncpqhw", coefficients, direction)
        n, c, p, q = changed.shape[:4]
        yield changed.permute(0, 1, 2, 4, 3, 5).reshape(n, c, p * k, q * k)


def _quantile_labels(images: Images, score: Tensor, bins: int, name: str) -> Images:
    """Images relabelled by equal-sized bins of a score, lowest first."""
    if not 2 <= bins <= len(images):
        raise InputError(f"bins: got {bins}, expected 2 to {len(images)}, the number of images")
    ranks = score.argsort(stable=True).argsort()
    labels = ranks * bins // len(images)
    classes = tuple(f"{name}: bin {index}" for index in range(bins))
    return replace(images, labels=labels, classes=classes, name=f"{images.name} ({name})")


def _check_component(component: int, patch_covariance: PatchCovariance) -> None:
    if not 0 <= component < patch_covariance.dimension:
        raise InputError(
            f"component: got {component}, expected 0 (the leading one) to {patch_covariance.dimension - 1}"
        )

"""What did this network's first layer learn, and could it have been known from the images alone?

One record with everything on both sides: patch statistics and predictions, which need images only, and the
measured profile, its fit and that fit's baseline, which need a network. All predictions belong to one
training time, given as tau lambda_1^2; the exact linear CNN, whose time multiplies the variances of average
patches, runs for J tau (`linear_cnn_tau`).
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.data.normalization import Normalization
from covalign.errors import InputError
from covalign.first_layer.dependence import LabelDependence, label_dependence
from covalign.first_layer.energy import EnergyProfile, energy_profile
from covalign.first_layer.fourier import fourier_agreement
from covalign.first_layer.initialization import initial_filters
from covalign.first_layer.patches import PatchCovariance, patch_covariance
from covalign.first_layer.prediction import (
    fit_energy,
    linear_cnn_energy,
    linear_cnn_tau,
    predicted_energy,
)
from covalign.first_layer.verdict import verdict
from covalign.first_layer.whitening import Autocorrelation, autocorrelation, whitening_filters
from covalign.networks.network import Layer, Network
from covalign.studies.first_layer.record import FirstLayerSummary
from covalign.studies.subjects import Source, open_subject
from covalign.training.run import Run

PUBLISHED_TIME = 70.0
"""tau lambda_1^2 of predictions without a network: the formula fits the CIFAR-10 curves that Chowers & Weiss
(2023) print best between 40 and 110 (our reading of their figures 3 and 7)."""

AUTOCORRELATION_IMAGES = 1000
MAX_SHIFT = 15
FILTERS = 64


def first_layer_summary(
    network: Source | Images | None = None,
    images: Images | Source | None = None,
    *,
    kernel_size: int = 3,
    scaled_time: float | int | None = None,
    normalization: Normalization | None = None,
    draws: int = 200,
    seed: int = 0,
    provenance: Mapping[str, Any] | None = None,
) -> FirstLayerSummary:
    """Measure a first layer and predict it; without a network, predict only.

    Args:
        network: with a first layer that reads pixels; of a `Run`, the initial weights and the training are
            known too. None predicts only.
        images: what the network was trained on, or would be. The two in the other order are deprecated.
        kernel_size: of the patches where there is no network.
        scaled_time: tau lambda_1^2 of the predictions; None takes the fitted one, and `PUBLISHED_TIME`
            without a network.
        normalization: None takes the network's own, else that which gives every channel of these images
            mean 0 and standard deviation 1.
        draws: number of random initializations behind the fit.
        seed: of everything random.
        provenance: kept with the result.

    Raises:
        InputError: a time that is not positive, a network whose first layer does not read these images, and what the
            parts raise.

    Example:
        Without a network: stripes of one frequency, at random phases. Two components of their patches have variance,
        and the prediction is 0 for all others.

        >>> import numpy as np
        >>> from covalign import load_images
        >>> columns = np.arange(16) + np.random.default_rng(0).integers(4, size=(80, 1, 1))
        >>> stripes = np.array([228, 128, 28, 128], np.uint8)[columns % 4]
        >>> images = load_images((np.broadcast_to(stripes, (80, 16, 16)), np.arange(80) % 2))
        >>> found = first_layer_summary(images=images, kernel_size=4)
        >>> int((found.patches.standard_deviations > 1e-3).sum())
        2
        >>> int((found.predictions["formula"].energy > 1e-3).sum())
        2
    """
    if scaled_time is not None and not 0 < scaled_time < math.inf:
        raise InputError(
            f"scaled_time (--time): got {scaled_time:g}, expected a positive training time; "
            f"{PUBLISHED_TIME:g} without a network, or leave it out"
        )
    network, images = _in_order(network, images)
    subject = None if network is None else open_subject(network)
    run, net = (subject.run, subject.network) if subject else (None, None)
    if bool((images.pixels == images.pixels[:1]).all()):
        raise InputError(
            f"{images.name}: got {len(images)} images that are all the same, expected different ones: nothing varies "
            "that a first layer could learn"
        )
    layer = first_layer(net, images) if net else None
    reading = normalization or (net.normalization if net else None) or channel_normalization(images)
    k, stride = (layer.weight.shape[-1], layer.stride[0]) if layer else (kernel_size, 1)
    patches = patch_covariance(images, k, stride, normalization=reading)
    leading = float(patches.standard_deviations[0]) ** 2
    profile = energy_profile(layer.weight, patches, layer.initial) if layer else None
    fit = fit_energy(profile, patches, draws, seed) if profile else None
    fitted = fit.tau * leading if fit else PUBLISHED_TIME
    time = float(fitted if scaled_time is None else scaled_time)
    several = len(images.labels.unique()) > 1
    dependence = label_dependence(images, patches, reading, seed) if several else None
    return FirstLayerSummary(
        images=images.name,
        patches=patches,
        predictions=predictions(patches, time, dependence, fitted=fit is not None),
        network=net.name if net else "",
        weight=layer.weight.detach() if layer else None,
        profile=profile,
        before=energy_profile(layer.initial, patches) if layer and layer.initial is not None else None,
        fit=fit,
        scaled_time=time,
        linear_cnn_time=leading * training_tau(run, patches.positions) if run else None,
        fourier=fourier_agreement(patches),
        autocorrelations=autocorrelations(images, reading, patches, layer, time, seed),
        dependence=dependence,
        verdict=verdict(dependence, patches) if dependence else None,
        provenance={"normalization": asdict(reading), "draws": draws, "seed": seed, **(provenance or {})},
    )


def _in_order(
    network: Source | Images | None, images: Images | Source | None
) -> tuple[Source | None, Images]:
    if isinstance(network, Images):
        said = "first_layer_summary(images, network) is deprecated; pass first_layer_summary(network, images)"
        warnings.warn(said, DeprecationWarning, stacklevel=3)
        network, images = images, network
    if isinstance(network, Images) or not isinstance(images, Images):
        raise InputError(f"first_layer_summary: got images of type {type(images).__name__}, expected Images")
    return network, images


def first_layer(network: Network, images: Images) -> Layer:
    """Return the layer that reads the pixels.

    Raises:
        InputError: the first layer is not a convolution of the images' channels with a square kernel.
    """
    if not network.layers:
        raise InputError(f"network {network.name!r}: no layers were read; it has no first layer to look at")
    layer, channels = network.layers[0], images.pixels.shape[1]
    height, width = layer.weight.shape[2:]
    if layer.kind != "convolution" or layer.factorized or height != width or layer.channels != channels:
        raise InputError(
            f"network {network.name!r}: its first layer {layer.name!r} is {layer.form} ({layer.kind}) with "
            f"weights {tuple(layer.weight.shape)}, expected a convolution of the images' {channels} channels "
            f"with a square kernel; give images of {layer.channels} channels if it reads pixels (in factorized "
            "networks the first kernels are frozen, not learned)"
        )
    return layer


def channel_normalization(images: Images) -> Normalization:
    """Return the normalization that gives every channel mean 0 and standard deviation 1."""
    count = images.pixels[:, 0].numel()
    channels = [images.pixels[:, channel].flatten() for channel in range(images.pixels.shape[1])]
    levels = torch.arange(256, dtype=torch.float64) / 255
    shares = [torch.bincount(values, minlength=256).double() / count for values in channels]
    means = [float(share @ levels) for share in shares]
    spreads = [
        float((share @ (levels - mean).square()).sqrt()) or 1.0
        for share, mean in zip(shares, means, strict=True)
    ]
    return Normalization("of these images", tuple(means), tuple(spreads))


def predictions(
    patches: PatchCovariance, scaled_time: float, dependence: LabelDependence | None, fitted: bool
) -> dict[str, EnergyProfile]:
    """Return the exact linear CNN for random labels and for these; where nothing was fitted, the formula too."""
    tau = scaled_time / float(patches.standard_deviations[0]) ** 2
    tau_average = patches.positions * tau
    predicted = {} if fitted else {"formula": predicted_energy(patches, tau)}
    predicted["linear CNN, random labels"] = linear_cnn_energy(patches, tau_average)
    if dependence is not None:
        cross = dependence.cross_covariance
        predicted["linear CNN, these labels"] = linear_cnn_energy(patches, tau_average, cross)
    return predicted


def training_tau(run: Run, positions: int) -> float:
    """Return 2 eta K t / J of a finished training, summing its learning rates epoch by epoch."""
    spec, count = run.spec, run.facts.training_images
    steps = count // spec.batch_size if spec.drop_last else -(-count // spec.batch_size)
    filters = len(next(iter(run.network.layers)).weight)
    return sum(linear_cnn_tau(epoch.learning_rate, filters, steps, positions) for epoch in run.history)


def autocorrelations(
    images: Images,
    normalization: Normalization,
    patches: PatchCovariance,
    layer: Layer | None,
    scaled_time: float,
    seed: int,
) -> dict[str, Autocorrelation]:
    """Return curves of the images and of responses to random, learned or predicted, and whitening filters."""
    few = images.sample(AUTOCORRELATION_IMAGES, seed=seed)
    reach = min(MAX_SHIFT, min(images.pixels.shape[2:]) - patches.kernel_size)
    count = FILTERS if layer is None else layer.neurons
    banks: dict[str, Float64[Tensor, "K c k k"] | None] = {
        "images": None,
        "random filters": _random_filters(patches, count, seed),
        "perfect whitener": whitening_filters(patches),
    }
    if layer is None:
        formula = predicted_energy(patches, scaled_time / float(patches.standard_deviations[0]) ** 2)
        banks["predicted filters"] = initial_filters(patches, formula, count, seed=seed)
    else:
        banks["learned filters"] = layer.weight.double()
    return {name: autocorrelation(few, bank, reach, normalization) for name, bank in banks.items()}


def _random_filters(patches: PatchCovariance, count: int, seed: int) -> Float64[Tensor, "K c k k"]:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, *patches.components.shape[1:])
    return torch.randn(shape, generator=generator, dtype=torch.float64)

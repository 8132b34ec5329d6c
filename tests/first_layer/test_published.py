"""Published networks and real images: what the files alone say."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from covalign.data.loading import load_images
from covalign.data.normalization import NORMALIZATIONS
from covalign.first_layer.dependence import label_dependence
from covalign.first_layer.energy import EnergyProfile, energy_profile, profile_correlation, sampling_limit
from covalign.first_layer.patches import patch_covariance
from covalign.first_layer.prediction import fit_energy
from covalign.first_layer.whitening import autocorrelation, whitening_filters

pytestmark = pytest.mark.shared
CIFAR = NORMALIZATIONS["cifar"]


@pytest.fixture(scope="module")
def images(shared: Path):
    return load_images(shared / "data" / "cifar10-jpeg", max_images=3000, cache=False)


@pytest.fixture(scope="module")
def patches(images):
    return patch_covariance(images, 3, normalization=CIFAR)


@pytest.fixture(scope="module")
def resnets(shared: Path, patches) -> tuple[EnergyProfile, EnergyProfile]:
    folder = shared / "models" / "cifar10-resnets"
    return tuple(
        energy_profile(load_file(folder / f"{name}.safetensors")["conv1.weight"], patches)
        for name in ("resnet20", "resnet56")
    )


def test_published_resnets_learned_nearly_the_profile_that_sixteen_filters_can_agree_on(resnets):
    agreement = profile_correlation(*resnets)
    assert agreement == pytest.approx(0.88, abs=0.02)
    assert agreement < sampling_limit(*resnets) < 0.94


def test_formula_fits_published_resnets_beyond_random_weights_but_below_the_papers_level(resnets, patches):
    fits = [fit_energy(profile, patches) for profile in resnets]
    assert all(0.55 < fit.correlation < 0.8 for fit in fits)
    assert all(fit.p_value < 0.05 for fit in fits)


def test_classes_of_natural_images_differ_in_their_average_patch(images, patches):
    dependence = label_dependence(images, patches, CIFAR)
    assert dependence.significant > 0.3
    assert dependence.signal.max() > 5


def test_small_kernels_cannot_whiten_natural_images(images, patches):
    few = images.take(images.labels.argsort()[::10])
    inputs = autocorrelation(few, max_shift=10, normalization=CIFAR)
    whitened = autocorrelation(few, whitening_filters(patches), 10, CIFAR)
    assert inputs.horizontal[10] > 0.4
    assert inputs.horizontal[10] > inputs.vertical[10] > 0.2
    assert 0.05 < whitened.horizontal[10] < 0.2

"""Which data sets are made for an exhibit, out of others?"""

import math

from covalign.data.images import Images
from covalign.data.normalization import NORMALIZATIONS, normalization
from covalign.first_layer.labelings import amplified_component, energy_decile_labels
from covalign.first_layer.patches import PatchCovariance, patch_covariance

CIFAR = NORMALIZATIONS["cifar"]

PLACE = 5
"""Place among the components, counted from 1, that an amplified one takes (our choice; the paper names no factor)."""

READING = "0.5/0.0625"
"""Normalization that amplified images are read by: from -8 to 8, in units of normalized pixels."""


def energy_deciles(train: Images, test: Images, component: int, count: int) -> tuple[Images, Images]:
    """Relabel images by deciles of their energy along one patch component (Chowers & Weiss 2023, appendix D.1).

    Args:
        train: training images; ``count`` of them are drawn as a training of so many images draws them, so that
            networks of other labels see the same ones.
        test: test images; the deciles are their own.
        component: of the drawn training images' 3x3 patches, 0 for the leading one.
        count: training images to keep.
    """
    kept = train.sample(count, seed=0)
    patches = first_patches(kept)
    relabelled = [energy_decile_labels(images, patches, component, CIFAR) for images in (kept, test)]
    return relabelled[0], relabelled[1]


def amplified(
    train: Images, test: Images, component: int, count: int, place: int = PLACE, reading: str = READING
) -> tuple[Images, Images]:
    """Amplify one patch component (Chowers & Weiss 2023, appendix D.2), to a place among all.

    Args:
        train: training images; ``count`` of them are drawn as a training of so many images draws them.
        test: test images, of which as many are kept at most.
        component: of the drawn training images' 3x3 patches, 0 for the leading one.
        count: training images to keep.
        place: that the component takes, counted from 1.
        reading: normalization that the images are to be read by.

    Returns:
        Images three times as wide and high, for a first layer of stride 3. Windows that overlap the border have zeros
        there, as a padded first layer sees them.
    """
    kept = train.sample(count, seed=0)
    patches = first_patches(kept)
    factor = amplification(patches, component, place)
    changed = [
        amplified_component(
            images, patches, component, factor, CIFAR, padding=1, reading=normalization(reading)
        )
        for images in (kept, test.sample(count, seed=0))
    ]
    return changed[0][0], changed[1][0]


def first_patches(images: Images) -> PatchCovariance:
    """Return the statistics of the 3x3 patches that a first layer sees, CIFAR's normalization applied."""
    return patch_covariance(images, 3, normalization=CIFAR)


def amplification(patches: PatchCovariance, component: int, place: int = PLACE) -> float:
    """Return the factor that makes a weaker component the one of a place, between its two neighbours there."""
    deviations = patches.standard_deviations
    return math.sqrt(float(deviations[place - 2] * deviations[place - 1])) / float(deviations[component])

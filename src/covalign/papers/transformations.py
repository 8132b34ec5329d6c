"""Which data sets are made for an exhibit, out of others?"""

from covalign.data.images import Images
from covalign.data.normalization import NORMALIZATIONS
from covalign.first_layer.labelings import energy_decile_labels
from covalign.first_layer.patches import patch_covariance


def energy_deciles(train: Images, test: Images, component: int, count: int) -> tuple[Images, Images]:
    """Relabel images by deciles of their energy along one patch component (Chowers & Weiss 2023, appendix D.1).

    Args:
        train: training images; ``count`` of them are drawn as a training of so many images draws them, so that
            networks of other labels see the same ones.
        test: test images; the deciles are their own.
        component: of the drawn training images' 3x3 patches, 0 for the leading one.
        count: training images to keep.
    """
    cifar = NORMALIZATIONS["cifar"]
    kept = train.sample(count, seed=0)
    patches = patch_covariance(kept, 3, normalization=cifar)
    relabelled = [energy_decile_labels(images, patches, component, cifar) for images in (kept, test)]
    return relabelled[0], relabelled[1]

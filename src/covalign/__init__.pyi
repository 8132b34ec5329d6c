"""The front of the library: what `from covalign import ...` offers, and where each name is at home.

The package reads this file to import a name when it is first used; type checkers and editors read it too. What is
not here is imported from its module, such as `covalign.studies.trajectory.measure`.
"""

from covalign.data.images import Images as Images
from covalign.data.loading import load_images as load_images
from covalign.data.normalization import Normalization as Normalization
from covalign.encoding.alignment import Alignment as Alignment
from covalign.encoding.alignment import alignment_distances as alignment_distances
from covalign.encoding.alignment import leading_alignment as leading_alignment
from covalign.encoding.alignment import procrustes as procrustes
from covalign.encoding.bures import bures_wasserstein_cosine as bures_wasserstein_cosine
from covalign.encoding.bures import bures_wasserstein_distance as bures_wasserstein_distance
from covalign.encoding.covariance import WeightCovariance as WeightCovariance
from covalign.encoding.covariance import weight_covariance as weight_covariance
from covalign.encoding.debiased.estimate import DebiasedSimilarity as DebiasedSimilarity
from covalign.encoding.debiased.estimate import debiased_similarity as debiased_similarity
from covalign.encoding.debiased.groups import GroupSimilarity as GroupSimilarity
from covalign.encoding.debiased.groups import group_similarity as group_similarity
from covalign.encoding.debiased.shared_variance import SharedVariance as SharedVariance
from covalign.encoding.debiased.shared_variance import shared_variance as shared_variance
from covalign.encoding.shrinkage import shrink_eigenvalues as shrink_eigenvalues
from covalign.encoding.similarity import Similarity as Similarity
from covalign.encoding.similarity import eigenvector_cosines as eigenvector_cosines
from covalign.encoding.similarity import normalized_similarity as normalized_similarity
from covalign.encoding.spatial import SpatialCovariance as SpatialCovariance
from covalign.encoding.spatial import spatial_covariance as spatial_covariance
from covalign.errors import InputError as InputError
from covalign.first_layer.energy import EnergyProfile as EnergyProfile
from covalign.first_layer.energy import energy_profile as energy_profile
from covalign.first_layer.patches import PatchCovariance as PatchCovariance
from covalign.first_layer.patches import patch_covariance as patch_covariance
from covalign.first_layer.prediction import fit_energy as fit_energy
from covalign.first_layer.prediction import predicted_energy as predicted_energy
from covalign.networks.architectures.resnet import resnet20 as resnet20
from covalign.networks.architectures.resnet import resnet32 as resnet32
from covalign.networks.architectures.resnet import resnet44 as resnet44
from covalign.networks.architectures.resnet import resnet56 as resnet56
from covalign.networks.architectures.vgg import vgg11 as vgg11
from covalign.networks.filters import FilterBank as FilterBank
from covalign.networks.network import Layer as Layer
from covalign.networks.network import Network as Network
from covalign.studies.comparison.measure import align as align
from covalign.studies.comparison.measure import compare as compare
from covalign.studies.comparison.record import Comparison as Comparison
from covalign.studies.comparison.record import load_comparison as load_comparison
from covalign.studies.difference.measure import diff as diff
from covalign.studies.difference.record import Difference as Difference
from covalign.studies.first_layer.measure import first_layer_summary as first_layer_summary
from covalign.studies.first_layer.record import FirstLayerSummary as FirstLayerSummary
from covalign.studies.lineage.measure import lineage as lineage
from covalign.studies.lineage.record import Lineage as Lineage
from covalign.studies.spatial.measure import spatial_summary as spatial_summary
from covalign.studies.spatial.record import SpatialSummary as SpatialSummary
from covalign.studies.subjects import load_network as load_network
from covalign.training.loop import train as train
from covalign.training.presets import preset as preset
from covalign.training.run import Run as Run
from covalign.training.spec import TrainingSpec as TrainingSpec
from covalign.training.store import RunStore as RunStore
from covalign.training.store import load_run as load_run
from covalign.version import __version__ as __version__

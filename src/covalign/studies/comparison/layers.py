"""What did one layer learn by itself?"""

from dataclasses import dataclass, replace

from covalign.encoding.covariance import WeightCovariance, weight_covariance
from covalign.encoding.noise import BulkCheck, bulk_check, noise_level
from covalign.encoding.reasons import Reason, Remark
from covalign.encoding.shrinkage import bulk_edges
from covalign.encoding.similarity import ReferenceLevels, reference_levels
from covalign.errors import InputError
from covalign.networks.network import Layer, Network
from covalign.studies.comparison.columns import LayerRow
from covalign.studies.subjects import Subject


@dataclass(frozen=True, eq=False)
class LayerEncoding:
    """What one layer learned by itself."""

    network: Network
    layer: Layer
    depth: int
    covariance: WeightCovariance
    check: BulkCheck
    levels: ReferenceLevels

    @property
    def describable_only(self) -> bool:
        """Whether noise can be neither derived from the initializer nor seen in the spectrum."""
        return self.layer.init_variance is None and not self.check.ok


def layer_encoding(network: Network, layer: Layer, *, draws: int = 10, seed: int = 0) -> LayerEncoding:
    """Estimate a layer's weight covariance, and check that its bulk is noise.

    The unit is the variance of the initial weights where it is known, else the noise level that the bulk of
    the spectrum shows.
    """
    covariance, check = _in_units_of_noise(layer)
    depth = [entry.name for entry in network.layers].index(layer.name) + 1
    return LayerEncoding(
        network, layer, depth, covariance, check, reference_levels(covariance, draws=draws, seed=seed)
    )


def _in_units_of_noise(layer: Layer) -> tuple[WeightCovariance, BulkCheck]:
    """Return the covariance in units of its noise; as it is, with a failed check, where there is none."""
    covariance = weight_covariance(layer.matrix, layer.init_variance or 1.0)
    if layer.init_variance is None:
        try:
            level = noise_level(covariance.eigenvalues, covariance.neurons, covariance.dimension)
        except InputError:
            return covariance, BulkCheck(False, (Remark(Reason.NO_NOISE),), 0)
        covariance = replace(covariance, eigenvalues=covariance.eigenvalues / level, init_variance=level)
    return covariance, bulk_check(covariance.eigenvalues, covariance.neurons, covariance.dimension)


def layer_row(subject: Subject, entry: LayerEncoding) -> LayerRow:
    """Return a layer's row of `Comparison.layers`."""
    covariance, layer = entry.covariance, entry.layer
    lower, upper = bulk_edges(covariance.aspect_ratio)
    return LayerRow(
        network=subject.name,
        layer=layer.name,
        depth=entry.depth,
        kind=layer.kind,
        form=layer.form,
        kernel="x".join(map(str, layer.weight.shape[2:])),
        d=covariance.dimension,
        neurons=covariance.neurons,
        init_variance=covariance.init_variance,
        init_known=layer.init_variance is not None,
        kept=covariance.kept,
        effective_rank=covariance.effective_rank,
        participation_ratio=covariance.participation_ratio,
        entropy_rank=covariance.entropy_rank,
        stable_rank=covariance.stable_rank,
        largest=float(covariance.eigenvalues[0]),
        smallest=float(covariance.eigenvalues[-1]),
        lower_edge=lower,
        upper_edge=upper,
        bulk_ok=entry.check.ok,
        bulk_reason=entry.check.reason,
    )

"""What did one layer learn by itself?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from covalign.encoding.covariance import WeightCovariance, weight_covariance
from covalign.encoding.noise import BulkCheck, bulk_check, noise_level
from covalign.encoding.reasons import Reason, Remark
from covalign.encoding.shrinkage import bulk_edges
from covalign.encoding.similarity import ReferenceLevels, reference_levels
from covalign.encoding.spectrum import WeightSpectrum, weight_spectrum
from covalign.errors import InputError
from covalign.networks.network import Layer, Network
from covalign.report.columns import frame
from covalign.studies.comparison.columns import LayerRow
from covalign.studies.subjects import Source, Subject, subjects


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
    covariance = weight_covariance(layer.matrix, layer.init_variance or 1.0)
    spectrum, check = _in_units_of_noise(layer, covariance.spectrum)
    covariance = replace(covariance, eigenvalues=spectrum.eigenvalues, init_variance=spectrum.init_variance)
    depth = [entry.name for entry in network.layers].index(layer.name) + 1
    return LayerEncoding(
        network, layer, depth, covariance, check, reference_levels(covariance, draws=draws, seed=seed)
    )


def layer_statistics(networks: Sequence[Source] | Mapping[str, Source]) -> pd.DataFrame:
    """Say what every layer learned by itself: spectrum, ranks, and whether its bulk looks like noise.

    Of weights alone, without images and without a second network; the table that `compare` gives as ``.layers``, for
    all layers. Eigenvectors, chance and ceiling are not computed.

    Args:
        networks: networks, runs, modules or paths; a mapping gives them names.

    Returns:
        A row per network and layer; its columns are those of `covalign.studies.comparison.columns.LayerRow`.

    Raises:
        InputError: what cannot be read.

    Example:
        A layer of noise, to which three directions were added:

        >>> import torch
        >>> _ = torch.manual_seed(0)
        >>> module = torch.nn.Sequential(torch.nn.Linear(64, 128))
        >>> module[0].weight.data += torch.randn(128, 3) @ torch.randn(3, 64)
        >>> layer_statistics([module])[["layer", "d", "neurons", "kept"]].values.tolist()
        [['0', 64, 128, 3]]
    """
    rows = []
    for subject in subjects(networks):
        for depth, layer in enumerate(subject.network.layers, 1):
            found = weight_spectrum(layer.matrix, layer.init_variance or 1.0)
            rows.append(_row(subject.name, layer, depth, *_in_units_of_noise(layer, found)))
    return frame(rows, LayerRow)


def layer_row(subject: Subject, entry: LayerEncoding) -> LayerRow:
    """Return a layer's row of `Comparison.layers`."""
    return _row(subject.name, entry.layer, entry.depth, entry.covariance.spectrum, entry.check)


def _in_units_of_noise(layer: Layer, spectrum: WeightSpectrum) -> tuple[WeightSpectrum, BulkCheck]:
    """Return the spectrum in units of its noise; as it is, with a failed check, where there is none."""
    if layer.init_variance is None:
        try:
            level = noise_level(spectrum.eigenvalues, spectrum.neurons, spectrum.dimension)
        except InputError:
            return spectrum, BulkCheck(False, (Remark(Reason.NO_NOISE),), 0)
        spectrum = replace(spectrum, eigenvalues=spectrum.eigenvalues / level, init_variance=level)
    return spectrum, bulk_check(spectrum.eigenvalues, spectrum.neurons, spectrum.dimension)


def _row(network: str, layer: Layer, depth: int, spectrum: WeightSpectrum, check: BulkCheck) -> LayerRow:
    lower, upper = bulk_edges(spectrum.aspect_ratio)
    shrunken = spectrum.shrunken
    return LayerRow(
        network=network,
        layer=layer.name,
        depth=depth,
        kind=layer.kind,
        form=layer.form,
        kernel="x".join(map(str, layer.weight.shape[2:])),
        d=spectrum.dimension,
        neurons=spectrum.neurons,
        init_variance=spectrum.init_variance,
        init_known=layer.init_variance is not None,
        kept=shrunken.kept,
        effective_rank=shrunken.effective_rank,
        participation_ratio=shrunken.participation_ratio,
        entropy_rank=shrunken.entropy_rank,
        stable_rank=shrunken.stable_rank,
        largest=float(spectrum.eigenvalues[0]),
        smallest=float(spectrum.eigenvalues[-1]),
        lower_edge=lower,
        upper_edge=upper,
        bulk_ok=check.ok,
        bulk_reason=check.reason,
    )

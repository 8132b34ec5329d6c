"""Do two joint convolutions use space alike, whatever their channels do?

Every neuron W ``[c, s]`` has a spatial second moment W^T W ``[s, s]``, trace 1 at unit length. Space needs no
alignment: R of space is the ratio of U-statistics with the kernel

    k(W, V) = <W^T W, V^T V> - 1 / s,

and its test against chance asks for more agreement than a random rotation of space would leave. The joint kernel
counts nothing of this.
"""

from covalign.arrays import ArrayLike
from covalign.encoding.debiased import chance
from covalign.encoding.debiased.coordinates import layer
from covalign.encoding.debiased.estimate import DebiasedSimilarity, described, without_value
from covalign.encoding.debiased.kernels import space_features
from covalign.encoding.debiased.measurement import Counts, Measured
from covalign.encoding.debiased.reasons import Reason
from covalign.encoding.debiased.statistics import between, independent, within


def space_similarity(rows_1: ArrayLike, rows_2: ArrayLike, spatial: int) -> DebiasedSimilarity:
    """Estimate R of the spatial second moments of two joint convolutions; channels need not correspond.

    Args:
        rows_1: ``[n1, c1 s]``, columns ordered (channel, place).
        rows_2: ``[n2, c2 s]``.
        spatial: s = k^2; 1 has no value (reason ``no_channels``: there is no direction).

    Raises:
        InputError: unusable rows.
    """
    first, second = layer(rows_1, "rows_1", spatial), layer(rows_2, "rows_2", spatial)
    counts = Counts(len(first.kept), len(second.kept), spatial, first.dropped + second.dropped)
    if spatial < 2 or not counts.neurons_1 or not counts.neurons_2:
        return without_value(Reason.NO_CHANNELS if spatial < 2 else Reason.TOO_FEW_NEURONS, counts)
    features = space_features(first.blocks), space_features(second.blocks)
    own_1, own_2, cross = within(features[0]), within(features[1]), between(*features)
    variance = chance.plain_variance(own_1.energy, own_2.energy, spatial)
    found = Measured(
        independent(cross, own_1, own_2), cross.mean, own_1.energy, own_2.energy, variance, 0.0, 0, 1.0
    )
    return described(found, counts)

"""Did two networks with unrelated weights learn alike?

Their inputs are aligned by a rotation found on images, and the second moments of their neurons compared
(`covalign.encoding.debiased`). They learned alike where, beyond the first layer, most layers stand above random
rotations (false-discovery rate 5 %) and, by their mean R, above the strongest control.
"""

from scipy.stats import false_discovery_control

from covalign.data.images import Images
from covalign.errors import InputError
from covalign.studies.comparison.measure import compare
from covalign.studies.comparison.orders import beyond_first
from covalign.studies.pairing import match_layers
from covalign.studies.subjects import Subject

RATE = 0.05
CONTROLS = ["debiased_unaligned", "debiased_shuffled", "debiased_slots"]


def learned_alike(a: Subject, b: Subject, images: Images, seed: int) -> bool | None:
    """Return whether two networks learned alike; None where images do not tell.

    Raises:
        InputError: the images do not suit the networks.
    """
    if a.network.source is None or b.network.source is None or not _comparable(a, b):
        return None
    table = compare([a, b], images, calibrate=False, layer_map=False, seed=seed, max_images=None).table
    rows = beyond_first(table, "debiased")
    rows = rows[rows["debiased_p"].notna()]
    if rows.empty:
        return None
    above = false_discovery_control(rows["debiased_p"].to_numpy()) <= RATE
    beyond = (rows["debiased"] - rows[CONTROLS].max(axis=1).fillna(0)).mean()
    return bool(2 * above.sum() > len(rows) and beyond > 0)


def _comparable(a: Subject, b: Subject) -> bool:
    """Whether the two have layers of equal kind, kernel size and stage."""
    try:
        return bool(match_layers(a.network, b.network))
    except InputError:
        return False

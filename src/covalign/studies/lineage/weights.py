"""What do the weights of two networks say of their relation?"""

import hashlib
from pathlib import Path

from covalign.encoding.lineage.change import Change, measure_change, measure_equality
from covalign.encoding.lineage.trace import Relation, Role, Trace, corresponding, trace_layers
from covalign.networks.network import Network
from covalign.studies.lineage.correspondence import Correspondence, correspondences, same_architecture
from covalign.studies.lineage.verdict import RELATED, Evidence, Findings

CHUNK = 2**20


def weigh(a: Network, b: Network, *, draws: int, seed: int) -> Findings:
    """Return what the weights of two networks say.

    Args:
        a, b: the networks.
        draws: most orders of neurons that are drawn for a p-value.
        seed: of the orders.
    """
    places = correspondences(a.layers, b.layers)
    traces = trace_layers([place.pair for place in places], draws=draws, seed=seed)
    return Findings(
        tuple(
            Evidence(place, trace, _change(place, trace)) for place, trace in zip(places, traces, strict=True)
        ),
        len(a.layers) + len(b.layers) - 2 * len(places),
        same_architecture(a.layers, b.layers),
        _same_file(a, b),
    )


def _change(place: Correspondence, trace: Trace) -> Change | None:
    """Return how one layer became the other; only equality means something where no relation was found."""
    related = trace.relation in (*RELATED, Relation.FOLLOWS)
    return (measure_change if related else measure_equality)(*corresponding(place.pair, trace))


def _same_file(a: Network, b: Network) -> bool:
    """Whether both were read from one file, or from two with equal content."""
    one, two = (Path(str(network.details.get("source", ""))) for network in (a, b))
    if not (one.is_file() and two.is_file()) or one.stat().st_size != two.stat().st_size:
        return False
    return one.samefile(two) or _digest(one) == _digest(two)


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.digest()


def in_file_order(found: Findings) -> bool:
    """Whether two networks can be subtracted: every layer in which a relation shows has its neurons in order."""
    orders = {layer.trace.relation for layer in found.layers if layer.where.pair.role is Role.HIDDEN}
    return found.related and Relation.OTHER_ORDER not in orders

"""Who contains whom?

A few directions of one condition may all lie among the many of another: what a learned is then found among the
directions of b, and much of what b learned is not found among those of a. From the containment of shared-variance
curves (`covalign.encoding.debiased.shared_variance`), read at the number of directions that the container learned
reproducibly; means over pairs of networks, and of the difference of both ways the jackknife interval over seeds.
"""

import itertools
from collections.abc import Iterator, Sequence

from covalign.encoding.debiased.seed_mean import seed_mean
from covalign.studies.atlas.agreements import LayerAgreements
from covalign.studies.atlas.columns import ContainmentRow


def containment_rows(
    layers: Sequence[LayerAgreements], conditions: Sequence[str]
) -> Iterator[ContainmentRow]:
    """Yield how much of each condition every other one contains, layer by layer.

    Args:
        layers: agreements of all networks.
        conditions: of every network, in the order of the matrices.
    """
    members: dict[str, list[int]] = {}
    for index, condition in enumerate(conditions):
        members.setdefault(condition, []).append(index)
    for layer in layers:
        learned = {name: float(layer.directions[places].nanmean()) for name, places in members.items()}
        for a, b in itertools.combinations(members, 2):
            forth = layer.contained[members[a]][:, members[b]]
            back = layer.contained[members[b]][:, members[a]].T
            found = seed_mean(forth - back)
            yield ContainmentRow(
                a,
                b,
                layer.layer,
                layer.depth,
                float(forth.nanmean()),
                float(back.nanmean()),
                found.value,
                found.low,
                found.high,
                learned[a],
                learned[b],
            )

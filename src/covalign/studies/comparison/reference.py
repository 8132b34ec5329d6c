"""How are many networks aligned at a cost that grows with their number, and not with that of their pairs?

Through what they have in common. One generalized Procrustes step (Gower 1975; ten Berge 1977) from a first network:

    A_i = polar(E[phi_1 phi_i^T]),                      the alignment to the widest network, the first of them
    G_i = mean over j != i of A_j phi_j / e_j           what the others have in common, e_j^2 = E |phi_j|^2
    A_i <- polar(E[G_i phi_i^T]),

and then network a is mapped into network b by polar(A_b^T A_a), which is A_b^T A_a where widths are equal. Two passes
over the images serve all pairs: n alignments to one network, and n to the mean of the others. Of two networks this is
the alignment of the pair.

What it costs beside aligning each pair: features that two networks share with each other, and with no third, do not
enter.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace

import torch
from jaxtyping import Float64
from torch import Tensor

from covalign.data.images import Images
from covalign.encoding.alignment import Alignment, procrustes
from covalign.errors import InputError
from covalign.kernels.moments import ProductSum, rows_of
from covalign.networks.network import Layer, Network
from covalign.progress import Told
from covalign.studies.comparison.couples import Couple
from covalign.studies.inputs import layer_inputs, met
from covalign.studies.streaming import (
    Fit,
    Link,
    fit_alignments,
    fitting_batch,
    moment_budget,
    within_budget,
)

TINY = 1e-30
"""Least energy that inputs are divided by."""
WEIGHED = 100
"""Images from which the energies of inputs are known."""

Rotation = Float64[Tensor, "_ _"]
Column = dict[str, tuple[Network, Layer]]
"""Layers that correspond, by network."""
Key = tuple[str, str]
"""A network's name and that of its layer."""


def aligned_in_common(
    couples: Sequence[Couple], images: Images, wanted: Set[int], *, memory: int, progress: Told
) -> Iterator[tuple[int, list[Fit | None]]]:
    """Align pairs of networks through what all networks have in common.

    Args:
        couples: all pairs of networks, each of which has a forward pass.
        images: raw pixels.
        wanted: places of the pairs that are given.
        memory: bytes held at a time.
        progress: told the share of the alignments that is done.

    Yields:
        The place of a pair, and a fit for each of its links; known rotations stay as they are.

    Raises:
        InputError: networks whose layers do not correspond one by one, or that have no forward pass.
    """
    columns = corresponding(couples)
    if not wanted:
        return

    def half(before: float) -> Told:
        return lambda stage, share, note="": progress(stage, before + share / 2)

    placed = _to_the_first(columns, images, memory, half(0.0))
    alignments = _to_the_others(columns, placed, images, memory, half(0.5))
    for place in sorted(wanted):
        each = couples[place]
        yield place, [_through(link, each, alignments) for link in each.links]


def corresponding(couples: Sequence[Couple]) -> list[Column]:
    """Return the layers that correspond across all networks, and have to be aligned.

    Raises:
        InputError: networks that have no forward pass, or whose layers do not correspond one by one.
    """
    columns: list[Column] = []
    of: dict[Key, Column] = {}
    for each in couples:
        if not each.runs:
            raise InputError(
                f"reference: {' or '.join(each.names)} has no forward pass, through which all are aligned; state its "
                "architecture, or align pair by pair (without --reference)"
            )
        for link in each.links:
            if link.known is not None:
                continue
            entries = {
                each.first.name: (link.network_a, link.layer_a),
                each.second.name: (link.network_b, link.layer_b),
            }
            keys = [(name, layer.name) for name, (_, layer) in entries.items()]
            column = next((of[key] for key in keys if key in of), None)
            if column is None:
                columns.append(column := {})
            for key, (name, entry) in zip(keys, entries.items(), strict=True):
                if (
                    of.setdefault(key, column) is not column
                    or column.setdefault(name, entry)[1] is not entry[1]
                ):
                    raise InputError(
                        f"reference: {link.layer_a.name!r} of {each.first.name!r} and {link.layer_b.name!r} of "
                        f"{each.second.name!r} are paired otherwise through other networks; expected networks of one "
                        "architecture (widths may differ), or align pair by pair (without --reference)"
                    )
    return columns


def _to_the_first(
    columns: Sequence[Column], images: Images, memory: int, progress: Told
) -> list[dict[str, Rotation]]:
    """Align every network to the widest, layer by layer: rotations by network."""
    links, places = [], []
    rotations: list[dict[str, Rotation]] = []
    for index, column in enumerate(columns):
        widest = max(column, key=lambda name: column[name][1].channels)
        rotations.append({widest: torch.eye(column[widest][1].channels, dtype=torch.float64)})
        for name, entry in column.items():
            if name != widest:
                links.append(Link(*entry, *column[widest]))
                places.append((index, name))
    fits = fit_alignments(links, images, holdout=0, memory=memory, progress=progress)
    for (index, name), fit in zip(places, fits, strict=True):
        rotations[index][name] = fit.alignment.rotation
    return rotations


def _to_the_others(
    columns: Sequence[Column],
    placed: Sequence[Mapping[str, Rotation]],
    images: Images,
    memory: int,
    progress: Told,
) -> dict[Key, Alignment]:
    """Align every network to the mean of the others as they are placed."""
    found: dict[Key, Alignment] = {}
    groups = list(within_budget(range(len(columns)), lambda i: _bytes(columns[i]), moment_budget(memory)))
    for done, group in enumerate(groups):
        sums = [_Others(columns[index], placed[index]) for index in group]
        wanted = [entry for index in group for entry in columns[index].values()]
        links = [Link(*entry, *entry) for entry in wanted]
        seen, batch = 0, fitting_batch(links, images, memory // 2)
        for pixels in images.pixels[:WEIGHED].split(batch):
            inputs = layer_inputs(wanted, pixels)
            for each in sums:
                each.weigh(inputs)
        for pixels in images.pixels.split(batch):
            inputs = layer_inputs(wanted, pixels)
            for each in sums:
                each.add(inputs)
            seen += len(pixels)
            progress("alignments", (done + seen / len(images)) / len(groups))
        for each in sums:
            found |= each.solve()
    return found


class _Others:
    """Running E[G_i phi_i^T] of one layer of all networks."""

    def __init__(self, column: Column, placed: Mapping[str, Rotation]) -> None:
        self.column = column
        self.placed = {name: placed[name].float() for name in column}
        self.sums = {
            name: ProductSum(len(self.placed[name]), layer.channels) for name, (_, layer) in column.items()
        }
        self.energies = dict.fromkeys(column, 0.0)
        self.samples = 0

    def weigh(self, inputs: Mapping[tuple[int, str], Tensor]) -> None:
        """Add a batch from which the energies of the inputs are known."""
        for name, (network, layer) in self.column.items():
            self.energies[name] += float(inputs[id(network), layer.name].square().sum(dtype=torch.float64))

    def add(self, inputs: Mapping[tuple[int, str], Tensor]) -> None:
        """Add a batch that alignments are fitted to."""
        maps = met([inputs[id(network), layer.name] for network, layer in self.column.values()])
        rows = {name: rows_of(each) for name, each in zip(self.column, maps, strict=True)}
        parts = {
            name: each @ (self.placed[name] / max(TINY, self.energies[name]) ** 0.5).T
            for name, each in rows.items()
        }
        total = sum(parts.values(), torch.zeros(()))
        for name, each in rows.items():
            self.sums[name].add(each, total - parts[name])
        self.samples += len(next(iter(rows.values())))

    def solve(self) -> dict[Key, Alignment]:
        """Return the alignments, by network and layer."""
        return {
            (name, layer.name): replace(procrustes(self.sums[name].total), samples=self.samples)
            for name, (_, layer) in self.column.items()
        }


def _through(link: Link, pair: Couple, alignments: Mapping[Key, Alignment]) -> Fit:
    """Map the narrower layer of a link into the wider one."""
    turned = link.turned
    if turned.unfitted is not None:
        return turned.unfitted
    one = alignments[pair.first.name, link.layer_a.name]
    other = alignments[pair.second.name, link.layer_b.name]
    narrow, wide = (one, other) if turned is link else (other, one)
    rotation = wide.rotation.T @ narrow.rotation
    if len(wide.rotation) != wide.rotation.shape[1]:  # not onto: what is left of a rotation is none
        rotation = procrustes(rotation).rotation
    return Fit(Alignment(rotation, samples=narrow.samples), remarks=link.remarks)


def _bytes(column: Column) -> int:
    width = max(layer.channels for _, layer in column.values())
    return 8 * width * sum(layer.channels for _, layer in column.values())

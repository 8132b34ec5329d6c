"""What is there of a population, what is missing, and what will that cost?

Time is taken from the histories of the population's own trainings, where the store has some of a network that
computes the same (median seconds of an image in an epoch, whatever else ran beside them), else from a timed step on
this machine (`covalign.training.cost`). Memory and disk follow from sizes.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from covalign.training.cost import DECISIVE, Cost, training_cost
from covalign.training.grid import Trained
from covalign.training.inputs import Pair, training_images
from covalign.training.machine import resolve
from covalign.training.run import Run
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore


class State(StrEnum):
    """How far a training is."""

    FINISHED = "finished"
    BEGUN = "begun"
    MISSING = "missing"


@dataclass(frozen=True, eq=False)
class Planned:
    """One network of a population.

    Attributes:
        network: what the population says of it.
        run: what the store has of it, as far as it is trained; None for nothing.
        cost: of what is left to do: seconds of one process, bytes of memory, bytes on disk.
        measured: whether the time is that of stored trainings.
    """

    network: Trained
    run: Run | None
    cost: Cost
    measured: bool

    @property
    def state(self) -> State:
        """How far it is."""
        if self.run is None:
            return State.MISSING
        return State.FINISHED if self.run.complete else State.BEGUN


@dataclass(frozen=True, eq=False)
class Plan:
    """All networks of a population, in order."""

    networks: tuple[Planned, ...]

    def count(self, state: State) -> int:
        """Return how many are that far."""
        return sum(each.state is state for each in self.networks)

    @property
    def missing(self) -> tuple[Planned, ...]:
        """Those that have to be trained, or trained on."""
        return tuple(each for each in self.networks if each.state is not State.FINISHED)

    @property
    def cost(self) -> Cost:
        """Seconds of all that is left, one after the other; memory of the largest; disk of all."""
        left = [each.cost for each in self.missing]
        return Cost(
            sum(each.seconds for each in left),
            max((each.memory for each in left), default=0),
            sum(each.disk for each in left),
        )


def plan(networks: Sequence[Trained], store: RunStore) -> Plan:
    """Find what a store has of a population, and estimate what the rest costs; nothing is trained.

    Args:
        networks: what there shall be; their images are read, since their content is part of a run's key.
        store: where trainings are kept.

    Raises:
        InputError: images that cannot be read or do not fit, or a damaged run.
    """
    found = list(stored(networks, store))
    rates = _rates([run for _, _, run in found if run is not None])
    return Plan(tuple(_planned(network, pair, run, rates) for network, pair, run in found))


def stored(networks: Sequence[Trained], store: RunStore) -> Iterator[tuple[Trained, Pair, Run | None]]:
    """Yield each network with its images and with what the store has of it; equal images are read once.

    Raises:
        InputError: as `plan`.
    """
    read: dict[TrainingSpec, Pair] = {}
    for network in networks:
        spec = resolve(network.spec)
        if (same := replace(spec, seed=0)) not in read:
            read = {same: training_images(spec)}  # conditions stand together: one is kept at a time
        yield network, read[same], store.begun(spec, *read[same])


Computed = tuple[object, ...]


def _computed(spec: TrainingSpec, resolution: int) -> Computed:
    """Return what decides how long an image takes."""
    return (*(getattr(spec, name) for name in DECISIVE), resolution)


def _rates(runs: Sequence[Run]) -> dict[Computed, float]:
    """Return the seconds that an image took in an epoch, by what decides them."""
    seen: dict[Computed, list[float]] = {}
    for run in runs:
        rates = [epoch.seconds / run.facts.training_images for epoch in run.history]
        seen.setdefault(_computed(run.spec, run.facts.resolution), []).extend(rates)
    return {kind: statistics.median(rates) for kind, rates in seen.items() if rates}


def _planned(network: Trained, pair: Pair, run: Run | None, rates: dict[Computed, float]) -> Planned:
    if run is not None and run.complete:
        return Planned(network, run, Cost(0.0, 0, 0), True)
    spec, images = resolve(network.spec), pair[0]
    side = images.pixels.shape[-1]
    left = spec.epochs - (len(run.history) if run else 0)
    cost, rate = training_cost(spec, len(images), len(images.classes), side), rates.get(_computed(spec, side))
    if rate is None:
        return Planned(network, run, replace(cost, seconds=cost.seconds * left / max(spec.epochs, 1)), False)
    return Planned(network, run, replace(cost, seconds=rate * len(images) * left), True)

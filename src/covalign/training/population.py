"""Which networks does a population name, and which condition does each stand for?

One file of plain text says it all:

    seeds = 5                            # networks of every condition

    [recipe]                             # what all trainings share: fields of a training spec
    preset = "demo"

    [grid]                               # every combination of these is a condition
    images = ["photos:a", "photos:b"]
    labels = ["true", "permuted"]

    [[exclude]]                          # but not where all of this holds
    images = "photos:b"
    labels = "permuted"

    [[member]]                           # a network from elsewhere
    file = "resnet20.safetensors"
    architecture = "covalign:resnet20"
    group = "published"

What an axis of the grid may be, and which seeds the networks get: `covalign.training.grid`.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from covalign.errors import InputError, unknown
from covalign.limits import NETWORKS
from covalign.training.grid import (
    SEEDS,
    Trained,
    axis_of,
    check_different,
    check_starts,
    condition_name,
    networks_of,
    seeds_of,
    without,
)
from covalign.training.spec import TrainingSpec
from covalign.training.toml import from_toml

TABLES = ("seeds", "recipe", "grid", "exclude", "member")
"""Keys that a population may have."""


@dataclass(frozen=True)
class Foreign:
    """A network from elsewhere: its name, its condition, and how it is read (see `covalign.load_network`)."""

    name: str
    condition: str
    file: str
    architecture: str | None = None
    normalization: str | None = None
    layout: str | None = None
    inside: str | None = None
    resolution: int | None = None


@dataclass(frozen=True)
class Population:
    """All networks that one file names.

    Attributes:
        axes: what varies, by name: the names of its values, in order.
        places: by condition, its value on every axis; a group of foreign networks has a place on none.
        trained: networks that we train, conditions together, in order.
        foreign: networks from elsewhere.
    """

    axes: dict[str, tuple[str, ...]]
    places: dict[str, dict[str, str]]
    trained: tuple[Trained, ...]
    foreign: tuple[Foreign, ...] = ()

    @property
    def networks(self) -> "tuple[Trained | Foreign, ...]":
        """All of them: those that we train, then those from elsewhere."""
        return (*self.trained, *self.foreign)

    @property
    def conditions(self) -> dict[str, str]:
        """The condition of every network, by its name."""
        return {each.name: each.condition for each in self.networks}

    @property
    def specs(self) -> list[TrainingSpec]:
        """What is to be trained."""
        return [each.spec for each in self.trained]


def is_population(values: Mapping[str, Any]) -> bool:
    """Whether the values of a TOML file name a population; those of a single training have no such table."""
    return "grid" in values or "member" in values


def population_from_toml(path: str | Path) -> Population:
    """Read a population from a TOML file.

    Raises:
        InputError: the file cannot be read or is not TOML, and what `population_of` raises, with the file's name.

    Example:
        >>> import tempfile
        >>> text = '''
        ... seeds = 3
        ... recipe = { preset = "demo" }
        ... grid = { images = ["photos:a", "photos:b"] }
        ... '''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "grid.toml").write_text(text)
        ...     population = population_from_toml(Path(folder, "grid.toml"))
        >>> population.axes, len(population.specs)
        ({'images': ('photos:a', 'photos:b')}, 6)
    """
    return from_toml(path, population_of)


def population_of(values: Mapping[str, Any]) -> Population:
    """Expand plain values to a population.

    Args:
        values: see the head of this module.

    Raises:
        InputError: a key that does not exist, a value of the wrong type or out of range, an exclusion that excludes
            nothing, or two networks of one name.
    """
    for key in values:
        if key not in TABLES:
            raise unknown("population", key, TABLES)
    recipe, grid = _table(values, "recipe"), _table(values, "grid")
    if "seed" in recipe:
        raise InputError("population: recipe has 'seed', expected seeds = N (or a list) above the tables")
    axes = [axis_of(name, given, recipe) for name, given in grid.items()]
    seeds = seeds_of(values.get("seeds", SEEDS))
    members = _tables(values, "member")
    if not axes and not members:
        raise InputError("population: names no network; give a [grid] of fields and values, or a [[member]]")
    NETWORKS.check(math.prod(map(len, axes)) * len(seeds.numbers) * bool(axes), "population")
    every = list(itertools.product(*axes)) if axes else []
    kept = without(every, _tables(values, "exclude"), list(grid))
    places = {condition_name(each): {value.axis: value.name for value in each} for each in kept}
    if len(places) < len(kept):
        raise InputError(
            "population: two conditions have the same name; give the values of an axis other names"
        )
    trained = tuple(network for each in kept for network in networks_of(each, seeds, recipe))
    names = {name: tuple(value.name for value in axis) for name, axis in zip(grid, axes, strict=True)}
    check_starts(trained, seeds)
    check_different(trained)
    return _with_members(Population(names, places, trained), members)


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name, {})
    if not isinstance(found, dict):
        raise InputError(f"population: {name} = {found!r}, expected a table: [{name}]")
    return found


def _tables(values: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = values.get(name, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise InputError(f"population: {name} = {found!r}, expected a list of tables: [[{name}]]")
    return found


READING = {field.name: field.type for field in fields(Foreign) if field.name not in ("name", "condition")}
"""What a [[member]] says of how its file is read."""


def _with_members(known: Population, members: Sequence[Mapping[str, Any]]) -> Population:
    """Add networks from elsewhere, and the conditions and values that they bring."""
    axes, places, foreign = dict(known.axes), dict(known.places), []
    for number, given in enumerate(members, 1):
        where = f"population: member {number}"
        keys = ("name", "group", *READING, *axes)
        for key, value in given.items():
            if key not in keys:
                raise unknown(where, key, keys)
            kind = int if key == "resolution" else str
            if type(value) is not kind or not value:
                raise InputError(
                    f"{where}: {key} = {value!r}, expected {'a number' if kind is int else 'a text'}"
                )
        if "file" not in given:
            raise InputError(f"{where}: has no file; expected file = MODEL")
        place = {axis: given[axis] for axis in axes if axis in given}
        if bool(place) == ("group" in given) or (place and len(place) < len(axes)):
            asked = " and ".join(f"{axis} = ..." for axis in axes)
            raise InputError(
                f"{where}: expected group = ...{f', or its place in the grid: {asked}' * bool(axes)}"
            )
        if given.get("group") in known.places:
            raise InputError(
                f"{where}: group = {given['group']!r} is a condition of the grid; say its place there, or "
                "another name"
            )
        condition = given.get("group", ", ".join(place.values()))
        name = given.get("name", Path(given["file"]).stem or given["file"])
        foreign.append(Foreign(name, condition, **{key: given[key] for key in READING if key in given}))
        places.setdefault(condition, place)
        axes = {
            axis: tuple(dict.fromkeys((*values, *([place[axis]] if place else []))))
            for axis, values in axes.items()
        }
    found = Population(axes, places, known.trained, tuple(foreign))
    names = Counter(each.name for each in found.networks)
    if repeated := [name for name, times in names.items() if times > 1]:
        raise InputError(
            f"population: two networks are called {repeated[0]!r}; say name = ... in their [[member]]"
        )
    return found

"""Which conditions does a grid have, and which seeds has each?

An axis is a field of `TrainingSpec` with its values, or a list of tables that each change several fields under a
name. Every combination of values is a condition, but for those that are excluded.

Networks of one seed start from the same weights, and are never a pair. With ``seeds = N`` every network has a seed of
its own, which its condition's name and its number alone decide: a value or a seed that is added leaves all other
networks what they are, so that nothing is trained again. With ``seeds = [0, 1, 2]`` every condition has these.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from covalign.errors import InputError, nearest, unknown
from covalign.training.presets import spec_of
from covalign.training.spec import TrainingSpec

SEEDS, BLOCK, BLOCKS = 5, 1000, 10**6
"""Networks of a condition where none are asked for (the fewest that are tested); seeds of one condition; and how many
conditions' seeds there are room for."""


@dataclass(frozen=True)
class Trained:
    """A network that we train: its name, its condition, and what fixes it."""

    name: str
    condition: str
    spec: TrainingSpec


@dataclass(frozen=True)
class Value:
    """One value on an axis: its name, the fields it changes, and what an exclusion may call it."""

    axis: str
    name: str
    changes: dict[str, Any]
    given: Any


def axis_of(axis: str, given: Any, recipe: Mapping[str, Any]) -> tuple[Value, ...]:
    """Return the values of an axis, each seen to fit the recipe."""
    if not isinstance(given, list) or not given:
        raise InputError(f"population: grid.{axis} = {given!r}, expected a list of values")
    tables = all(isinstance(each, dict) for each in given)
    known = [field.name for field in fields(TrainingSpec)]
    if not tables and axis not in known:
        hint = nearest(axis, known)
        raise InputError(
            f"population: grid has {axis!r}, expected a field of a training{hint}; an axis of another name is a "
            "list of tables with a name and fields"
        )
    if axis == "seed":
        raise InputError(
            "population: grid has 'seed', expected seeds = N above the tables: seeds are no condition"
        )
    found = [_named_value(axis, each) if tables else _plain_value(axis, each) for each in given]
    if repeated := [name for name, times in Counter(each.name for each in found).items() if times > 1]:
        raise InputError(f"population: grid.{axis} names {repeated[0]!r} twice, expected different names")
    for each in found:
        spec_of({**recipe, **each.changes})
    return tuple(found)


def _plain_value(axis: str, value: Any) -> Value:
    """Return a value of a field, named as it reads: photos:a, true labels, joint form, width 0.25."""
    name = (
        str(value) if axis == "images" else f"{value} {axis}" if isinstance(value, str) else f"{axis} {value}"
    )
    return Value(axis, name, {axis: value}, value)


def _named_value(axis: str, table: dict[str, Any]) -> Value:
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise InputError(f"population: grid.{axis} has a table without a name: {table!r}; add name = ...")
    return Value(axis, name, {key: value for key, value in table.items() if key != "name"}, name)


def condition_name(values: Sequence[Value]) -> str:
    """Return what a condition is called."""
    return ", ".join(value.name for value in values)


@dataclass(frozen=True)
class Seeds:
    """Seeds as they are, or numbers that every condition counts from a seed of its own."""

    numbers: tuple[int, ...]
    own: bool


def seeds_of(given: Any) -> Seeds:
    """Return the seeds of every condition, from how many there are or from a list."""
    if type(given) is int and 1 <= given <= BLOCK:
        return Seeds(tuple(range(given)), True)
    plain = isinstance(given, list) and given and all(type(each) is int and each >= 0 for each in given)
    if plain and len(set(given)) == len(given):
        return Seeds(tuple(given), False)
    raise InputError(
        f"population: seeds = {given!r}, expected how many networks a condition has (1 to {BLOCK}), or a list of "
        "different seeds"
    )


def networks_of(values: Sequence[Value], seeds: Seeds, recipe: Mapping[str, Any]) -> Iterator[Trained]:
    """Return the networks of one condition."""
    condition = condition_name(values)
    changes = {key: value for each in values for key, value in each.changes.items()}
    if len(changes) < sum(len(each.changes) for each in values):
        raise InputError(f"population: {condition!r} has a field on two axes, expected it on one")
    first = _first_seed(condition) if seeds.own else 0
    for number in seeds.numbers:
        spec = spec_of({**recipe, **changes, "seed": first + number})
        yield Trained(f"{condition}, {number}", condition, spec)


def _first_seed(condition: str) -> int:
    digest = hashlib.sha256(condition.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % BLOCKS * BLOCK


def check_starts(trained: Sequence[Trained], seeds: Seeds) -> None:
    """See that networks have different seeds where they were promised."""
    starts = {each.condition: each.spec.seed - each.spec.seed % BLOCK for each in trained}
    if seeds.own and len(set(starts.values())) < len(starts):
        first, second = _equal(starts)
        raise InputError(
            f"population: {first!r} and {second!r} happen to draw the same seeds; name a value of one otherwise, or "
            "list the seeds: seeds = [0, 1, ...]"
        )


def check_different(trained: Sequence[Trained]) -> None:
    """See that no two conditions are the same training under two names."""
    kinds: dict[TrainingSpec, str] = {}
    for each in trained:
        same = kinds.setdefault(replace(each.spec, seed=0), each.condition)
        if same != each.condition:
            raise InputError(
                f"population: {same!r} and {each.condition!r} are the same training; leave out one of them"
            )


def _equal(starts: Mapping[str, int]) -> tuple[str, str]:
    return next((a, b) for a, b in itertools.combinations(starts, 2) if starts[a] == starts[b])


def without(
    every: Sequence[tuple[Value, ...]], excluded: Sequence[Mapping[str, Any]], axes: Sequence[str]
) -> list[tuple[Value, ...]]:
    """Leave out the conditions of which all that an exclusion says holds; each must leave out some."""
    for each in excluded:
        for axis in each:
            if axis not in axes:
                raise unknown("population: exclude", axis, axes)
        if not each or not any(_is_meant(values, each) for values in every):
            raise InputError(
                f"population: exclude {dict(each)!r} fits no condition; expected values of the axes"
            )
    kept = [values for values in every if not any(_is_meant(values, each) for each in excluded)]
    if every and not kept:
        raise InputError("population: every condition is excluded, expected some to be left; exclude fewer")
    return kept


def _is_meant(values: Sequence[Value], said: Mapping[str, Any]) -> bool:
    """Whether values are those that are said, by what was given in the grid or by their names."""
    own = {value.axis: (value.given, value.name) for value in values}
    return all(
        any(type(one) is type(what) and one == what for one in own[axis]) for axis, what in said.items()
    )

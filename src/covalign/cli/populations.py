"""What do commands take of a population's file: its networks, its conditions, its images?"""

import shlex
from pathlib import Path

from covalign.cli import options, plans, saying
from covalign.data.images import Images
from covalign.errors import InputError
from covalign.progress import Told
from covalign.studies.populations import Members, known_images, members_of
from covalign.training.plan import plan
from covalign.training.population import Population, population_from_toml
from covalign.training.store import RunStore

NAMED = 4
"""Missing networks that are named."""


def show(file: Path, store: Path, manner: saying.Manner) -> None:
    """Print what is there of a population, and what has to be compared."""
    found = population_from_toml(file)
    following = [plans.comparisons(len(found.conditions)), f"train what is missing: {_training(file, store)}"]
    planned = plan(found.trained, RunStore(store))
    plans.show_plan(planned, manner, len(found.foreign), following[: 1 + bool(planned.missing)])


def members(population: Population, file: Path, store: Path, manner: saying.Manner, told: Told) -> Members:
    """Open what is there of a population, and say what is not, with the command that trains it.

    Raises:
        InputError: fewer than two networks are there.
    """
    found = members_of(population, RunStore(store), progress=told)
    if found.missing:
        named = "; ".join(found.missing[:NAMED]) + " ..." * (len(found.missing) > NAMED)
        said = (
            f"{file}: {len(found.missing)} of {len(population.conditions)} networks are not trained yet ({named}); "
            f"train them with: {_training(file, store)}"
        )
        if len(found.subjects) < 2:
            raise InputError(said)
        manner.hint(said)
    return found


def images_for(
    population: Population,
    found: Members,
    data: list[str] | None,
    split: str,
    max_images: int,
    seed: int,
    told: Told,
) -> Images:
    """Return the DATA that is given, else the images that the population was trained on.

    Raises:
        InputError: images that cannot be read, or none that are known.
    """
    given = options.images_for(list(found.subjects), data, split, None, max_images, seed, told=told)
    return given if given is not None else known_images(population, max_images, seed)


def _training(file: Path, store: Path) -> str:
    return shlex.join(["covalign", "train", str(file), "--store", str(store)])

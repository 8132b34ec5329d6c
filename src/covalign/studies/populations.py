"""What does a store have of a population, and which images do its networks know?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from covalign.data.images import Images
from covalign.data.loading import load_split
from covalign.data.mixture import mixture
from covalign.errors import InputError
from covalign.progress import Told, untold
from covalign.studies.subjects import Subject, open_subject
from covalign.training.plan import stored
from covalign.training.population import Foreign, Population
from covalign.training.store import RunStore


@dataclass(frozen=True, eq=False)
class Members:
    """The networks of a population that are there.

    Attributes:
        subjects: the networks, under their names in the population.
        conditions: by name.
        missing: names of those that are not trained yet.
    """

    subjects: tuple[Subject, ...]
    conditions: dict[str, str]
    missing: tuple[str, ...]


def members_of(population: Population, store: RunStore, *, progress: Told = untold) -> Members:
    """Open the networks of a population: finished trainings of a store, and files.

    Args:
        population: what it names.
        store: where its trainings are.
        progress: told the stage and the share of it that is done.

    Raises:
        InputError: images or files that cannot be read, or a damaged run.
    """
    subjects, missing, total = [], [], len(population.conditions)
    for network, _, run in stored(population.trained, store):
        if run is not None and run.complete:
            subjects.append(open_subject(run, name=network.name))
        else:
            missing.append(network.name)
        progress("reading networks", (len(subjects) + len(missing)) / total)
    subjects += map(_opened, population.foreign)
    names = {each.name for each in subjects}
    conditions = {name: condition for name, condition in population.conditions.items() if name in names}
    return Members(tuple(subjects), conditions, tuple(missing))


def _opened(foreign: Foreign) -> Subject:
    return open_subject(
        foreign.file,
        foreign.architecture,
        name=foreign.name,
        normalization=foreign.normalization,
        resolution=foreign.resolution,
        layout=foreign.layout,
        inside=foreign.inside,
    )


def known_images(population: Population, max_images: int | None, seed: int = 0) -> Images:
    """Return training images of all conditions, each set in equal parts, without their labels' meaning.

    Args:
        population: whose trainings name the images.
        max_images: at most so many in all, drawn at random.
        seed: of the draw.

    Raises:
        InputError: the population trains no network, or images that cannot be read or mixed.
    """
    sources: Mapping[object, dict[str, object]] = {
        (spec.images, spec.classes, spec.resolution, spec.in_channels): {
            "source": spec.images,
            "classes": spec.classes,
            "resolution": spec.resolution,
            "channels": spec.in_channels,
        }
        for spec in population.specs
    }
    if not sources:
        raise InputError("population: trains no network that would name images; give --images DATA")
    return mixture(_read(list(sources.values()), max_images, seed), max_images=max_images, seed=seed)


def _read(sources: Sequence[dict[str, object]], max_images: int | None, seed: int) -> list[Images]:
    return [load_split(split="train", max_images=max_images, seed=seed, **each) for each in sources]  # type: ignore[arg-type]

"""In what does a reproduction differ from the paper? Found by comparing specs, not written by hand."""

from collections.abc import Iterable
from dataclasses import fields

from covalign.papers.exhibit import Exhibit, Training
from covalign.papers.scales.paper import PAPER
from covalign.papers.scales.scale import Scale
from covalign.training.spec import TrainingSpec

UNCOMPARED = (
    "images",
    "classes",
    "resolution",
    "seed",
    "label_realization",
    "device",
    "threads",
    "checkpoint_epochs",
)
"""Fields that say where things come from, not what was done; data sets are compared by themselves."""


def differences(exhibit: Exhibit, scale: Scale) -> list[str]:
    """Return every difference of an exhibit at a scale from the paper, a sentence each."""
    ours, theirs = exhibit.trainings(scale), exhibit.trainings(PAPER)
    found = list(exhibit.choices)
    for recipe in dict.fromkeys(each.recipe for each in ours.values()):
        spec, published = _first(ours.values(), recipe), _first(theirs.values(), recipe)
        if spec is not None and published is not None:
            found += [f"{recipe}: {line}" for line in _of_specs(spec, published)]
    found += _of_data(scale, [each.data for each in ours.values()], [each.data for each in theirs.values()])
    return found


def _first(trainings: Iterable[Training], recipe: str) -> TrainingSpec | None:
    return next((each.spec for each in trainings if each.recipe == recipe), None)


def _of_specs(spec: TrainingSpec, published: TrainingSpec) -> list[str]:
    return [
        f"{field.name} {getattr(spec, field.name)!r} instead of {getattr(published, field.name)!r}"
        for field in fields(spec)
        if field.name not in UNCOMPARED and getattr(spec, field.name) != getattr(published, field.name)
    ]


def _of_data(scale: Scale, ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    used, published = dict.fromkeys(ours), dict.fromkeys(theirs)
    found = [f"{name}: {scale.data[name].note}" for name in used if scale.data[name].note]
    missing = [name for name in published if name not in used]
    extra = [name for name in used if name not in published]
    if missing:
        found.append(f"data sets of the paper that are left out: {', '.join(missing)}")
    if extra:
        found.append(f"data sets that the paper does not have: {', '.join(extra)}")
    return found

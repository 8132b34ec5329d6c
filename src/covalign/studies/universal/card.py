"""Where does an encoding come from, and what terms hold?"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from covalign.data.images import Images
from covalign.studies.universal.columns import MemberRow
from covalign.studies.universal.members import Population
from covalign.training.run import Run

HOLDS = (
    "averages over all members (covariances of weights, their leading directions, how far members agree) and one "
    "network of random draws from them, whose norms hold means and variances over the images it was aligned on; no "
    "image, and of no trained network a weight, a norm or a readout"
)
"""What of its members and its data is in a file."""

PUBLIC_DOMAIN = "public domain (the photographs that come with covalign)"


def member_rows(found: Population) -> tuple[MemberRow, ...]:
    """Return a row a member."""
    named = zip(found.runs, found.conditions, found.subjects, strict=True)
    return tuple(_member(run, condition, subject.name) for run, condition, subject in named)


def _member(run: Run, condition: str, name: str) -> MemberRow:
    last = run.history[-1] if run.history else None
    test = None if last is None else last.test_accuracy
    accuracy = float("nan") if last is None else last.train_accuracy if test is None else test
    return MemberRow(
        name,
        _plain(condition),
        run.key,
        run.spec.seed,
        run.facts.training_images,
        len(run.history),
        accuracy,
    )


def _plain(condition: str) -> str:
    """Return a condition without the folders that lead to its images."""
    images, _, labels = condition.partition(", ")
    name = images.replace("\\", "/").rstrip("/").rpartition("/")[2] or images
    return f"{name}, {labels}" if labels else name


def card(
    found: Population,
    images: Images,
    options: Mapping[str, Any],
    licences: Mapping[str, str],
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return where an encoding comes from and what terms hold."""
    seen = {run.facts.images for run in found.runs}
    sets = sorted(seen | set(images.name.split(" + ")))
    recipe = asdict(found.runs[0].spec)
    return {
        "data": {
            name: {
                "licence": licences.get(name, PUBLIC_DOMAIN if name.startswith("photos") else "not stated"),
                "fingerprints": sorted({r.facts.fingerprint for r in found.runs if r.facts.images == name}),
            }
            for name in sets
        },
        "aligned_on": {"name": images.name, "split": images.split, "count": len(images)},
        "recipe": {
            name: value for name, value in recipe.items() if name not in ("images", "seed", "filters")
        },
        "options": dict(options),
        "coordinates": "inputs of a reference network that was drawn from the encoding itself",
        "holds": HOLDS,
        "provenance": dict(provenance),
    }

"""What is a figure or table of a paper, to a program?

An `Exhibit`: which trainings it needs, what it measures on them, how that is drawn, and which of the paper's claims
it can decide. Measuring and drawing are apart: `Measurements` are small and are kept, so that a figure redraws, and
its claims are judged again, without any weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from covalign.papers.bench import Bench
from covalign.papers.label import Label
from covalign.papers.scales.scale import Scale
from covalign.training.spec import TrainingSpec

Verdict = Literal["holds", "does not hold", "not testable"]


@dataclass(frozen=True)
class Training:
    """One network that an exhibit needs.

    Attributes:
        recipe: which of the scale's recipes it follows, changes of seed, labels and architecture apart.
        data: name of the data set.
        spec: the recipe with those changes; where the images come from is filled in by `Bench`.
    """

    recipe: str
    data: str
    spec: TrainingSpec


@dataclass(frozen=True, eq=False)
class Measurements:
    """The small statistics of an exhibit: tables and tensors by name."""

    tables: Mapping[str, pd.DataFrame]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """One statement of a paper, held against a measurement.

    Attributes:
        sentence: the claim, in our words.
        expected: the number that it implies, with its source, as text.
        measured: our number.
        interval: its 95 % interval over replicates; None where it has none.
        verdict: "holds", "does not hold" or "not testable".
        why: by which rule, and what stands behind it.
    """

    sentence: str
    expected: str
    measured: float
    interval: tuple[float, float] | None
    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Exhibit:
    """A figure or table of a paper.

    Attributes:
        name: as on the command line.
        title: what it shows, in a line.
        source: authors, year, number.
        trainings: the networks it needs, by label.
        measure: from trained networks to numbers.
        draw: from numbers to figures by name; the first is the exhibit itself.
        claims: from numbers to verdicts.
        choices: what was chosen differently from the paper at every scale, and why.
    """

    name: str
    title: str
    source: str
    trainings: Callable[[Scale], dict[Label, Training]]
    measure: Callable[[Bench], Measurements]
    draw: Callable[[Measurements], dict[str, Figure]]
    claims: Callable[[Measurements], list[Claim]]
    choices: tuple[str, ...] = ()


def holds(condition: bool) -> Verdict:
    """Return the verdict of a rule that was met or not."""
    return "holds" if condition else "does not hold"

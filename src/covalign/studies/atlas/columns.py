"""What is a row of an atlas's tables?"""

import math
from dataclasses import dataclass

from covalign.report.columns import column, documented

LEVEL = 0.05
"""Corrected p from which seeds tell values apart."""


@documented
@dataclass(frozen=True)
class AxisRow:
    """Whether what varies along an axis makes a difference at one layer."""

    axis: str = column("what varies")
    layer: str = column("its name in the first network that was compared", title="name")
    depth: int = column("from 1", digits=0, title="layer")
    values: int = column("values on the axis with enough seeds", digits=0)
    strata: int = column("sets of conditions that differ in this axis alone", digits=0)
    networks: int = column("that were exchanged", digits=0)
    separation: float = column(
        "how much better networks of one value agree than networks of two, in R", digits=3, default=math.nan
    )
    detectable: float = column("separation that would have shown at p = .05", digits=3, default=math.nan)
    p_value: float = column("over exchanges of networks", title="p", digits=4, default=math.nan)
    corrected: float = column(
        "p over all layers (Holm 1979)", title="p, all layers", digits=4, default=math.nan
    )
    least: float = column(
        "smallest p that so many networks could give", title="least p", digits=5, default=math.nan
    )
    exact: bool = column("whether all exchanges were looked at", default=False)
    remark: str = column("why there is no test", default="")


@documented
@dataclass(frozen=True)
class ValueRow:
    """Whether two values of an axis make a difference at one layer."""

    axis: str = column("what varies")
    value_a: str = column("first value", title="a")
    value_b: str = column("second value", title="b")
    layer: str = column("its name in the first network that was compared", title="name")
    depth: int = column("from 1", digits=0, title="layer")
    q: float = column("Q, mean over sets of conditions that differ in this axis alone", title="Q", digits=2)
    strata: int = column("such sets with enough seeds", digits=0)
    separation: float = column(
        "how much better networks of one value agree than networks of two, in R", digits=3, default=math.nan
    )
    detectable: float = column("separation that would have shown at p = .05", digits=3, default=math.nan)
    p_value: float = column("over exchanges of networks", title="p", digits=4, default=math.nan)
    corrected: float = column(
        "p over all pairs of values at this layer (Holm 1979)",
        title="p, all pairs",
        digits=4,
        default=math.nan,
    )
    least: float = column(
        "smallest p that so many networks could give", title="least p", digits=5, default=math.nan
    )
    exact: bool = column("whether all exchanges were looked at", default=False)
    apart: bool = column(f"whether seeds tell them apart (corrected p at most {LEVEL})", default=False)
    remark: str = column("why there is no test", default="")


@documented
@dataclass(frozen=True)
class ClassRow:
    """The class of a value at one layer: no two values of a class are told apart by seeds."""

    axis: str = column("what varies")
    value: str = column("value on the axis")
    layer: str = column("its name in the first network that was compared", title="name")
    depth: int = column("from 1", digits=0, title="layer")
    label: str = column("class, a letter; empty where it was not tested", title="class")


@documented
@dataclass(frozen=True)
class ContainmentRow:
    """Who contains whom: how much of what one condition learned lies among the directions of the other."""

    condition_a: str = column("first condition", title="a")
    condition_b: str = column("second condition", title="b")
    layer: str = column("its name in the first network that was compared", title="name")
    depth: int = column("from 1", digits=0, title="layer")
    a_in_b: float = column(
        "share of a's variance among the directions that b learned reproducibly", title="a in b", digits=2
    )
    b_in_a: float = column("the reverse", title="b in a", digits=2)
    asymmetry: float = column("a in b less b in a: positive where b contains more of a", digits=2)
    low: float = column("lower end of its 95 % interval over seeds", digits=2)
    high: float = column("upper end", digits=2)
    directions_a: float = column(
        "directions that networks of a learned reproducibly, mean", title="directions of a", digits=1
    )
    directions_b: float = column("the same of b", title="directions of b", digits=1)


@documented
@dataclass(frozen=True)
class PlaceRow:
    """Where a network lies in the plane of one layer."""

    network: str = column("")
    condition: str = column("")
    layer: str = column("its name in the first network that was compared", title="name")
    depth: int = column("from 1", digits=0, title="layer")
    x: float = column("first coordinate", digits=2)
    y: float = column("second coordinate", digits=2)
    shown: float = column("share of the squared distances that the plane shows", digits=2)


@documented
@dataclass(frozen=True)
class NetworkRow:
    """A network of the population."""

    network: str = column("")
    condition: str = column("")
    seed: str = column("of its training, as text: whole numbers as large as seeds are no floats", default="")
    epochs: float = column("it was trained for", digits=0, default=math.nan)
    train_accuracy: float = column(
        "in its last epoch, while the weights change", title="train", digits=3, default=math.nan
    )
    test_accuracy: float = column("with true labels", title="test", digits=3, default=math.nan)

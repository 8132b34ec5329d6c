"""What is a network of an exhibit called, and how is it found in a table again?"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from covalign.papers.scales.scale import DataSet


@dataclass(frozen=True, order=True)
class Label:
    """Which network of an exhibit: what it was trained on, of which kind it is, and which of them.

    Attributes:
        data: name of the data set.
        kind: what sets it apart, such as its labels.
        number: which network of this kind.
        pattern: how it is written in tables and figures.
    """

    data: str
    kind: str
    number: int
    pattern: str = "{data}, {kind} {number}"

    def __str__(self) -> str:
        return self.pattern.format(data=self.data, kind=self.kind, number=self.number)

    @property
    def columns(self) -> dict[str, str | int]:
        """What a row of a table says of its network: ``network`` (this text), ``data, kind, number``."""
        return {"network": str(self), "data": self.data, "kind": self.kind, "number": self.number}


def completed(
    tables: Mapping[str, pd.DataFrame], labels: Iterable[Label], data: Mapping[str, DataSet]
) -> dict[str, pd.DataFrame]:
    """Give tables of earlier versions, which name networks by their text alone, the columns of today's.

    Args:
        tables: of an exhibit, by name.
        labels: of its networks.
        data: the scale's data sets by name.
    """
    known = pd.DataFrame([label.columns for label in labels])
    found = dict(tables)
    if "networks" in found and "number" not in found["networks"]:
        found["networks"] = found["networks"].rename(columns={"data": "images"}).merge(known, on="network")
    if "curves" in found and "number" not in found["curves"]:
        found["curves"] = found["curves"].merge(known[["network", "number"]], on="network")
    if "amplified" in found and "changed" not in found["amplified"]:
        changed = [data[name].changed for name in found["amplified"]["data"]]
        found["amplified"] = found["amplified"].assign(changed=changed)
    return found

"""In which order do conditions stand, which are nearest, and how do networks lie in a plane?

Q is the cosine of what two conditions teach. As a distance, the chord between unit vectors with that cosine:

    d(A, B)^2 = 2 (1 - Q(A, B)),                     0 where Q is above 1; Q taken as 0 where there is none.

Conditions are clustered by average linkage of d, leaves ordered so that neighbours are near (Bar-Joseph et al.
2001). The plane is classical scaling (Torgerson 1952) of the same distance with R between networks: the two leading
eigenvectors of -J D^2 J / 2, J = I - 11'/n. Networks of one condition lie apart by what seeds do to R. From layer
to layer planes are turned, never stretched, into that of the layer before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float64
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import squareform
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Tree:
    """A hierarchical clustering.

    Attributes:
        joints: as SciPy writes them, ``[n - 1, 4]``: the two that are joined, their distance, and how many it has.
        order: leaves from left to right.
    """

    joints: Float64[Tensor, "joints 4"]
    order: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Plane:
    """Networks in a plane: coordinates ``[n, 2]``, and the share of all squared distances that they show."""

    places: Float64[Tensor, "n 2"]
    shown: float


def similarities(rows: pd.DataFrame, names: Sequence[str]) -> Float64[Tensor, "n n"]:
    """Return Q of every two conditions at one layer as a matrix; NaN where there is none, 1 on the diagonal.

    Args:
        rows: of `Atlas.table`, of that layer.
        names: conditions, in order.
    """
    place = {name: index for index, name in enumerate(names)}
    found = torch.full((len(names), len(names)), torch.nan, dtype=torch.float64).fill_diagonal_(1.0)
    for row in rows.itertuples():
        a, b = place[row.condition_a], place[row.condition_b]
        found[a, b] = found[b, a] = row.q
    return found


def distances(cosines: Float64[Tensor, "n n"]) -> Float64[Tensor, "n n"]:
    """Return chords between unit vectors with these cosines; NaN counts as 0, what is above 1 as 1."""
    squares = 2 * (1 - cosines.nan_to_num(nan=0.0).clamp(max=1.0))
    return squares.fill_diagonal_(0.0).sqrt()


def tree(cosines: Float64[Tensor, "n n"]) -> Tree:
    """Cluster conditions.

    Args:
        cosines: Q of every two, symmetric, at least two of them.
    """
    apart = squareform(distances(cosines).numpy(), checks=False)
    joints = linkage(apart, "average", optimal_ordering=True)
    return Tree(torch.from_numpy(joints.astype(np.float64)), tuple(int(leaf) for leaf in leaves_list(joints)))


def plane(cosines: Float64[Tensor, "n n"]) -> Plane:
    """Scale networks into a plane.

    Args:
        cosines: R of every two, symmetric. Signs and the rotation of the plane are a convention (see `turned`).
    """
    squares = distances(cosines).square()
    centred = squares - squares.mean(0) - squares.mean(1, keepdim=True) + squares.mean()
    values, vectors = torch.linalg.eigh(-centred / 2)
    kept = values[-2:].flip(0).clamp(min=0)
    total = float(values.clamp(min=0).sum())
    places = vectors[:, -2:].flip(1) * kept.sqrt()
    return Plane(places, float(kept.sum()) / total if total > 0 else 1.0)


def turned(planes: Sequence[Plane]) -> list[Plane]:
    """Turn every plane, without stretching it, into the one before, so that a slider shows change alone."""
    found = list(planes[:1])
    for each in planes[1:]:
        rotation, _ = orthogonal_procrustes(each.places.numpy(), found[-1].places.numpy())
        found.append(Plane(each.places @ torch.from_numpy(rotation), each.shown))
    return found

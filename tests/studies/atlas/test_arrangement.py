import math

import numpy as np
import pytest
import torch

from covalign.studies.atlas.arrangement import Plane, distances, plane, tree, turned
from covalign.studies.atlas.maps import polylines


def unit(angles):
    points = torch.tensor([[math.cos(a), math.sin(a)] for a in angles], dtype=torch.float64)
    return points, points @ points.T


def test_distance_is_the_chord_of_unit_vectors():
    points, cosines = unit((0.0, 0.3, 2.0))
    assert torch.allclose(distances(cosines), torch.cdist(points, points))
    odd = torch.tensor([[1.0, math.nan], [1.2, 1.0]], dtype=torch.float64)
    assert distances(odd).tolist() == [[0.0, math.sqrt(2)], [0.0, 0.0]]


def test_points_of_a_plane_come_back_up_to_a_turn():
    points, cosines = unit((0.0, 0.3, 1.0, 2.0))
    found = plane(cosines)
    assert torch.allclose(torch.cdist(found.places, found.places), torch.cdist(points, points))
    assert found.shown == pytest.approx(1)


def test_a_plane_says_how_much_it_leaves_out():
    found = plane(torch.eye(5, dtype=torch.float64))
    assert found.shown == pytest.approx(0.5)  # two of four equal dimensions


def test_planes_are_turned_into_the_one_before_and_not_stretched():
    points, _ = unit((0.0, 0.3, 1.0, 2.0))
    rotation = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    first, second = turned([Plane(points, 1.0), Plane(2 * points @ rotation, 0.5)])
    assert torch.allclose(first.places, points)
    assert torch.allclose(second.places, 2 * points)
    assert second.shown == 0.5


def test_the_most_alike_are_joined_first():
    cosines = torch.tensor(
        [[1, 0.1, 0.9, 0.2], [0.1, 1, 0.2, 0.8], [0.9, 0.2, 1, 0.1], [0.2, 0.8, 0.1, 1]]
    ).double()
    found = tree(cosines)
    assert [sorted(map(int, row[:2])) for row in found.joints[:2].tolist()] == [[0, 2], [1, 3]]
    assert {found.order[:2], found.order[2:]} in (
        {(0, 2), (1, 3)},
        {(0, 2), (3, 1)},
        {(2, 0), (1, 3)},
        {(2, 0), (3, 1)},
    )


def test_lines_of_a_tree_meet_where_it_joins():
    lines = polylines(tree(torch.tensor([[1, 0.9, 0.1], [0.9, 1, 0.1], [0.1, 0.1, 1]]).double()))
    (low, high) = lines
    assert high[1][1] == high[2][1] == 1.0
    middle = np.mean([low[0][0], low[3][0]])
    assert (middle, low[1][1]) in (high[0], high[3])
    assert sorted({low[0][0], low[3][0], *(point[0] for point in (high[0], high[3]) if point[1] == 0)}) == [
        0,
        1,
        2,
    ]

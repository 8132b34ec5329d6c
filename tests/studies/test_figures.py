"""Panels of truncations, trajectories and cross-layer maps."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from covalign.studies.cross_layer.figures import cross_layer_similarity
from covalign.studies.cross_layer.measure import CrossLayerMap
from covalign.studies.trajectory.figures import measure_against_epoch
from covalign.studies.truncation.figures import accuracy_against_rank


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture
def curves():
    rows = [
        {"basis": basis, "rank": rank, "accuracy": accuracy, "untruncated": 0.9}
        for basis, accuracies in {"weights": (0.1, 0.9, 0.8), "random": (0.1, 0.5, 0.2)}.items()
        for rank, accuracy in zip((0, 8, 2), accuracies, strict=True)
    ]
    return pd.DataFrame(rows)


def test_accuracy_is_drawn_by_rank_with_rank_zero_only_on_a_linear_axis(curves, ax):
    accuracy_against_rank(curves, ax, effective_rank=3.5)
    lines = {line.get_label(): line for line in ax.lines}
    assert list(lines["weight eigenvectors"].get_xdata()) == [2, 8]
    assert list(lines["random directions"].get_ydata()) == [0.2, 0.5]
    assert [3.5, 3.5] in [list(line.get_xdata()) for line in ax.lines]
    other = Figure().subplots()
    accuracy_against_rank(curves, other, logarithmic=False)
    assert 0 in [line.get_xdata()[0] for line in other.lines if line.get_label() == "weight eigenvectors"]


@pytest.fixture
def course():
    rows = [
        {
            "epoch": epoch,
            "depth": depth,
            "reference": reference,
            "similarity": epoch * 0.1 * depth,
            "similarity_reversed": epoch * 0.3 * depth if epoch else math.nan,
            "kept": epoch + depth,
        }
        for reference in ("final", "other")
        for epoch in (0, 1, 3)
        for depth in (1, 2)
    ]
    return pd.DataFrame(rows)


def test_a_line_per_layer_of_the_mean_of_both_orders(course, ax):
    measure_against_epoch(course, ax, reference="other")
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["layer 2"].get_ydata(), [math.nan, 0.4, 1.2])
    assert ax.get_ylabel() == "normalized similarity"


def test_any_measure_can_be_drawn_against_the_epoch(course, ax):
    measure_against_epoch(course, ax, "kept")
    assert list(ax.lines[0].get_ydata()) == [1, 2, 4]
    assert list(ax.lines[0].get_xdata()) == [0, 1, 3]


def test_best_matches_are_ringed_and_gaps_stay_gaps(ax):
    table = pd.DataFrame(
        {
            "layer_a": ["p", "p", "q"],
            "layer_b": ["s", "t", "t"],
            "similarity": [0.2, 0.8, 0.6],
            "similarity_reversed": [0.4, 0.6, 0.6],
            "excess": [0.1, 0.2, 0.3],
        }
    )
    cross_layer_similarity(CrossLayerMap(table, ("p", "q", "r"), ("s", "t")).matrix(), ax)
    np.testing.assert_allclose(ax.images[0].get_array().filled(np.nan)[:2], [[0.3, 0.7], [math.nan, 0.6]])
    assert [list(line) for line in ax.lines[0].get_data()] == [[1, 1], [0, 1]]
    Figure().canvas.draw()

import math

import pandas as pd
from matplotlib.figure import Figure

from covalign.figures.intervals import arms, level_lines


def test_levels_are_drawn_behind_everything_else():
    ax = level_lines(Figure().subplots(), 0.0, 1.0)
    assert [line.get_ydata()[0] for line in ax.lines] == [0.0, 1.0]
    assert {line.get_zorder() for line in ax.lines} == {0}


def test_arms_reach_the_ends_and_vanish_where_there_is_no_interval():
    value, low, high = (pd.Series(numbers) for numbers in ([0.5, 0.5], [0.25, math.nan], [0.75, math.nan]))
    assert [each.tolist() for each in arms(value, low, high)] == [[0.25, 0.0], [0.25, 0.0]]


def test_a_value_outside_its_interval_has_no_arm_on_that_side():
    below, above = arms(pd.Series([1.0]), pd.Series([0.0]), pd.Series([0.75]))
    assert (below[0], above[0]) == (1.0, 0.0)

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from covalign.figures.heat import CROWDED, PRINTED, cell, heat_map, shades


@pytest.fixture
def ax():
    return Figure().subplots()


def lightness(colors):
    """CIE L* of sRGB bytes."""
    plain = colors.astype(float) / 255
    linear = np.where(plain <= 0.04045, plain / 12.92, ((plain + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * np.cbrt(luminance) - 16


def test_equal_steps_of_the_value_are_equal_steps_of_lightness():
    steps = np.diff(lightness(shades(np.linspace(0, 1, 21)[None]))[0])
    assert steps.max() < 0
    assert np.ptp(steps) < 0.35 * abs(steps.mean())


def test_what_is_out_of_range_has_the_colour_of_the_end_and_nothing_is_grey():
    found = shades(np.array([[-0.4, 0.0, 1.0, 1.2, np.nan]]))[0]
    assert (found[0] == found[1]).all()
    assert (found[2] == found[3]).all()
    assert len(set(found[4].tolist())) == 1


def test_cells_are_printed_framed_and_pointed_at_where_they_are(ax):
    values = np.array([[0.9, -0.25], [0.4, np.nan], [0.1, 1.0]])
    heat_map(values, ax, rows="pqr", columns="st", framed=[(2, 1)], pointed=[(0, 0)])
    printed = {tuple(text.get_position()): text.get_text() for text in ax.texts}
    assert printed == {(0, 0): ".90", (1, 0): "−.25", (0, 1): ".40", (0, 2): ".10", (1, 2): "1.00"}
    (frame,) = [each for each in ax.patches if isinstance(each, Rectangle)]
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((0.5, 1.5), 1, 1)
    (point,) = ax.lines
    assert (round(point.get_xdata()[0]), round(point.get_ydata()[0])) == (0, 0)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["p", "q", "r"]


@pytest.mark.parametrize(("layers", "named"), [(8, 8), (50, 50), (300, 100)])
def test_names_stand_beside_every_layer_that_there_is_room_for(ax, layers, named):
    names = [str(place) for place in range(layers)]
    heat_map(np.zeros((layers, 3)), ax, rows=names, columns="abc")
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert len(labels) == named
    assert labels == names[:: layers // named]


def test_cells_become_smaller_with_their_number():
    sizes = [cell((side, 2)) for side in (PRINTED, CROWDED, 50, 300)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


def test_hostile_names_are_drawn_as_they_are(ax):
    with matplotlib.rc_context({"text.parse_math": True}):
        heat_map(np.eye(2), ax, rows=["_a$b$", "$"], columns=["x_{2}", "^"])
        ax.figure.canvas.draw()
    assert ax.get_yticklabels()[1].get_text() == r"\$"

"""Pictures of panels show what the interactive plots show."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from covalign.report.page import Page, Panel, Plots, Section
from covalign.report.plots import legend, level, line
from covalign.report.rendering import render
from covalign.report.stills import draw, still


@pytest.fixture
def panel():
    bars = {
        "type": "bar",
        "x": [1, 2],
        "y": [0.5, 0.25],
        "base": [0.1, 0.2],
        "marker": {"color": "rgba(127,127,127,.3)"},
    }
    error = {"type": "data", "symmetric": False, "array": [0.1, float("nan")], "arrayminus": [0.2, 0.1]}
    course = line(1, [1, 2], [3.0, float("nan")], "hover", error_y=error)
    layout = {
        "xaxis": {"title": {"text": "layer"}, "range": [0.6, 2.4]},
        "yaxis": {"title": {"text": "$R$ &lt;b&gt;"}},
    }
    return Panel((bars, course), {**layout, **level(1.0, "the same")}, "what it shows")


def test_traces_axes_and_levels_are_drawn(panel):
    ax = draw(panel, Figure().subplots())
    assert [bar.get_y() for bar in ax.patches] == [0.1, 0.2]
    np.testing.assert_allclose([bar.get_height() for bar in ax.patches], [0.5, 0.25])
    assert ax.get_xlim() == (0.6, 2.4)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("layer", r"\$R\$ <b>")
    assert [text.get_text() for text in ax.texts] == ["the same"]
    course = next(drawn for drawn in ax.lines if len(drawn.get_ydata()) == 2 and drawn.get_ydata()[0] == 3.0)
    assert np.isnan(course.get_ydata()[1])


def test_logarithmic_ranges_are_powers_of_ten():
    panel = Panel((line(0, [1, 10], [1, 100], ""),), {"yaxis": {"type": "log", "range": [0, 3]}}, "")
    ax = draw(panel, Figure().subplots())
    assert ax.get_yscale() == "log"
    assert ax.get_ylim() == (1.0, 1000.0)


def test_a_still_is_a_picture_of_the_panels_height(panel):
    alone, many = (Image.open(io.BytesIO(still(panel, small))).size for small in (False, True))
    assert alone[0] > many[0]
    assert alone[1] == many[1]


def test_a_static_page_holds_pictures_and_no_script(panel):
    plots = Plots((panel,), "caption", legend(["a"]))
    page = Page("kicker", "title", "subtitle", (), (), (Section("key", "title", (), (plots,)),))
    html = render(page, static=True)
    assert "<script" not in html
    assert "<button" not in html
    assert 'alt="what it shows" src="data:image/png;base64,' in html

import base64
import io
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from covalign.errors import InputError
from covalign.report.page import (
    Column,
    Download,
    Downloads,
    Facts,
    Page,
    Panel,
    Plots,
    Raster,
    Section,
    Spark,
    Table,
)
from covalign.report.rendering import (
    cell_order,
    cell_text,
    content_policy,
    environment,
    png_uri,
    render,
    spark_path,
    write_page,
)
from covalign.storage.plain import json_bytes, plain_numbers


def page(text="text", *parts):
    return Page("test report", text, text, (text,), ((text, text),), (Section("one", text, (text,), parts),))


def table(text="text", *rows):
    return Table((Column(text, meaning=text), Column("x", 2)), rows or ((text, 1.0),), text)


def markup(html):
    """The page without its scripts and styles."""
    return re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)


@pytest.mark.slow
@given(st.text(max_size=30).map(lambda text: f'<b onclick="x">{text}</b></script><!-- {{{{ 7 }}}} \' &'))
def test_any_text_is_escaped_wherever_it_stands(text):
    parts = environment().get_template("parts.html").module
    panel = Panel(({"name": text},), {}, text, text)
    for part in (table(text), Facts(((text, text),)), Plots((panel,), text)):
        html = str(parts.item(part))
        assert "<b onclick" not in html
        assert "<!--" not in html
        assert html.count("</script>") == html.count("<script")


def test_a_hostile_title_stays_text():
    html = markup(render(page("</title><script>alert(1)</script>")))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_policy_allows_the_two_scripts_of_the_page_and_no_request():
    html = render(page())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html).group(1).replace("&#39;", "'")
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    assert len(scripts) == 2
    assert policy == content_policy(scripts)
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


def test_nothing_is_loaded_from_elsewhere():
    html = markup(render(page("text", table())))
    sources = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert [source for source in sources if not source.startswith(("data:", "#"))] == []


def test_the_same_page_gives_the_same_bytes():
    assert render(page("text", table())) == render(page("text", table()))


def test_a_plot_is_carried_as_json_with_null_for_nan():
    panel = Panel(({"y": [1.0, math.nan, np.float64(2)]},), {"title": "</script>"}, "alt")
    html = str(environment().get_template("parts.html").module.item(Plots((panel,), "caption")))
    carried = json.loads(re.search(r'application/json">(.*?)</script>', html).group(1))
    assert carried == {"data": [{"y": [1.0, None, 2.0]}], "layout": {"title": "</script>"}}


def test_numbers_become_plain_json():
    assert plain_numbers({"a": (np.int64(1), math.inf), 2: [np.bool_(True)]}) == {"a": [1, None], "2": [True]}
    assert json.loads(json_bytes({"x": math.nan})) == {"x": None}


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.126, 2, "0.13"),
        (-0.5, 1, "−0.5"),
        (0.0, 2, "0.00"),
        (0.000312, 3, "3e−04"),
        (math.nan, 2, "–"),
        (1234, 0, "1234"),
        (True, None, "yes"),
        ("a", 2, "a"),
    ],
)
def test_cells_print(value, digits, text):
    assert cell_text(value, digits) == text


def test_cells_sort_by_value_and_nan_by_nothing():
    assert cell_order(2) == "2.0"
    assert cell_order("b") == "b"
    assert cell_order(math.nan) == cell_order(Spark(())) == ""
    assert cell_order(Spark((1.0, math.nan, 3.0))) == "2.0"


def test_a_sparkline_breaks_at_nan_and_draws_its_level():
    paths = spark_path(Spark((0.0, 1.0, math.nan, 0.5, 0.0), 0.0))
    assert paths["line"].count("M") == 2
    assert paths["line"].count("L") == 2
    assert paths["level"].startswith("M0 17.0")
    assert spark_path(Spark(())) == {"line": "", "level": ""}
    assert "nan" not in str(spark_path(Spark((1.0, 1.0))))


def test_pictures_keep_every_pixel():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = base64.b64decode(png_uri(pixels).removeprefix("data:image/png;base64,"))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)


def test_arrows_are_drawn_inside_the_map_only():
    module = environment().get_template("parts.html").module
    picture = np.zeros((4, 4), np.uint8)
    assert str(module.raster(Raster(picture, "map", arrows=(2.0, 9.0)))).count('class="arrow"') == 1
    assert str(module.raster(Raster(picture, "map", arrows=(math.nan, math.nan)))).count('class="arrow"') == 0


def test_downloads_carry_their_bytes():
    file = Download("a.csv", "text/csv", "ä,1\n".encode(), "numbers")
    html = str(environment().get_template("parts.html").module.item(Downloads((file,))))
    carried = re.search(r'download="a.csv" href="data:text/csv;charset=utf-8;base64,([^"]*)"', html).group(1)
    assert base64.b64decode(carried).decode() == "ä,1\n"


def test_a_page_is_written_whole_into_a_new_folder(tmp_path):
    target = write_page(page("lone surrogate \udcff"), tmp_path / "new" / "report.html")
    assert "lone surrogate ?" in target.read_text("utf-8")
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]


def test_a_folder_is_no_place_to_write(tmp_path):
    with pytest.raises(
        InputError,
        match=r"report: .*: cannot be written \(Is a directory\); give a file in a writable folder",
    ):
        write_page(page(), tmp_path)

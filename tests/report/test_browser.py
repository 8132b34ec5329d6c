"""The report as a reader opens it: in a real browser, without a network, on screen, phone and paper."""

import shutil
import time

import pytest

from covalign.report.page import Key, Mark, Matrix, Page, Panel, Section, Slide, Slides
from covalign.report.rendering import write_page

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PATIENCE = 120
"""Seconds to wait for a browser on a busy machine."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium on the path")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opened(browser, hostile, tmp_path_factory):
    """A report of networks with hostile names, what the browser complained of, and what it asked for."""
    path = hostile.report(tmp_path_factory.mktemp("report") / "report.html")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE * 1000)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector(".js-plotly-plot .main-svg")
    return page, complaints, requests, path


def eventually(page, condition):
    """Wait for a condition (the page's policy forbids the browser's own waiting, which evaluates a string)."""
    deadline = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"still not true after {PATIENCE} s: {condition}"
        page.wait_for_timeout(50)


def test_it_opens_without_complaint_and_asks_for_nothing(opened):
    _, complaints, requests, path = opened
    assert complaints == []
    assert [url for url in requests if url != path.as_uri() and not url.startswith("data:")] == []


def test_both_answers_are_above_the_fold(opened):
    page = opened[0]
    page.set_viewport_size({"width": 1280, "height": 800})
    boxes = [box.bounding_box() for box in page.locator(".answer").all()]
    page.set_viewport_size({"width": 1280, "height": 900})
    assert len(boxes) == 2
    assert all(box["y"] + box["height"] <= 800 for box in boxes)


def test_every_plot_is_drawn(opened):
    page = opened[0]
    plots = page.locator(".plot")
    drawn = page.evaluate(
        "[...document.querySelectorAll('.plot')].filter(p => p.querySelector('.trace, .bars')).length"
    )
    assert plots.count() == drawn > 10


def test_a_table_sorts_both_ways_with_missing_numbers_last(opened):
    page = opened[0]
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    table = page.locator("details table")
    heading = table.locator("th", has_text="S, published").first
    place = heading.evaluate("cell => cell.cellIndex")

    def column():
        return table.evaluate("(t, i) => [...t.tBodies[0].rows].map(r => r.cells[i].dataset.order)", place)

    for direction in ("ascending", "descending"):
        heading.locator("button").click()
        values = column()
        numbers = [float(value) for value in values if value]
        assert numbers == sorted(numbers, reverse=direction == "descending")
        assert values[-1] == ""
        assert heading.get_attribute("aria-sort") == direction


def test_the_legend_hides_and_shows_its_lines(opened):
    page = opened[0]
    button = page.locator(".legend button").first
    shown = "document.querySelector('.plot').data[0].visible"
    button.click()
    assert (page.evaluate(shown), button.get_attribute("aria-pressed")) == (False, "false")
    button.click()
    assert (page.evaluate(shown), button.get_attribute("aria-pressed")) == (True, "true")


def test_numbers_can_be_saved(opened, tmp_path):
    page = opened[0]
    with page.expect_download() as download:
        page.locator("a[download='comparison.csv']").click()
    download.value.save_as(tmp_path / "comparison.csv")
    assert (tmp_path / "comparison.csv").read_text().startswith("a,b,layer_a,layer_b")


def test_a_phone_scrolls_only_downwards(opened):
    page = opened[0]
    page.set_viewport_size({"width": 360, "height": 740})
    eventually(page, "document.documentElement.scrollWidth === 360")
    page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.slow
def test_the_dark_theme_reaches_the_plots(opened):
    page = opened[0]
    ink = "document.querySelector('.plot')._fullLayout.font.color"
    light = page.evaluate(ink)
    page.emulate_media(color_scheme="dark")
    eventually(page, f"{ink} !== {light!r}")
    page.emulate_media(color_scheme="light")
    eventually(page, f"{ink} === {light!r}")


@pytest.mark.slow
def test_it_prints_with_its_folded_tables_open(opened, tmp_path):
    page = opened[0]
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = false; })")
    page.evaluate(
        "addEventListener('beforeprint', () => {"
        " window.open_at_print = document.querySelectorAll('details[open]').length; })"
    )
    assert page.pdf(path=tmp_path / "report.pdf")[:4] == b"%PDF"
    assert page.evaluate("window.open_at_print") == page.locator("details").count()
    assert page.locator("details[open]").count() == 0


def test_on_paper_a_heading_is_text(opened):
    """Chromium does not draw a control in the head that it repeats on every page of a table."""
    page = opened[0]
    kinds = "[...new Set([...document.querySelectorAll('th button')].map(it => getComputedStyle(it).display))].join()"
    assert page.evaluate(kinds) != "contents"
    page.emulate_media(media="print")
    assert page.evaluate(kinds) == "contents"
    page.emulate_media(media="screen")


def sliding() -> Page:
    """A page whose only figure has three positions, each with a matrix and a plot."""
    marked = (Mark("#0072B2", "circle"), Mark("#D55E00", "square"))
    cells = (("1", ".5"), (".5", "1"))
    shades = ((("#123456", "#fff"), ("#abc", "#000")),) * 2
    notes = (("", "x – y: <b>"), ("y – x", ""))
    trace = {"type": "scatter", "mode": "markers", "x": [0, 1], "y": [1, 0]}
    slides = tuple(
        Slide(
            f"layer {depth}",
            (
                Matrix(
                    ("x & y", "z"),
                    marked,
                    cells,
                    shades,
                    notes,
                    "two",
                    (((0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0)),),
                ),
            ),
            (Panel((trace,), {}, "points"),),
        )
        for depth in (1, 2, 3)
    )
    figure = Slides(slides, "A caption.", 1, (Key("x & y", "0", "#0072B2", "none", "circle"),))
    return Page("test", "A slider", "of three", (), (), (Section("map", "The map", (), (figure,)),))


def test_a_slider_shows_one_position_and_its_label(browser, tmp_path):
    path = write_page(sliding(), tmp_path / "slides.html")
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.set_default_timeout(PATIENCE * 1000)
    complaints = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_selector(".plot .main-svg", state="attached")
    shown = "[...document.querySelectorAll('.slide')].map(step => step.getClientRects().length > 0)"
    assert page.evaluate(shown) == [False, True, False]
    page.locator(".slider input").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(shown) == [False, False, True]
    assert page.locator(".slider output").text_content() == "layer 3"
    widths = page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert widths[1] <= widths[0] == 390
    assert page.locator(".slide:not([hidden]) .matrix rect").count() == 4
    assert complaints == []

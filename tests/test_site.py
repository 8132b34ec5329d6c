"""The built documentation: without a warning, without a dead link, and in a browser without a complaint."""

import ast
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

SITE = Path(__file__).resolve().parents[1] / "docs" / "site"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
PATIENCE = 120
"""Seconds to wait for a browser on a busy machine."""

ELSEWHERE = r'<(?:script|link|img)[^>]+(?:src|href)="https?://'
"""What a page would fetch from another host."""


def found(name: str) -> bool:
    """Whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site as `make docs` builds it, and what the builder complained of."""
    needed = ("sphinx", "pydata_sphinx_theme", "myst_parser", "sphinxcontrib.bibtex", "sphinx_gallery")
    if missing := [name for name in needed if not found(name)]:
        pytest.skip(f"the site is built by `make docs`; not installed here: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("site")
    options = ["--builder", "html", "--nitpicky", "--fail-on-warning", "--keep-going", "--quiet"]
    command = [sys.executable, "-m", "sphinx", *options, str(SITE), str(folder)]
    return folder, subprocess.run(command, capture_output=True, text=True, check=False)


def pages(folder: Path) -> dict[Path, str]:
    """Texts of all pages of a site."""
    found = sorted(
        folder.rglob("*.html")
    )  # what is offered for download is a report, and no page of the site
    paths = [path for path in found if not {"_static", "_downloads"} & set(path.parts)]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def broken(page: Path, pages: dict[Path, str]) -> list[str]:
    """Links of a built page to files, or places in pages, that are not there."""
    dead = []
    for link in re.findall(r'(?:href|src)="(?!https?:|mailto:|data:)([^"]+)"', pages[page]):
        path, _, place = unescape(link).partition("#")
        target = (page.parent / unquote(path.partition("?")[0])).resolve() if path else page
        to_a_page = target.suffix == ".html" and bool(place)
        there = target.is_file() and (
            not to_a_page or f'id="{unquote(place)}"' in unescape(pages.get(target, ""))
        )
        dead += [] if there else [link]
    return dead


def complaints_of(browser, path: Path) -> list[str]:
    """What a browser complains of while it opens a page: errors, warnings, requests that fail or leave."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE * 1000)
    said: list[str] = []
    page.on("console", lambda it: said.append(it.text) if it.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda it: None if it.url.startswith(("file:", "data:")) else said.append(f"left: {it.url}"),
    )
    page.goto(path.as_uri(), wait_until="load")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth")
        said += [f"{wide} pixels wide at {width}"] if wide > width else []
    page.close()
    return said


def test_the_site_builds_without_a_warning(built):
    _, done = built
    assert done.returncode == 0, done.stderr


def test_no_page_asks_another_host_for_anything(built):
    assert not [path.name for path, text in pages(built[0]).items() if re.search(ELSEWHERE, text)]


def test_no_link_of_the_site_is_dead(built):
    whole = pages(built[0])
    assert len(whole) > 20
    assert not [(path.name, link) for path in whole for link in broken(path, whole)]


def test_the_notebook_ran_to_its_last_cell_and_is_offered(built):
    """A cell that fails ends the build, so that what the last one shows is the proof that all ran."""
    folder, _ = built
    page = (folder / "notebook" / "plot_first_look.html").read_text(encoding="utf-8")
    _, shown, *_ = page.split("Beside a network that learned nothing")  # the list of headings repeats it
    assert "debiased_reason" in shown.split("sphx-glr-footer")[0].split("dataframe")[-1]
    assert page.count("sphx_glr_plot_first_look") > 0
    (offered,) = (folder / "_downloads").rglob("plot_first_look.ipynb")
    cells = json.loads(offered.read_text(encoding="utf-8"))["cells"]
    code = "".join("".join(cell["source"]) + "\n\n" for cell in cells if cell["cell_type"] == "code")
    script = (SITE.parent / "notebook" / "plot_first_look.py").read_text(encoding="utf-8")
    assert ast.dump(ast.parse(code)) == ast.dump(ast.Module(ast.parse(script).body[1:], []))


def test_a_dead_link_would_be_noticed(tmp_path):
    links = ("b.html", "b.html#here", "b.html#gone", "c.html", "#top", "#off", "my%20file.txt")
    text = '<p id="top">' + "".join(f'<a href="{link}">' for link in links)
    (tmp_path / "b.html").write_text('<p id="here">', encoding="utf-8")
    (tmp_path / "my file.txt").touch()
    (tmp_path / "a.html").write_text(text, encoding="utf-8")
    whole = pages(tmp_path)
    assert broken(tmp_path / "a.html", whole) == ["b.html#gone", "c.html", "#off"]


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium on the path")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


def test_every_page_opens_without_a_complaint(built, browser):
    said = {path.name: complaints_of(browser, path) for path in pages(built[0])}
    assert {name: each for name, each in said.items() if each} == {}


@pytest.mark.slow
def test_a_complaint_would_be_noticed(browser, tmp_path):
    page = tmp_path / "bad.html"
    page.write_text(
        '<img src="missing.png"><script>console.error("ouch"); throw Error("oh")</script>'
        '<div style="width: 900px">wide</div>',
        encoding="utf-8",
    )
    said = " ".join(complaints_of(browser, page))
    assert all(each in said for each in ("ouch", "oh", "missing.png", "pixels wide at 390"))

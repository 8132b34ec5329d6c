"""The documentation says what the library does: every name, command, link, setting and example is held against it."""

import ast
import re
import runpy
import shlex
import sys
import tomllib
from pathlib import Path

import pytest

import covalign
from covalign.cli.commands import app
from covalign.training.population import is_population, population_of
from covalign.training.presets import spec_of

DOCS = Path(__file__).resolve().parents[1] / "docs"
SITE = DOCS / "site"
PAGES = {str(path.relative_to(SITE)): path.read_text(encoding="utf-8") for path in SITE.rglob("*.md")}
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))


def fences(language: str) -> list[tuple[str, str]]:
    """Pages and texts of all code blocks in a language."""
    pattern = rf"^ *```{language}\n(.*?)^ *```"
    return [
        (page, text)
        for page, whole in PAGES.items()
        for text in re.findall(pattern, whole, re.DOTALL | re.MULTILINE)
    ]


def documented(text: str) -> set[str]:
    """Names that a page gives an entry of their own."""
    return set(re.findall(r"^\.\. (?:auto\w+|py:data):: (\w+)$", text, re.MULTILINE))


def entries(page: str, text: str) -> set[str]:
    """Pages that a page's tables of contents name."""
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines() if line and not line.startswith(":")]
    names = [re.sub(r".*<(.*)>", r"\1", line) for line in lines]  # "title <name>"
    written = [name for name in names if not name.startswith("notebook/")]  # made as the site is built
    return {(Path(page).parent / f"{name}.md").as_posix() for name in written}


def commands(text: str) -> list[str]:
    """Calls of covalign in a shell block, continued lines joined."""
    return re.findall(r"^ *covalign .*$", text.replace("\\\n", " "), re.MULTILINE)


COMMANDS = [(page, line) for page, text in fences("sh") for line in commands(text)]


def test_every_public_name_is_in_the_reference():
    found = [
        name for page, text in PAGES.items() if page.startswith("reference") for name in documented(text)
    ]
    assert sorted(found) == sorted(set(found))
    assert set(found) == set(covalign.__all__)


def test_a_name_without_an_entry_would_be_noticed():
    assert documented(".. autofunction:: align\n\n.. autosummary::\n\n   compare\n") == {"align"}


def test_every_page_is_in_a_table_of_contents():
    reached, new = set(), {"index.md"}
    while new:
        reached |= new
        new = set().union(*(entries(page, PAGES[page]) for page in new)) - reached
    assert reached == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_of_a_page_exist(page):
    text = re.sub(r"^```(?:sh|python|toml|yaml)\n.*?^```", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)[^)]*\)", text)
    pictures = re.findall(r"^```\{(?:figure|literalinclude)\} (\S+)", text, re.MULTILINE)
    downloads = re.findall(r"\{download\}`[^`]*<([^>]+)>`", text)
    missing = [to for to in links + pictures + downloads if not ((SITE / page).parent / to).is_file()]
    assert not missing


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_fractions_have_braces(text):
    """Without them the renderer takes "38" of three eighths for one number."""
    assert not re.findall(r"\\d?frac[^{].*", text)


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_of_the_pages_is_understood(page, line):
    app.parse_args(shlex.split(line, comments=True)[1:], exit_on_error=False, print_error=False)


def test_commands_of_every_kind_are_shown():
    shown = {shlex.split(line)[1] for _, line in COMMANDS}
    assert {"demo", "train", "compare", "diff", "lineage", "energy", "reproduce", "runs"} <= shown


@pytest.mark.parametrize(("page", "text"), fences("toml"))
def test_every_recipe_of_the_pages_is_one(page, text):
    values = tomllib.loads(text)
    assert population_of(values) if is_population(values) else spec_of(values)


def test_the_gallery_counts_claims_as_the_table_does():
    table = (DOCS / "results/papers/README.md").read_text(encoding="utf-8")
    claims = re.search(r"Of (\d+) claims: (\d+) holds, (\d+) does not hold, (\d+) not testable", table)
    said = re.search(
        r"Of (\d+) claims .*?(\d+) hold, (\d+) do not, and (\d+) ", PAGES["gallery.md"], re.DOTALL
    )
    assert said.groups() == claims.groups()


@pytest.mark.parametrize(("page", "text"), fences("python"))
def test_short_programs_of_the_pages_import_what_there_is(page, text):
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    names = [alias.name for node in imports if node.module == "covalign" for alias in node.names]
    assert names
    assert set(names) <= set(covalign.__all__)


def test_every_example_is_shown_on_a_page():
    shown = {
        Path(name).name for text in PAGES.values() for name in re.findall(r"\{literalinclude\} (\S+)", text)
    }
    assert shown == {path.name for path in EXAMPLES}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_what_a_page_shows_of_an_example_is_there(text):
    for block in re.findall(r"^```\{literalinclude\} (\S+\n(?::.*\n)*)", text, re.MULTILINE):
        source = (DOCS / "examples" / Path(block.split()[0]).name).read_text(encoding="utf-8")
        marks = re.findall(r'^:(?:start|end)-(?:after|before|at): "(.*)"$', block, re.MULTILINE)
        assert [source.count(mark) for mark in marks] == [1] * len(marks)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_runs(example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(example), "--smoke"])
    runpy.run_path(str(example), run_name="__main__")
    assert capsys.readouterr().out

"""The house rules of the tests themselves, as far as a machine can check them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import covalign

TESTS = Path(__file__).parent
PACKAGE = Path(covalign.__file__).parent

ROOMS_OF_THEIR_OWN = {"faults", "fuzz", "samples", "stored"}
"""Folders of tests that mirror no folder of the package: what tests share, what an older version wrote, and
what is asked of everything at once: no fault and no file of others may do harm."""

CLOCKS = {"perf_counter", "monotonic", "process_time", "time", "sleep", "timeit", "wait_for_timeout"}

PATIENT = {"fuzz/campaign.py", "report/test_browser.py", "samples/laboratory.py"}
"""Waits for another program, with a limit that only ends a hang; measures hangs, and is no test."""


def sources(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}


def private_names(source: str) -> set[str]:
    """Names with an underscore that a module of the package gives to something of its own."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return {name for name in found if re.fullmatch(r"_[^_]\w*", name)} - {"_repr_html_"}


def private_uses(source: str, private: set[str]) -> Iterator[str]:
    """Private names of the package that a test imports, reads, or names in a string for a patch."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("covalign"):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from (part for part in parts if re.fullmatch(r"_[^_]\w*", part))
        elif isinstance(node, ast.Attribute) and node.attr in private:
            yield node.attr
        elif isinstance(node, ast.Call):
            yield from (text for text in map(patched, node.args) if text.rpartition(".")[2] in private)


def patched(argument: ast.expr) -> str:
    """What a call names by a string; keys of dictionaries and columns of tables are no arguments."""
    return argument.value if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else ""


def clocks(source: str) -> list[str]:
    """Calls that read a clock, wait for a time, or give up after one."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found += [name] * (name in CLOCKS)
            found += [word.arg for word in node.keywords if word.arg == "timeout"]
    return found


def test_tests_do_not_touch_what_is_private():
    private = set().union(*map(private_names, sources(PACKAGE).values()))
    found = {name: sorted(private_uses(source, private)) for name, source in sources(TESTS).items()}
    assert not {name: uses for name, uses in found.items() if uses}


def test_no_test_depends_on_how_fast_the_machine_is():
    found = {name: clocks(source) for name, source in sources(TESTS).items() if name not in PATIENT}
    assert not {name: calls for name, calls in found.items() if calls}


def test_tests_are_where_their_subject_is():
    folders = {Path(name).parent for name in sources(TESTS) if not ROOMS_OF_THEIR_OWN & set(Path(name).parts)}
    assert not [str(folder) for folder in folders if not (PACKAGE / folder).is_dir()]


@pytest.mark.parametrize(
    "source",
    [
        "from covalign.data.images import _secret",
        "from covalign._data import images",
        "import covalign\ncovalign.data._secret()",
        'monkeypatch.setattr("covalign.data.images._secret", None)',
        'monkeypatch.setattr(images, "_secret", None)',
    ],
)
def test_a_planted_use_is_found(source):
    assert list(private_uses(source, {"_secret"}))


@pytest.mark.parametrize(
    "source", ["time.sleep(1)", "start = perf_counter()", "run(command, timeout=900)", "clock.monotonic()"]
)
def test_a_planted_clock_is_found(source):
    assert clocks(source)

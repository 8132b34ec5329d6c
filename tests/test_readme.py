"""What the README and the tutorial tell a reader to type is typed here, and works.

Commands are understood as they are written, which needs no network, and run at a smaller size (`samples.reader`) in a
folder that has what they name. Beside each stands how long it takes, and whether it needs a network.
"""

import re
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

import pytest

from covalign.cli import train as training
from covalign.cli.app import main
from covalign.cli.commands import app
from covalign.data.loading import load_images
from covalign.studies.comparison.measure import compare
from samples.reader import furnish, placed, smaller, tiny_run

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs/site/tutorial.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
(RECIPE,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)


def typed(text: str) -> dict[str, str]:
    """Every line that a page tells a reader to type into a shell, continued lines joined; the comment beside it."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return {" ".join(shlex.split(line, comments=True)): line.partition(" # ")[2] for line in lines if line}


BESIDE = typed(README) | typed(TUTORIAL)
TYPED = list(BESIDE)
LASTING = re.compile(r"~?\d+(\.\d+)? (s|min|h)\b")
"""Seconds, minutes or hours; `~` where they are estimated."""

COMMANDS = [line for line in TYPED if line.startswith("covalign ")]
OTHERS = [line for line in TYPED if not line.startswith("covalign ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def stand_ins(folder):
    return furnish(folder, RECIPE)


def test_the_readme_shows_commands_and_a_program():
    assert len(typed(README)) > 15
    assert PROGRAMS


@pytest.mark.parametrize("line", [line for line in TYPED if not line.startswith("source ")])
def test_how_long_a_command_takes_stands_beside_it(line):
    assert LASTING.match(BESIDE[line]), BESIDE[line]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_needs_a_network_says_so(line):
    """The hub's data sets are downloaded; everything else is in the package or on the reader's disk."""
    asked = line.replace("my-training.toml", RECIPE)
    assert bool(re.search(r"\bnetwork\b", BESIDE[line])) == ("uoft-cs/" in asked)


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in COMMANDS if re.match(r"covalign (train|reproduce)", line)])
def test_a_long_command_would_do_what_it_says(line, folder, stand_ins, monkeypatch, capsys):
    """At its full size, with the option that only tells what would be done."""
    words = placed(shlex.split(line)[1:], stand_ins)
    if "--redraw" in words:
        pytest.skip("takes seconds, and is run")
    asked = {"train": "--dry-run", "reproduce": "--list"}[words[0]]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["covalign", *words, *([asked] if asked not in words else [])])
    assert ended() == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line):
    app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


@pytest.mark.slow
@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_works(line, folder, stand_ins, monkeypatch, capsys):
    words = smaller(shlex.split(line)[1:], stand_ins)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["covalign", *words])
    monkeypatch.setattr(training, "train_population", tiny_population)
    monkeypatch.setattr(training, "load_images", lambda name: load_images(name, max_images=20))
    monkeypatch.setattr(training, "compare", partial(compare, controls=False, calibrate=False, curves=False))
    out = folder / words[words.index("--out") + 1] if "--out" in words else None
    if out and not {"--redraw", "--list"} & set(words):
        shutil.rmtree(out, ignore_errors=True)
    assert ended() == 0
    said = capsys.readouterr().out
    assert said.strip()
    if out and "--list" not in words:
        assert (out / ("encodings-fig4/results.json" if "--redraw" in words else "report.html")).is_file()


def ended() -> int:
    """The status that the program ends with."""
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def tiny_population(specs, store, **options):
    """Train what the demo trains, at the size of the tests."""
    return [tiny_run(store, spec.seed) for spec in specs]


@pytest.mark.parametrize("line", OTHERS)
def test_everything_else_that_is_typed_is_there(line):
    """Targets of make, scripts of the repository, and the environment that make makes."""
    program, *words = line.split()
    if program == "make":
        assert re.search(rf"^{words[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    elif program == "python":
        assert (ROOT / words[0]).is_file()
    else:
        assert line == "source .venv/bin/activate"


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_of_the_readme_runs(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})

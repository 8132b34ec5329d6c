"""The first page of help, against the library that prints all others."""

import os
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from covalign.cli import overview
from covalign.cli.commands import app


def live(width: int, coloured: bool) -> str:
    """What cyclopts prints."""
    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=coloured,
        color_system="standard" if coloured else None,
        _environ={},
    )
    app.help_print([], console=console)
    return console.file.getvalue()


def without_ends(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


@pytest.mark.parametrize("width", [60, 61, 66, 72, 79, 80, 97, 100, 120, 173, 240])
@pytest.mark.parametrize("coloured", [False, True])
def test_the_first_page_is_that_of_the_library(width, coloured):
    assert without_ends(overview.overview(width, coloured)) == without_ends(live(width, coloured))


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("--help", "--debug")])
def test_it_is_printed_without_what_parses_and_computes(words):
    code = f"import sys; from covalign.cli.app import main; sys.argv = ['covalign', *{words}]; main()\n"
    code += "print(sorted({'cyclopts', 'rich', 'torch', 'numpy'} & sys.modules.keys()))"
    environment = {name: value for name, value in os.environ.items() if name not in overview.SETTINGS}
    environment |= {"PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, env=environment
    )
    *page, imported = done.stdout.splitlines()
    assert (imported, done.stderr) == ("[]", "")
    assert page == without_ends(overview.overview(80, False))


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["--version"], {}),
        (["diff", "--help"], {}),
        ([], {"COLUMNS": "40"}),
        ([], {"NO_COLOR": "1"}),
        ([], {"TERM": "dumb"}),
    ],
)
def test_whatever_is_unusual_is_left_to_the_library(words, environment):
    assert not overview.asked_for(words, environment)


@pytest.mark.parametrize("words", [[], ["bash", "zsh"], ["tcsh"], ["--help"]])
def test_what_is_no_shell_is_left_to_the_library(words):
    assert overview.ready(["completion", *words], {}) == ""


def test_other_letters_are_left_to_the_library(monkeypatch):
    class Latin(StringIO):
        encoding = "latin-1"

    monkeypatch.setattr(sys, "stdout", Latin())
    assert not overview.asked_for([], {})


def test_a_narrow_window_is_left_to_the_library(monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((50, 20)))
    assert not overview.asked_for([], {})


def test_the_width_is_that_of_the_terminal(monkeypatch):
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((123, 20)))
    monkeypatch.setattr(sys, "__stdin__", sys.__stdout__)
    assert overview.columns() == 123

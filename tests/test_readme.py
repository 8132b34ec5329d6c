import re
import shlex
from pathlib import Path

import pytest

from covalign.cli.commands import app

README = Path(__file__).resolve().parents[1] / "README.md"
COMMANDS = re.findall(r"^covalign (?:.*\\\n)*.*", README.read_text(encoding="utf-8"), re.MULTILINE)
PROGRAMS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_readme_shows_commands_and_a_program():
    assert COMMANDS
    assert PROGRAMS


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_is_understood(line):
    words = shlex.split(line.replace("\\\n", " "), comments=True)[1:]
    app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_of_the_readme_runs(program, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "README.md", "exec"), {})

"""How does what was typed become a call?

By cyclopts, which imports a command's file when that command is called. Importing cyclopts itself takes longer than
everything else that starts: `covalign.cli.app` does so where it is needed.
"""

from typing import Literal

from cyclopts import App, Parameter

from covalign.cli.contents import (
    ABOUT,
    COMMANDS,
    EXAMPLES,
    GIVEN,
    GROUPS,
    RUNS,
    UNIVERSAL,
    completion_of,
    said,
)
from covalign.version import __version__

app = App(
    name="covalign",
    suppress_keyboard_interrupt=False,
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative_iterable=()),
    help="\n\n".join(ABOUT),
    help_epilogue="\n\n".join(GIVEN),
)
runs = App(name="runs", help=GROUPS["runs"], help_epilogue="Example: covalign runs list")
universal = App(
    name="universal",
    help=GROUPS["universal"],
    help_epilogue="Example: covalign universal build covalign-runs --out encoding.safetensors",
)


def completion(shell: Literal["bash", "zsh", "fish", "powershell"], /) -> None:
    """Print what a shell needs to complete commands and options.

    For the shell that is open: `source <(covalign completion bash)`; for every new one, put that line into the
    shell's start file.

    Args:
        shell: bash, zsh, fish or powershell.
    """
    print(completion_of(shell))


def _register(group: App, commands: dict[str, str], before: str = "") -> None:
    """Name commands by where they are, with the help of their docstrings; nothing is imported."""
    for name, command in commands.items():
        example = f"Example: {EXAMPLES[before + name]}"
        group.command(command, name=name, help=said(command), help_epilogue=example)


app.command(runs)
app.command(universal)
app.command(completion, help_epilogue=f"Example: {EXAMPLES['completion']}")
_register(app, COMMANDS)
_register(runs, RUNS, "runs ")
_register(universal, UNIVERSAL, "universal ")

"""The command line: parse, call the library, print where the result is.

Every command is one library call that a notebook could make, and one file, which is imported when its command is
called, so that ``covalign --help`` answers at once. Bad input ends in one line on standard error and exit status 2.
"""

import inspect
import re
import sys
import warnings
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from covalign.errors import InputError, UncheckedWarning
from covalign.version import __version__

app = App(
    name="covalign",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative_iterable=()),
    help="Do two neural networks learn the same thing? Compare their learned weights, layer by layer.\n\n"
    "Start with `covalign demo`: it trains four small networks on embedded photographs, compares them, and "
    "writes a report, in a few minutes and without any data.",
    help_epilogue="MODEL is a run of the store (folder or first digits of its key), a weight file (.safetensors, "
    ".pt, .pth, .onnx), timm:NAME, torchvision:NAME, or module.path:factory. DATA is a hub data set "
    "(uoft-cs/cifar10), a folder of parquet files, an image folder, an .npz file, or photos.",
)
runs = App(name="runs", help="List, show and clean up stored trainings.")
universal = App(
    name="universal", help="What a population of networks has in common, and new networks drawn from it."
)

COMMANDS = {
    "demo": "covalign.cli.train:demo",
    "train": "covalign.cli.train:train",
    "compare": "covalign.cli.compare:compare",
    "diff": "covalign.cli.diff:diff",
    "lineage": "covalign.cli.lineage:lineage",
    "spatial": "covalign.cli.spatial:spatial",
    "energy": "covalign.cli.energy:energy",
    "reproduce": "covalign.cli.reproduce:reproduce",
}
RUNS = {
    "list": "covalign.cli.runs:list_runs",
    "show": "covalign.cli.runs:show_run",
    "gc": "covalign.cli.runs:sweep_runs",
}
UNIVERSAL = {
    "build": "covalign.cli.universal:build_encoding",
    "show": "covalign.cli.universal:show_encoding",
    "init": "covalign.cli.universal:init_network",
}


def main() -> None:
    """Run the command line and exit with its status."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            warnings.simplefilter("always", UncheckedWarning)
            app(sys.argv[1:], exit_on_error=False, print_error=False)
    except (InputError, CycloptsError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    except KeyboardInterrupt:
        print("covalign: interrupted; trainings resume when the same command is run again", file=sys.stderr)
        sys.exit(130)


def _warn(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Print what covalign warns of in one line, and any other warning as it is."""
    own = issubclass(category, UncheckedWarning)
    text = f"covalign: {message}\n" if own else warnings.formatwarning(message, category, *place[:2])
    print(text, end="", file=sys.stderr)


def _fail(message: str) -> None:
    print(f"covalign: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _register(group: App, commands: dict[str, str]) -> None:
    """Name commands by where they are, with the help of their docstrings; nothing is imported."""
    for name, command in commands.items():
        module, function = command.rpartition(".")[2].split(":")
        source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
        group.command(command, name=name, help=docstring(source, function))


def docstring(source: str, function: str) -> str:
    """Return the docstring of a function at the top of a module, a paragraph a line, without parsing the module."""
    found = re.search(rf'^def {function}\(.*?:\n    """(.*?)"""', source, re.DOTALL | re.MULTILINE)
    paragraphs = inspect.cleandoc(found[1]).split("\n\n") if found else []
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


app.command(runs)
app.command(universal)
_register(app, COMMANDS)
_register(runs, RUNS)
_register(universal, UNIVERSAL)

if __name__ == "__main__":
    main()

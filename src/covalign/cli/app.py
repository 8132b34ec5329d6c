"""The command line: parse, call the library, print where the result is.

Every command is one library call that a notebook could make, and one file, which is imported when its command is
called, so that ``covalign --help`` answers at once. Bad input ends in one line on standard error and exit status 2.
"""

import errno
import inspect
import json
import re
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any, Literal

from cyclopts import App, CycloptsError, Parameter

from covalign.errors import InputError, UncheckedWarning, printable
from covalign.version import __version__

DEBUG = "--debug"
"""Shows where an error came from."""
MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory")
"""How libraries say that memory is exhausted."""
ADVICE = {
    errno.ENOSPC: "free some space, or give a folder on another disk",
    errno.EDQUOT: "free some of your quota, or give a folder on another disk",
    errno.ENOLCK: "its file system has no locks: give a folder on a local disk",
    errno.EACCES: "give a folder that you may read and write",
    errno.EROFS: "give a writable folder",
}
"""What to do about an error of the operating system."""

app = App(
    name="covalign",
    suppress_keyboard_interrupt=False,
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative_iterable=()),
    help="Do two neural networks learn the same thing? Compare their learned weights, layer by layer.\n\n"
    "Start with `covalign demo`: it trains four small networks on embedded photographs, compares them, and "
    "writes a report, in a few minutes and without any data.",
    help_epilogue="MODEL is a run of the store (folder or first digits of its key), a weight file (.safetensors, "
    ".pt, .pth, .onnx), timm:NAME, torchvision:NAME, or module.path:factory. DATA is a hub data set "
    "(uoft-cs/cifar10), a folder of parquet files, an image folder, an .npz file, or photos. --debug shows where "
    "an error came from.\n\nExample: covalign demo --out covalign-demo",
)
runs = App(
    name="runs",
    help="List, show and clean up stored trainings.",
    help_epilogue="Example: covalign runs list",
)
universal = App(
    name="universal",
    help="What a population of networks has in common, and new networks drawn from it.",
    help_epilogue="Example: covalign universal build covalign-runs --out encoding.safetensors",
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

EXAMPLES = {
    "demo": "covalign demo --out covalign-demo",
    "train": "covalign train demo --images photos:a --epochs 1",
    "compare": "covalign compare covalign:resnet20 covalign:resnet32 --images photos --max-images 100 "
    "--normalization cifar --out comparison",
    "diff": "covalign diff base.safetensors finetuned.safetensors --out changes",
    "lineage": "covalign lineage covalign:resnet20 covalign:resnet20",
    "spatial": "covalign spatial covalign:resnet20 --out patterns",
    "energy": "covalign energy --images photos --max-images 200 --out prediction",
    "reproduce": "covalign reproduce --list",
    "completion": "covalign completion bash",
    "runs list": "covalign runs list",
    "runs show": "covalign runs show KEY",
    "runs gc": "covalign runs gc",
    "universal build": "covalign universal build covalign-runs --out encoding.safetensors",
    "universal show": "covalign universal show encoding.safetensors",
    "universal init": "covalign universal init encoding.safetensors --in-channels 4 --images four.npz "
    "--out new.safetensors",
}
"""What the help of each command ends with; it works as it stands, but for KEY and files that have to be there."""

KEPT = {
    "train": "the last checkpoint is kept: the same command resumes there",
    "demo": "trainings and their checkpoints are kept in OUT/runs: the same command resumes there",
    "reproduce": "trainings, checkpoints and finished figures are kept: the same command resumes there",
}
"""What is kept of a command that is interrupted."""

NOTHING_KEPT = "nothing was written, and an earlier result is as it was; stored trainings are not touched"


def main() -> None:
    """Run the command line and exit with its status."""
    debug = DEBUG in sys.argv[1:]
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            warnings.simplefilter("always", UncheckedWarning)
            _starting()
            typed = [each for each in sys.argv[1:] if each != DEBUG]
            app(typed, exit_on_error=False, print_error=False)
    except Exception as error:  # whatever goes wrong, one line says it
        if debug:
            traceback.print_exc()
        _fail(told(error))
    except KeyboardInterrupt:
        command = next((word for word in sys.argv[1:] if word in COMMANDS), "")
        print(f"\ncovalign: interrupted; {KEPT.get(command, NOTHING_KEPT)}", file=sys.stderr)
        sys.exit(130)


def told(error: Exception) -> str:
    """Return what a person reads of an error: what was wrong, and what to do."""
    if isinstance(error, InputError | CycloptsError):
        return str(error)
    if isinstance(error, MemoryError) or any(word in str(error) for word in MEMORY):
        return f"out of memory ({str(error) or 'MemoryError'}); use fewer images, a smaller --memory or --resolution"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        advice = ADVICE.get(error.errno or 0, "")
        return f"{place}{error.strerror or error}{advice and '; '}{advice}"
    return (
        f"{type(error).__name__}: {error}; this should have been a plainer message: run the command again with "
        f"{DEBUG} and report what it prints"
    )


def _warn(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Print what covalign warns of in one line, and any other warning as it is."""
    own = issubclass(category, UncheckedWarning)
    text = (
        f"covalign: {printable(str(message))}\n"
        if own
        else warnings.formatwarning(message, category, *place[:2])
    )
    print(text, end="", file=sys.stderr)


def _starting() -> None:
    """Say at once, on a terminal, that something happens: the tensor library takes its seconds to load."""
    words = sys.argv[1:]
    if sys.stderr.isatty() and words and words[0] in COMMANDS and not {"--help", "-h", "--quiet"} & {*words}:
        print("covalign: starting ...", end="\r", file=sys.stderr, flush=True)


def _fail(message: str) -> None:
    line = printable(" ".join(message.split()))
    if "--json" in sys.argv:
        print(json.dumps({"error": line}))
    print(f"covalign: {line}", file=sys.stderr)
    sys.exit(2)


def _register(group: App, commands: dict[str, str], before: str = "") -> None:
    """Name commands by where they are, with the help of their docstrings; nothing is imported."""
    for name, command in commands.items():
        module, function = command.rpartition(".")[2].split(":")
        source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
        said = docstring(source, function).partition("\n\nArgs:")[0]  # the arguments follow in a table
        example = f"Example: {EXAMPLES[before + name]}"
        group.command(command, name=name, help=said, help_epilogue=example)


def docstring(source: str, function: str) -> str:
    """Return the docstring of a function at the top of a module, a paragraph a line, without parsing the module."""
    found = re.search(rf'^def {function}\(.*?:\n    """(.*?)"""', source, re.DOTALL | re.MULTILINE)
    paragraphs = inspect.cleandoc(found[1]).split("\n\n") if found else []
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def completion(shell: Literal["bash", "zsh", "fish", "powershell"], /) -> None:
    """Print what a shell needs to complete commands and options.

    For the shell that is open: `source <(covalign completion bash)`; for every new one, put that line into the
    shell's start file.

    Args:
        shell: bash, zsh, fish or powershell.
    """
    print(app.generate_completion(shell=shell))


app.command(runs)
app.command(universal)
app.command(completion, help_epilogue=f"Example: {EXAMPLES['completion']}")
_register(app, COMMANDS)
_register(runs, RUNS, "runs ")
_register(universal, UNIVERSAL, "universal ")

if __name__ == "__main__":
    main()

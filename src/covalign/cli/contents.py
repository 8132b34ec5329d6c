"""Which commands are there, and what is said of them?

Texts and tables alone: what reads them is not imported here, so that the first page of help needs nothing else.
"""

import re
from pathlib import Path

ABOUT = (
    "Do two neural networks learn the same thing? Compare their learned weights, layer by layer.",
    "Start with `covalign demo`: it trains four small networks on embedded photographs, compares them, and "
    "writes a report, in a few minutes and without any data.",
)
"""What the program is for, a paragraph each."""

GIVEN = (
    "MODEL is a run of the store (folder or first digits of its key), a weight file (.safetensors, "
    ".pt, .pth, .onnx), timm:NAME, torchvision:NAME, or module.path:factory. DATA is a hub data set "
    "(uoft-cs/cifar10), a folder of parquet files, an image folder, an .npz file, or photos. --debug shows where "
    "an error came from.",
    "Example: covalign demo --out covalign-demo",
)
"""What commands are given, a paragraph each."""

GROUPS = {
    "runs": "List, show and clean up stored trainings.",
    "universal": "What a population of networks has in common, and new networks drawn from it.",
}
"""What groups of commands are for."""

COMMANDS = {
    "demo": "covalign.cli.train:demo",
    "train": "covalign.cli.train:train",
    "compare": "covalign.cli.compare:compare",
    "atlas": "covalign.cli.atlas:atlas",
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
    "atlas": "covalign atlas population.toml --out atlas",
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

COMPLETION = "Print what a shell needs to complete commands and options."
"""What is said of the one command that has no file of its own."""
SHELLS = ("bash", "zsh", "fish", "powershell")
COMPLETIONS = Path(__file__).with_name("completions")
"""What shells are given, a file each: making them imports every command (``tools/make_completions.py``)."""


def completion_of(shell: str) -> str:
    """Return what a shell completes with."""
    return (COMPLETIONS / shell).read_text(encoding="utf-8")


def said(command: str) -> str:
    """Return the docstring of a command ("covalign.cli.diff:diff") without its arguments; nothing is imported."""
    module, function = command.rpartition(".")[2].split(":")
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    return docstring(source, function).partition("\n\nArgs:")[0]


def docstring(source: str, function: str) -> str:
    """Return the docstring of a function at the top of a module, a paragraph a line, without parsing the module."""
    found = re.search(rf'^def {function}\(.*?:\n    """(.*?)"""', source, re.DOTALL | re.MULTILINE)
    paragraphs = found[1].strip().split("\n\n") if found else []
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

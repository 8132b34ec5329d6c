"""The house rules that a machine can check."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import covalign

PACKAGE = Path(covalign.__file__).parent
ORDER = ("data", "networks", "training", "encoding", "first_layer", "figures", "report", "papers", "cli")
"""A part imports from itself and from those before it; `errors`, `arrays` and `writing` serve all."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(name: str) -> str:
    """The part of the package that a dotted module name belongs to; "" for what serves all."""
    part = name.split(".")[1] if "." in name else ""
    return part if part in ORDER else ""


def top_level_imports(tree: ast.Module) -> list[str]:
    """Dotted names imported when a module is imported: not those of functions, nor of type checking alone."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name modules in full"
            found += [node.module or ""]
    return [name for name in found if name.split(".")[0] == "covalign"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_up_the_list(path):
    own = part_of(".".join(("covalign", *path.relative_to(PACKAGE).with_suffix("").parts)))
    imported = {part_of(name) for name in top_level_imports(ast.parse(path.read_text()))} - {""}
    if own == "":
        assert not imported, f"{path.name} serves all parts and imports from {sorted(imported)}"
    later = sorted(part for part in imported if own and ORDER.index(part) > ORDER.index(own))
    assert not later, f"{own} imports from {later}, which come after it"


def test_no_two_modules_import_each_other():
    graph = {}
    for path in MODULES:
        parts = ("covalign", *path.relative_to(PACKAGE).with_suffix("").parts)
        graph[".".join(parts).removesuffix(".__init__")] = set(top_level_imports(ast.parse(path.read_text())))
    remaining = {name: imports & graph.keys() - {name} for name, imports in graph.items()}
    while free := [name for name, imports in remaining.items() if not imports & remaining.keys()]:
        for name in free:
            del remaining[name]
    assert not remaining, f"circular imports among {sorted(remaining)}"


def test_every_public_name_can_be_used():
    for name in covalign.__all__:
        assert getattr(covalign, name) is not None
    assert len(set(covalign.__all__)) == len(covalign.__all__)
    assert set(dir(covalign)) == set(covalign.__all__)
    with pytest.raises(AttributeError, match="no attribute 'beauty'"):
        _ = covalign.beauty


def test_the_version_is_that_of_the_project():
    tomllib = importlib.import_module("tomllib")
    project = PACKAGE.parents[1] / "pyproject.toml"
    if not project.is_file():
        pytest.skip("installed without its project file")
    assert tomllib.loads(project.read_text())["project"]["version"] == covalign.__version__


HELP = """
import sys, time
sys.argv = ["covalign", "--help"]
from covalign.cli.app import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
heavy = [name for name in ("torch", "numpy", "pandas", "matplotlib", "plotly") if name in sys.modules]
print("HEAVY", *heavy)
print("SECONDS", time.process_time())
"""


def test_help_answers_at_once_and_without_heavy_imports():
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, env=environment, check=True
    )
    assert "Usage: covalign" in done.stdout
    assert "HEAVY\n" in done.stdout
    assert float(done.stdout.split("SECONDS")[1]) < 0.5

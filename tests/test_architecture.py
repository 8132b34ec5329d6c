"""The house rules that a machine can check."""

import ast
import importlib
import inspect
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import covalign

PACKAGE = Path(covalign.__file__).parent

FLOORS = (
    ("errors", "version", "progress"),
    ("limits", "showing"),
    ("arrays", "storage", "tasks"),
    ("kernels",),
    ("encoding", "data"),
    ("networks", "first_layer"),
    ("training", "figures"),
    ("report",),
    ("studies",),
    ("papers",),
    ("cli",),
)
"""Lowest first. A room imports from itself and from lower floors; the front (`covalign` itself) from none."""

INSIDE_A_STUDY = ("words", "page", "record", "measure")
"""A page is made of tables and of records of the mathematics, so that a record can import its page."""

FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def modules() -> dict[str, str]:
    """Sources by dotted name; a package stands for its ``__init__``. The front is a table of names, no code."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    del found["covalign"]
    return found


def imported(source: str, known: Mapping[str, object]) -> set[str]:
    """Modules that a source imports anywhere: at its top, in a function, for type checking, or by a string."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name in known}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name modules in full"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole | {node.module or ""}) & known.keys()
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {name for name in named(node.value) if name in known}
    return found


def unreadable(source: str) -> list[str]:
    """Imports that cannot be followed: of the front, by attribute, or put together when the program runs."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] == "covalign"]
        elif isinstance(node, ast.ImportFrom) and node.module == "covalign":
            rooms = {alias.name for alias in node.names} & FLOOR.keys()
            found += [f"covalign.{alias.name}" for alias in node.names if alias.name not in rooms]
        elif isinstance(node, ast.Call) and called(node.func) in ("import_module", "__import__"):
            texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
            found += [text for text in texts if isinstance(text, str) and re.match(r"covalign|\.", text)]
    return found


def called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def named(text: str) -> Iterator[str]:
    """Modules that a string names, for an importer to use; prose that mentions one is longer."""
    if re.fullmatch(r"covalign[\w.]*(:\w+)?", text):
        name = text.partition(":")[0].rstrip("._")
        while name:
            yield name
            name = name.rpartition(".")[0]


def room(module: str) -> str:
    return module.split(".")[1]


def hidden(source: str) -> list[str]:
    """Imports of this package that a function hides."""
    found = []
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("covalign"):
                    found.append(node.module or "")
                elif isinstance(node, ast.Import):
                    found += [alias.name for alias in node.names if alias.name.startswith("covalign")]
    return found


def violations(sources: Mapping[str, str]) -> list[str]:
    """Everything that breaks the order of imports."""
    graph = {name: imported(source, sources) - {name} for name, source in sources.items()}
    found = [f"no floor: {name}" for name in sources if room(name) not in FLOOR]
    if found:
        return found
    for name, others in graph.items():
        found += [f"unreadable: {name} imports {other}" for other in unreadable(sources[name])]
        for other in sorted(others):
            if room(name) != room(other) and FLOOR[room(other)] >= FLOOR[room(name)]:
                found.append(f"upward: {name} imports {other}")
            one, two = name.split("."), other.split(".")
            ranked = one[:-1] == two[:-1] and one[-1] in INSIDE_A_STUDY and two[-1] in INSIDE_A_STUDY
            if ranked and INSIDE_A_STUDY.index(two[-1]) > INSIDE_A_STUDY.index(one[-1]):
                found.append(f"study: {name} imports {other}")
        found += [f"hidden: {name} imports {other} in a function" for other in hidden(sources[name])]
    remaining = {name: others & graph.keys() for name, others in graph.items()}
    while free := [name for name, others in remaining.items() if not others & remaining.keys()]:
        for name in free:
            del remaining[name]
    return found + [f"circle: {', '.join(sorted(remaining))}"] * bool(remaining)


def test_imports_point_down_and_never_round():
    assert not violations(modules())


PLANTED = {
    "upward": {"covalign.data.a": "import covalign.training.b", "covalign.training.b": ""},
    "same floor": {"covalign.data.a": "from covalign.encoding import b", "covalign.encoding.b": ""},
    "in a function": {
        "covalign.data.a": "def f():\n    from covalign.training.b import c",
        "covalign.training.b": "c = 1",
    },
    "hidden, downward": {
        "covalign.training.a": "def f():\n    from covalign.data.b import c",
        "covalign.data.b": "c = 1",
    },
    "in a string": {"covalign.networks.a": 'RUNS = "covalign.training.b:load"', "covalign.training.b": ""},
    "in a part of a string": {
        "covalign.data.a": 'import_module(f"covalign.papers.{name}")',
        "covalign.papers": "",
    },
    "for type checking": {
        "covalign.data.a": "if TYPE_CHECKING:\n    from covalign.papers.b import C",
        "covalign.papers.b": "",
    },
    "circle": {
        "covalign.data.a": "import covalign.data.b",
        "covalign.data.b": "import covalign.data.c",
        "covalign.data.c": "from covalign.data import a",
    },
    "the front": {"covalign.encoding.a": "from covalign import compare"},
    "the front, by attribute": {"covalign.encoding.a": "import covalign\ncovalign.compare"},
    "by attribute": {"covalign.data.a": "import covalign.errors\ncovalign.papers.b", "covalign.errors": ""},
    "put together": {"covalign.data.a": 'import_module("covalign." + "papers")'},
    "put together in a string": {"covalign.data.a": 'importlib.import_module(f"covalign.{room}")'},
    "relative": {"covalign.data.a": 'import_module(".papers", "covalign")'},
    "in a lambda": {"covalign.training.a": 'f = lambda: __import__("covalign.data.b")'},
    "a room on no floor": {
        "covalign.attic.a": "from covalign.errors import InputError",
        "covalign.errors": "",
    },
    "page and record": {
        "covalign.studies.x.page": "from covalign.studies.x.record import R",
        "covalign.studies.x.record": "class R: pass",
    },
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_violation_is_found(kind):
    assert violations(PLANTED[kind])


def test_what_is_allowed_is_not_found():
    allowed = {
        "covalign.data.a": '"""Mentions `covalign.training.b` in prose."""\nfrom covalign.errors import InputError',
        "covalign.errors": "",
        "covalign.training.b": "from covalign.data.a import x\nimport_module(name)",
        "covalign.studies.x.record": "from covalign.studies.x import page",
        "covalign.studies.x.page": "from covalign.report.page import Page",
        "covalign.report.page": "",
    }
    assert not violations(allowed)


LONGEST_MODULE = 300


def test_long_modules_are_explained():
    explained = (PACKAGE.parents[1] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in PACKAGE.rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_MODULE:
            assert f"`{name}`" in explained, f"{name} is long: shorten it, or say why in ARCHITECTURE.md"


def test_functions_are_short():
    lengths = []
    for source in modules().values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                documented = ast.get_docstring(node) is not None
                body = node.body[1:] if documented else node.body
                lengths.append(sum(part.end_lineno - part.lineno + 1 for part in body))
    assert statistics.median(lengths) <= 7
    assert statistics.quantiles(lengths, n=10)[-1] < 19


def test_no_file_name_means_nothing():
    empty = {"utils", "helpers", "misc", "common", "core"}
    assert not [path for path in PACKAGE.rglob("*.py") if path.stem in empty]


PUBLIC = re.findall(
    r"\w+",
    """
    load_images load_network load_run load_comparison preset vgg11
    train compare diff spatial_summary first_layer_summary align
    spatial_covariance weight_covariance shrink_eigenvalues procrustes
    bures_wasserstein_cosine bures_wasserstein_distance normalized_similarity eigenvector_cosines
    debiased_similarity group_similarity shared_variance patch_covariance energy_profile predicted_energy fit_energy
    Images Normalization TrainingSpec Run RunStore Network Layer FilterBank InputError
    WeightCovariance SpatialCovariance Alignment Similarity DebiasedSimilarity PatchCovariance EnergyProfile
    Comparison Difference SpatialSummary FirstLayerSummary
    universal_encoding load_encoding init_ bures_barycenter UniversalEncoding Initialization Barycenter
    """,
)
"""Names that others call: they stay, and never warn."""

MOVED = re.findall(
    r"\w+",
    """
    Calibration CrossLayerMap analytic_filters calibrated_similarity corrected_eigenvector_cosines cross_layer_map
    cross_validated_eigenvalues filter_bank fold_batch_norm matched_cosines mixture open_source random_labels
    rank_truncation resnet select_classes subspace_overlap train_population
    trajectory vgg
    """,
)
"""What version 0.1.0 offered at the front as well."""


def test_every_public_name_can_be_used_without_a_warning():
    program = f"from covalign import {', '.join(covalign.__all__)}"
    subprocess.run([sys.executable, "-W", "error:covalign:DeprecationWarning", "-c", program], check=True)
    assert set(PUBLIC) <= set(covalign.__all__)
    assert len(set(covalign.__all__)) == len(covalign.__all__)
    assert set(dir(covalign)) == set(covalign.__all__)
    with pytest.raises(AttributeError, match="no attribute 'beauty'"):
        _ = covalign.beauty


@pytest.mark.parametrize("name", MOVED)
def test_a_name_that_has_left_the_front_says_where_it_is(name):
    with pytest.warns(DeprecationWarning, match=rf"covalign.{name} is deprecated: use `from") as caught:
        found = getattr(covalign, name)
    offered: dict[str, object] = {}
    exec(str(caught[0].message).split("`")[1], offered)
    assert found in offered.values()


def test_no_public_name_is_that_of_a_module():
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    assert not modules & ({*covalign.__all__, *MOVED} - {"__version__"})


STUDIES = ("align", "compare", "diff", "spatial_summary", "first_layer_summary")


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_takes_networks_then_images_and_the_rest_by_name(name):
    parameters = inspect.signature(getattr(covalign, name)).parameters
    unnamed = [each.name for each in parameters.values() if each.kind is not each.KEYWORD_ONLY]
    networks = [
        each for each in unnamed if each in ("network", "networks", "network_a", "network_b", "base", "other")
    ]
    assert unnamed[: len(networks)] == networks
    assert set(unnamed[len(networks) :]) <= {"images", "layers", "replicate"}
    assert "images" not in unnamed or unnamed[len(networks)] == "images"


def test_the_version_is_that_of_the_project():
    tomllib = importlib.import_module("tomllib")
    project = PACKAGE.parents[1] / "pyproject.toml"
    if not project.is_file():
        pytest.skip("installed without its project file")
    assert tomllib.loads(project.read_text())["project"]["version"] == covalign.__version__


MODULES_OF_HELP = 400
"""At about a millisecond each, help answers before one waits for it; it needs 314 today."""

HELP = """
import sys
sys.argv = ["covalign", "--help"]
from covalign.cli.app import main
try:
    main()
except SystemExit as stop:
    assert not stop.code
heavy = [name for name in ("torch", "numpy", "pandas", "matplotlib", "plotly") if name in sys.modules]
print("HEAVY", *heavy)
print("MODULES", len(sys.modules))
"""


def test_help_answers_at_once_and_without_heavy_imports():
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, env=environment, check=True
    )
    assert "Usage: covalign" in done.stdout
    assert "HEAVY\n" in done.stdout
    assert int(done.stdout.split("MODULES")[1]) < MODULES_OF_HELP

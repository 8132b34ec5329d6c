"""What a user installs is the wheel: it must hold everything that a report is made of."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

EXTRAS = ("datasets", "dask", "distributed", "plotly", "onnx", "onnxruntime", "h5py", "timm", "torchvision")
"""What no report and no demo may need."""

BLOCKED = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""

SCRIPT = """
from typing import reveal_type
from covalign import Comparison, compare, load_images, load_network, spatial_covariance

networks = {"a": load_network("a.safetensors"), "b": load_network("b.safetensors")}
reveal_type(compare(networks, load_images("photos:a")))
reveal_type(compare(networks, None).table)
reveal_type(spatial_covariance)
compare(networks, load_images("photos:a"), draws="ten")
"""

LARGE = ("torch", "numpy", "pandas", "matplotlib", "scipy", "pyarrow", "PIL", "jinja2", "rich", "safetensors")
UNREAD = "\n".join(
    ["[mypy]", "ignore_missing_imports = true", "follow_imports = silent"]
    + [f"[mypy-{name}.*]\nfollow_imports = skip" for name in LARGE]
)
"""What mypy need not read to see our own types, so that the test takes seconds."""

REPORT = """
from pathlib import Path
import covalign

assert Path(covalign.__file__).is_relative_to(Path.cwd()), covalign.__file__
networks = {"a": covalign.vgg11(width=0.03), "b": covalign.vgg11(width=0.03)}
print(covalign.spatial_summary(networks, ranks=[5]).report("report.html"))
print(covalign.compare(networks, None, calibrate=False).report("comparison.html"))
"""


def run(*command: object, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def files() -> list[Path]:
    """What belongs to the project, relative to its folder."""
    if (ROOT / ".git").exists():
        listed = run("git", "ls-files", "-z", folder=ROOT).split("\0")
        return [Path(name) for name in listed if name and (ROOT / name).is_file()]
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [path for path in found if not {"__pycache__", ".venv", "build", "dist"} & set(path.parts)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """An environment of its own with the built wheel in it, and the dependencies of this one beside it."""
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("installed without its project file")
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    # A copy is built: setuptools would take up what an earlier build left beside the sources.
    for name in files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", folder, folder=folder)
    run(sys.executable, "-m", "venv", "--without-pip", "empty", folder=folder)
    (site,) = folder.glob("empty/lib/python*/site-packages")
    wheel = next(folder.glob("dist/covalign-*.whl"))
    run(*pip, "install", "--no-deps", "--no-index", "--target", site, wheel, folder=folder)
    # A folder that is named in a .pth file comes last, and its own .pth files, editable installs, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    (site / "sitecustomize.py").write_text(BLOCKED)  # as if no extra were installed
    return folder


def test_an_installed_wheel_writes_reports(installed):
    python = next(installed.glob("empty/bin/python"))
    said = run(python, "-c", REPORT, folder=installed)
    assert said.split() == ["report.html", "comparison.html"]
    assert "</html>" in (installed / "report.html").read_text(encoding="utf-8")[-100:]


def test_an_encoding_comes_along_by_its_name(installed):
    python = next(installed.glob("empty/bin/python"))
    code = "import covalign; print(len(covalign.load_encoding('vgg11-natural').members), covalign.__file__)"
    members, path = run(python, "-c", code, folder=installed).split(maxsplit=1)
    assert members == "10"
    assert Path(path.strip()).is_relative_to(installed)


def test_the_wheel_is_small(installed):
    (wheel,) = installed.glob("dist/covalign-*.whl")
    assert wheel.stat().st_size < 10e6


def test_an_installed_command_needs_no_extra(installed):
    program = next(installed.glob("empty/bin/python")), "-m", "covalign.cli"
    said = run(*program, "spatial", "covalign:resnet20", "--out", "patterns", "--quiet", folder=installed)
    assert said.split() == [str(Path("patterns") / "report.html")]
    demo = "from covalign.cli.train import demo, train_population; from covalign.studies.comparison import measure"
    run(program[0], "-c", demo, folder=installed)


def test_a_missing_extra_is_named_with_the_line_that_installs_it(installed):
    code = "from covalign import load_images\ntry: load_images('uoft-cs/cifar10')\nexcept ValueError as e: print(e)"
    said = run(next(installed.glob("empty/bin/python")), "-c", code, folder=installed)
    assert "pip install 'covalign[data]'" in said
    assert said.count("\n") == 1


def test_nothing_that_is_required_is_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    required = {re.split(r"[^\w-]", each)[0].lower() for each in project["dependencies"]}
    assert not required & set(EXTRAS)
    assert len(required) <= 14


@pytest.mark.slow
def test_a_users_script_sees_types(installed):
    (installed / "script.py").write_text(SCRIPT)
    (installed / "mypy.ini").write_text(UNREAD)
    python = next(installed.glob("empty/bin/python"))
    done = subprocess.run(
        [python, "-m", "mypy", "script.py", "--config-file", "mypy.ini"],
        capture_output=True,
        text=True,
        cwd=installed,
    )
    assert 'Revealed type is "covalign.studies.comparison.record.Comparison"' in done.stdout
    assert "spatial.SpatialCovariance" in done.stdout
    assert 'Argument "draws" to "compare" has incompatible type "str"; expected "int"' in done.stdout


@pytest.fixture(scope="module")
def source(installed) -> Path:
    """The source distribution."""
    code = "from setuptools import build_meta; print(build_meta.build_sdist('dist'))"
    return installed / "dist" / run(sys.executable, "-c", code, folder=installed).splitlines()[-1]


@pytest.mark.slow
def test_a_source_distribution_holds_the_project(source):
    with tarfile.open(source) as archive:
        held = {Path(*Path(each.name).parts[1:]) for each in archive if each.isfile()}
    made = {
        path for path in held if path.name in {"PKG-INFO", "setup.cfg"} or "covalign.egg-info" in path.parts
    }
    assert held - made == set(files())


@pytest.mark.slow
def test_a_wheel_of_the_source_distribution_is_the_wheel_of_the_project(installed, source):
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "again")
    run(sys.executable, "-m", "pip", "wheel", *options, source, folder=installed)
    (ours,), (again,) = installed.glob("dist/*.whl"), installed.glob("again/*.whl")
    assert again.name == ours.name
    assert contents(again) == contents(ours)


def contents(wheel: Path) -> dict[str, int]:
    """The checksum of every file."""
    with zipfile.ZipFile(wheel) as archive:
        return {each.filename: each.CRC for each in archive.infolist()}


def test_a_wheel_holds_every_file_of_the_package(installed):
    source = ROOT / "src" / "covalign"
    (site,) = installed.glob("empty/lib/python*/site-packages/covalign")
    needed = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert needed <= {path.relative_to(site) for path in site.rglob("*")}

"""What a user installs is the wheel: it must hold everything that a report is made of."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

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


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """An environment of its own with the built wheel in it, and the dependencies of this one beside it."""
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("installed without its project file")
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    # A copy is built: setuptools would take up what an earlier build left beside the sources.
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "dist", folder, folder=folder)
    run(sys.executable, "-m", "venv", "--without-pip", "empty", folder=folder)
    (site,) = folder.glob("empty/lib/python*/site-packages")
    wheel = next(folder.glob("dist/covalign-*.whl"))
    run(*pip, "install", "--no-deps", "--no-index", "--target", site, wheel, folder=folder)
    # A folder that is named in a .pth file comes last, and its own .pth files, editable installs, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    return folder


def test_an_installed_wheel_writes_reports(installed):
    python = next(installed.glob("empty/bin/python"))
    said = run(python, "-c", REPORT, folder=installed)
    assert said.split() == ["report.html", "comparison.html"]
    assert "</html>" in (installed / "report.html").read_text(encoding="utf-8")[-100:]


def test_a_wheel_holds_every_file_of_the_package(installed):
    source = ROOT / "src" / "covalign"
    (site,) = installed.glob("empty/lib/python*/site-packages/covalign")
    needed = {
        path.relative_to(source)
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert needed <= {path.relative_to(site) for path in site.rglob("*")}

"""Make installs what the locks name, by hash, and they name what the project needs: no more, no less, no other."""

import base64
import hashlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SETS = {"base": ("base",), "dev": ("base", "dev"), "docs": ("base", "docs")}
"""By what make installs, the locks that it takes; `cuda` goes with each where torch asks for it."""


def read(name: str) -> list[Requirement]:
    """The releases that one lock names, without what it includes."""
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    return [Requirement(line.rstrip("\\ ")) for line in text.splitlines() if re.match(r"\w", line)]


def version(release: Requirement) -> str:
    (pinned,) = release.specifier
    assert pinned.operator == "=="
    return pinned.version


LOCKS = {name: read(name) for name in ("base", "dev", "docs", "cuda")}


def here(*names: str) -> dict[str, str]:
    """What these locks install with this Python on this machine."""
    releases = [each for name in names for each in LOCKS[name]]
    return {canonicalize_name(each.name): version(each) for each in releases if holds(each)}


def holds(release: Requirement, extra: str = "") -> bool:
    return release.marker is None or release.marker.evaluate({"extra": extra})


def needed(requirements: Iterable[str]) -> dict[str, str]:
    """What is installed of these requirements and of everything that they ask for in turn."""
    found, todo, seen = {}, [Requirement(each) for each in requirements], set()
    while todo:
        each = todo.pop()
        name = canonicalize_name(each.name)
        asked = PROJECT["optional-dependencies"] if name == "covalign" else None
        for extra in ("", *each.extras):
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            if asked is not None:
                todo += [Requirement(line) for line in asked.get(extra, ())]
                continue
            found[name] = Version(distribution(each.name).version).public
            lines = [Requirement(line) for line in distribution(each.name).requires or ()]
            todo += [line for line in lines if holds(line, extra)]
    return found


@pytest.mark.parametrize("name", SETS)
def test_a_lock_holds_exactly_what_is_needed_here(name):
    extra = PROJECT["optional-dependencies"].get(name, [])
    try:
        wanted = needed([*PROJECT["dependencies"], *extra])
    except PackageNotFoundError as missing:
        if name == "docs":
            pytest.skip(f"{missing.name} is not installed; `make docs` does")
        raise
    locked = here(*SETS[name])
    assert locked.keys() <= wanted.keys()
    assert wanted.keys() - locked.keys() <= here("cuda").keys()
    assert {each: wanted[each] for each in locked} == locked


def test_the_locks_hold_the_releases_of_the_constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    stated = {canonicalize_name(each.name): version(each) for each in pins}
    locked = {canonicalize_name(each.name): version(each) for lock in LOCKS.values() for each in lock}
    assert stated == {name: locked.get(name) for name in stated}


def test_a_release_is_locked_once_for_whoever_installs_it():
    for names in SETS.values():
        releases = [canonicalize_name(each.name) for lock in (*names, "cuda") for each in LOCKS[lock]]
        assert len(set(releases)) == len(releases)


@pytest.mark.parametrize("name", ["base", "dev", "docs", "cuda"])
def test_every_release_has_its_hashes(name):
    text = (ROOT / "locks" / f"{name}.txt").read_text(encoding="utf-8")
    entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(LOCKS[name])
    assert all(re.search(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", entry, re.MULTILINE) for entry in entries)
    assert "://" not in text


PYTHON = """#!/bin/sh
case "$*" in
  *"pip show torch") echo "Requires: filelock{more}, sympy" ;;
  *) echo "$@" >> calls ;;
esac
"""


def called(folder: Path, target: str, more: str = "") -> list[str]:
    """How make calls Python for a target, where torch asks for `more`."""
    (folder / ".venv/bin").mkdir(parents=True)
    for each in ("Makefile", "pyproject.toml", "locks"):
        (folder / each).symlink_to(ROOT / each)
    (folder / ".venv/bin/python").write_text(PYTHON.format(more=more))
    (folder / ".venv/bin/python").chmod(0o755)
    subprocess.run(["make", target], cwd=folder, check=True, capture_output=True)
    return (folder / "calls").read_text().splitlines()


@pytest.mark.parametrize(("target", "lock"), [("demo", "base"), ("dev", "dev"), ("docs", "docs")])
def test_make_installs_a_lock_and_then_the_project_alone(target, lock, tmp_path):
    first, second = called(tmp_path, f".venv/{target}")
    assert "--require-hashes" in first
    assert "--only-binary :all:" in first
    assert first.endswith(f"--requirement locks/{lock}.txt")
    assert "--no-deps --no-build-isolation --editable ." in second


def test_make_installs_what_a_build_of_torch_with_cuda_asks_for(tmp_path):
    _, cuda, _ = called(tmp_path, ".venv/demo", more=", nvidia-cublas")
    assert cuda.endswith("--requirement locks/cuda.txt")
    assert "--require-hashes" in cuda


def wheel(folder: Path) -> str:
    """The SHA-256 of a wheel that holds one file and is written into a folder."""
    path = folder / "little-1.0-py3-none-any.whl"
    files = {
        "little.py": b"",
        "little-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: little\nVersion: 1.0\n",
        "little-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{name},sha256={digest(text)},{len(text)}" for name, text in files.items()]
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("little-1.0.dist-info/RECORD", "\n".join([*rows, "little-1.0.dist-info/RECORD,,"]))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digest(text: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()


@pytest.mark.slow
def test_a_file_of_another_hash_is_refused(tmp_path):
    """With the very options that make gives to pip."""
    options = called(tmp_path / "make", ".venv/demo")[0].split(" --requirement ")[0].split()
    true = wheel(tmp_path)
    (tmp_path / "true.txt").write_text(f"little==1.0 --hash=sha256:{true}\n")
    (tmp_path / "false.txt").write_text(f"little==1.0 --hash=sha256:{hashlib.sha256(b'').hexdigest()}\n")
    (tmp_path / "none.txt").write_text("little==1.0\n")
    where = ("--isolated", "--no-index", "--find-links", tmp_path, "--target")

    def install(lock: str) -> subprocess.CompletedProcess:
        command = [
            sys.executable,
            *options,
            *where,
            tmp_path / lock,
            "--requirement",
            tmp_path / f"{lock}.txt",
        ]
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, env=dict(os.environ, PIP_CONSTRAINT="")
        )

    assert install("true").returncode == 0
    assert (tmp_path / "true/little.py").is_file()
    for lock, said in (("false", "DO NOT MATCH THE HASHES"), ("none", "Hashes are required")):
        done = install(lock)
        assert done.returncode != 0
        assert said in done.stderr
        assert not (tmp_path / lock / "little.py").exists()

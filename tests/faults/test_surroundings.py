"""What a command does where its surroundings fail: no home, cache, locks or space, a scheduler that is gone."""

import errno
import json
import pwd
import subprocess
import sys
import threading
from functools import partial

import pytest
from PIL import Image

from cli.test_app import SPEC, covalign, squares
from covalign.storage import atomic

ENERGY = ("energy", "--images", "pictures", "--max-images", "20", "--resolution", "8", "--json")


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for index, (pixels, label) in enumerate(zip(*squares(24, 0), strict=True)):
        folder = tmp_path / "pictures" / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return partial(covalign, capsys)


@pytest.fixture
def homeless(monkeypatch):
    """An account that no list of users has, as containers run programs."""

    def unlisted(uid):
        raise KeyError(uid)

    for name in ("HOME", "XDG_CACHE_HOME", "COVALIGN_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unlisted)


def answer(run, out):
    status, said, complaint = run(*ENERGY, "--out", out)
    assert (status, complaint) == (0, "")
    return json.loads(said)["findings"]


def test_without_a_home_nothing_is_cached_and_the_result_is_the_same(run, homeless, tmp_path, monkeypatch):
    before = set(tmp_path.iterdir())
    without = answer(run, "without")
    assert {path.name for path in set(tmp_path.iterdir()) - before} == {"without"}  # no folder called ~
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert answer(run, "with") == without
    assert [*(tmp_path / "home").rglob("*.safetensors")]


def test_without_a_home_there_is_no_cache_to_look_into(run, homeless):
    status, _, said = run("runs", "gc", "--cache")
    assert (status, said.count("\n")) == (2, 1)
    assert "there is no home folder; set COVALIGN_CACHE" in said


def test_a_cache_that_cannot_be_written_costs_time_only(run, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("COVALIGN_CACHE", str(tmp_path / "file" / "cache"))
    refused = answer(run, "one")
    monkeypatch.setenv("COVALIGN_CACHE", str(tmp_path / "cache"))
    assert answer(run, "other") == refused


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some of your quota"),
        (errno.EROFS, "writable folder"),
    ],
    ids=["full", "quota", "read-only"],
)
def test_a_disk_that_takes_nothing_is_named_with_what_to_do(run, monkeypatch, tmp_path, code, advice):
    def full(descriptor):
        raise OSError(code, "the disk takes nothing")

    (tmp_path / "spec.toml").write_text(f'images = "pictures"\n{SPEC}')
    monkeypatch.setenv("COVALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(atomic.os, "fsync", full)
    for arguments in (("train", "spec.toml", "--store", "runs", "--quiet"), (*ENERGY[:-1], "--out", "out")):
        status, _, said = run(*arguments)
        assert (status, said.count("\n")) == (2, 1)
        assert ("runs/" in said) == (arguments[0] == "train")
        assert ("out:" in said) == (arguments[0] == "energy")
        assert "the disk takes nothing" in said
        assert advice in said
    assert not [*tmp_path.rglob("*.tmp")]


def test_a_file_system_without_locks_is_named_with_what_to_do(run, monkeypatch, tmp_path):
    def lockless(*arguments, **options):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / "spec.toml").write_text(f'images = "pictures"\n{SPEC}')
    monkeypatch.setattr("filelock._unix.fcntl.flock", lockless)
    for arguments in (("train", "spec.toml", "--store", "runs", "--quiet"), (*ENERGY[:-1], "--out", "out")):
        status, _, said = run(*arguments)
        assert (status, said.count("\n")) == (2, 1)
        assert "No locks available" in said
        assert "give a folder on a local disk" in said
        assert ("runs/" in said) == (arguments[0] == "train")


SCHEDULER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, protocol="tcp://", dashboard_address=None
    )
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_one_line(run, tmp_path):
    pytest.importorskip("distributed")
    recipe = SPEC.replace("epochs = 1", "epochs = 500") + "checkpoint_epochs = [1, 2, 3]"
    (tmp_path / "grid.toml").write_text(
        f'[recipe]\nimages = "{tmp_path / "pictures"}"\n{recipe}\n[grid]\nlabels = ["true"]\n'
    )
    (tmp_path / "scheduler.py").write_text(SCHEDULER)
    with subprocess.Popen(
        [sys.executable, "scheduler.py"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as scheduler:
        assert scheduler.stdout is not None
        address = scheduler.stdout.readline().strip()

        over = threading.Event()

        def end() -> None:
            while not over.is_set() and not [*tmp_path.glob("runs/*/manifest.json")]:
                over.wait(0.05)
            scheduler.kill()

        killer = threading.Thread(target=end)
        killer.start()
        status, _, said = run("train", "grid.toml", "--store", "runs", "--scheduler", address, "--quiet")
        over.set()
        killer.join()
    assert (status, said.count("\n")) == (2, 1), said
    assert "the Dask scheduler was lost" in said
    assert "start it again and run the same command" in said
    listed, shown, _ = run("runs", "list", "--store", "runs", "--json")
    (kept,) = json.loads(shown)
    assert (listed, kept["problem"]) == (0, None)

"""Every exhibit from nothing, as a person would run it: at the smoke scale, on embedded photographs."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from covalign.errors import InputError
from covalign.papers.bench import Bench
from covalign.papers.catalogue import NAMES
from covalign.papers.reproduction import plan, redraw, reproduce
from covalign.papers.scales.laptop import LAPTOP
from covalign.papers.scales.paper import PAPER
from covalign.papers.scales.smoke import SMOKE
from covalign.storage.folder import Folder
from covalign.training.spec import TrainingSpec
from covalign.training.store import RunStore

VERDICTS = ("holds", "does not hold", "not testable")


def covalign(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "covalign.cli.app",
        *map(str, arguments),
        "--store",
        str(folder / "runs"),
    ]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    done = covalign("reproduce", "all", "--scale", "smoke", "--out", "out", folder=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [line for line in done.stdout.splitlines() if line.startswith("out")] == [
        f"out/{n}" for n in NAMES
    ]
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_each_exhibit_leaves_figure_numbers_and_claims(smoke, name):
    folder = smoke / "out" / name
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert (folder / f"{name}.png").stat().st_size > 5000
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert (document["kind"], document["schema_version"], document["scale"]) == ("reproduction", 2, "smoke")
    for claim in document["claims"]:
        assert claim["verdict"] in VERDICTS
        assert claim["verdict"] == "not testable"
        assert all(claim[said] for said in ("sentence", "expected", "why"))
    assert document["provenance"]["differences"]


def test_one_page_shows_every_exhibit(smoke):
    page = (smoke / "out" / "README.md").read_text(encoding="utf-8")
    assert all(f"![{name}]({name}/{name}.png)" in page for name in NAMES)
    pictures = sorted(path.relative_to(smoke / "out") for path in (smoke / "out").glob("*/*.png"))
    assert sorted(re.findall(r"!\[.*\]\((.*)\)", page)) == [str(path) for path in pictures]
    assert "Not reproduced here" not in page
    document = json.loads((smoke / "out" / "encodings-fig4" / "results.json").read_text(encoding="utf-8"))
    assert all(claim["sentence"] in page for claim in document["claims"])


@pytest.mark.parametrize("name", NAMES)
def test_each_exhibit_redraws_from_its_numbers_alone(smoke, name):
    folder = smoke / "out" / name
    picture, document = (folder / f"{name}.png").read_bytes(), (folder / "results.json").read_bytes()
    redraw(name, smoke / "out")
    assert (folder / f"{name}.png").read_bytes() == picture
    assert (folder / "results.json").read_bytes() == document


def test_numbers_of_an_earlier_version_are_refused_by_what_they_lack(smoke, tmp_path):
    shutil.copytree(smoke / "out" / "encodings-fig4", tmp_path / "encodings-fig4")
    folder = Folder(tmp_path / "encodings-fig4")
    folder.commit({}, drop=frozenset({"conditions.csv"}))
    with pytest.raises(InputError, match="without 'conditions', which is drawn now; run `covalign reproduce"):
        redraw("encodings-fig4", tmp_path)


def test_a_second_run_trains_nothing_and_finds_the_same(smoke):
    before = {path: path.stat().st_mtime_ns for path in (smoke / "runs").glob("*/final.safetensors")}
    numbers = (smoke / "out" / "encodings-fig4" / "pairs.csv").read_bytes()
    again = covalign("reproduce", "encodings-fig4", "--scale", "smoke", "--out", "again", folder=smoke)
    assert again.returncode == 0, again.stderr[-3000:]
    assert {p: p.stat().st_mtime_ns for p in (smoke / "runs").glob("*/final.safetensors")} == before
    assert (smoke / "again" / "encodings-fig4" / "pairs.csv").read_bytes() == numbers


def test_the_list_says_what_is_there_and_what_it_costs(smoke):
    listed = covalign("reproduce", "encodings-fig4", "--list", "--scale", "smoke", folder=smoke)
    assert listed.returncode == 0, listed.stderr
    said = re.search(r"(\d+) networks, (\d+) of them in the store; the others take about", listed.stdout)
    assert said is not None
    assert said[1] == said[2]
    assert "cifar10: photos" in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "got no names, expected all, or some of encodings-fig4"),
        (["fig9"], "got 'fig9', expected one of encodings-fig4"),
        (["encodings-fig4", "--scale", "tiny"], "--scale: got 'tiny', expected one of smoke, laptop, paper"),
        (["encodings-fig4", "--images", "photos"], "got 'photos', expected ROLE=DATA"),
        (["encodings-fig4", "--images", "mnist=photos"], "role: got 'mnist', expected one of cifar10"),
        (["encodings-fig4", "--redraw"], "holds no reproduction"),
    ],
)
def test_bad_input_ends_in_one_line(tmp_path, arguments, message):
    done = covalign("reproduce", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_unknown_roles_are_refused_before_anything_is_trained(tmp_path):
    store = RunStore(tmp_path / "runs")
    with pytest.raises(InputError, match="role: got 'mnist'"):
        reproduce(["encodings-fig4"], "smoke", {"mnist": "photos"}, store, tmp_path)
    assert not store.root.exists()


def test_the_list_of_several_counts_networks_that_they_share_once(tmp_path):
    names = ("first-layer-table2", "first-layer-fig3")
    shared = plan(names[:1], LAPTOP, {"cifar10": "photos"}, RunStore(tmp_path))
    both = plan(names, LAPTOP, {"cifar10": "photos"}, RunStore(tmp_path))
    assert (both.networks, both.stored) == (shared.networks, 0)
    assert both.cost.disk == shared.cost.disk > 0


def test_a_source_without_splits_gives_no_exhibit_its_training_images_as_test_images(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (200, 3, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "whole.npz", images=pixels, labels=np.arange(200) % 10)
    bench = Bench(SMOKE, {"cifar10": str(tmp_path / "whole.npz")}, RunStore(tmp_path / "runs"))
    for data in ("cifar10", "deciles 1"):
        seen, unseen = (
            {bytes(each.numpy()) for each in bench.images(data, s).pixels} for s in ("train", "test")
        )
        assert (len(seen), len(unseen)) == (180, 20)
        assert not seen & unseen


def test_the_list_counts_only_runs_that_would_not_be_trained_again(smoke):
    store = RunStore(smoke / "runs")
    now = plan(["encodings-fig5"], SMOKE, {}, store)
    assert now.stored == now.networks
    old = replace(store, root=smoke / "old")
    shutil.copytree(store.root, old.root)
    for path in old.root.glob("*/spec.json"):
        document = json.loads(path.read_text())
        if document["recipe_version"] == 2:
            folder = Folder(path.parent)
            folder.commit({"spec.json": json.dumps({**document, "recipe_version": 1}).encode()})
    assert plan(["encodings-fig5"], SMOKE, {}, old).stored == 0


def test_listing_reads_and_writes_nothing(tmp_path):
    listed = covalign("reproduce", "first-layer-fig8", "--list", "--scale", "smoke", folder=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert not (tmp_path / "runs").exists()


def test_a_derived_data_set_of_another_size_is_another_file(tmp_path):
    store = RunStore(tmp_path / "runs")
    files = {
        Bench(size, {"cifar10": "photos"}, store).read_from(TrainingSpec(), "amplified 10").images
        for size in (LAPTOP, PAPER)
    }
    assert len(files) == 2
    assert not store.root.exists()

"""Whatever is wrong ends in one line and status 2, and nothing in a name is executed by what shows it."""

import csv
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cli.test_app import covalign
from covalign.cli import commands
from covalign.errors import printable
from covalign.storage.results import inert


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return partial(covalign, capsys)


def weights(name="a.weight"):
    return {name: torch.randn(8, 3, 3, 3), "b.weight": torch.randn(8, 8, 3, 3)}


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 3000 + "]" * 3000,
        "epochs = " + "9" * 5000,
        "seed = " + "9" * 400,
        "preset = []",
        "width = inf",
        "width = nan",
        'device = "meta"',
    ],
    ids=lambda text: text[:12],
)
def test_a_hostile_spec_is_refused_in_one_line(run, tmp_path, text):
    (tmp_path / "spec.toml").write_text(text)
    status, _, said = run("train", "spec.toml", "--store", "runs")
    assert status == 2
    assert said.startswith("covalign: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("pixels", [np.zeros((3, 8, 8, 3), np.uint8), np.full((1, 8, 8, 3), 7, np.uint8)])
def test_images_without_any_difference_are_refused(run, pixels):
    np.savez("same.npz", images=pixels, labels=np.zeros(len(pixels), int))
    status, _, said = run("energy", "--images", "same.npz", "--out", "out")
    assert (status, said.count("\n")) == (2, 1)
    assert "images that are all the same" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("energy", "--images", "photos", "--resolution", "0", "--out", "out"),
        ("energy", "--images", "photos", "--resolution", "100000", "--out", "out"),
        ("diff", "a.safetensors", "a.safetensors", "--fail-above", "nan", "--out", "out"),
        ("compare", "a.safetensors", "a.safetensors", "--memory", "0", "--out", "out"),
        ("spatial", "[/x]/nothing", "--out", "out"),
    ],
    ids=" ".join,
)
def test_options_out_of_range_are_refused(run, arguments):
    save_file(weights(), "a.safetensors")
    status, _, said = run(*arguments)
    assert (status, said.count("\n")) == (2, 1), said


def test_control_sequences_in_names_are_shown_and_not_obeyed(run):
    save_file(weights("a\x1b[31m\x07.weight"), "a.safetensors")
    status, _, said = run("spatial", "a.safetensors", "--layers", "nope", "--out", "out")
    assert status == 2
    assert "\x1b" not in said
    assert r"\x1b[31m\x07" in said
    assert printable("ü\x9b\n") == "ü\\x9b\n"


def test_markup_in_the_name_of_a_store_is_a_name(run, tmp_path):
    (tmp_path / "[/x]" / "[bold]run").mkdir(parents=True)
    (tmp_path / "[/x]" / "[bold]run" / "manifest.json").write_text("[/y]")
    status, shown, _ = run("runs", "list", "--store", "[/x]")
    assert status == 0
    assert "[bold]run" in shown


def test_cells_that_spreadsheets_would_compute_are_texts(factorized, tmp_path):
    table = factorized.table.assign(layer_a=["=cmd|' /C calc'!A0", *["@a"] * (len(factorized.table) - 1)])
    rows = list(csv.DictReader(inert(table).to_csv(index=False).splitlines()))
    assert rows[0]["layer_a"] == "'=cmd|' /C calc'!A0"
    assert rows[1]["layer_a"] == "'@a"
    assert inert(table).drop(columns="layer_a").equals(table.drop(columns="layer_a"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("float division by zero"), "with --debug and report what it prints"),
        (
            OSError(28, "No space left on device", "there/a"),
            "there/a: No space left on device; free some space",
        ),
        (
            OSError(37, "No locks available", "there/lock"),
            "there/lock: No locks available; its file system has no",
        ),
        (MemoryError(), "out of memory"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_other_error_is_one_line_and_debug_shows_the_rest(run, monkeypatch, error, said):
    def failing(*arguments, **options):
        raise error

    monkeypatch.setattr(commands, "app", failing)
    status, _, short = run("demo")
    assert (status, short.count("\n")) == (2, 1)
    assert said in short
    status, _, long = run("demo", "--debug")
    assert status == 2
    assert "Traceback" in long
    assert said in long


def test_an_interrupt_says_what_is_kept(run, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("covalign.training.shelf.Shelf.listed", interrupted)
    status, _, said = run("runs", "list")
    assert status == 130
    assert "interrupted; nothing was written" in said
